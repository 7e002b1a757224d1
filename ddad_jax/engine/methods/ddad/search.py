"""What a search may vary of DDAD: all of it traced, so a trial compiles nothing but the first blur of its sigma."""

from collections.abc import Sequence

from ddad_jax.engine.methods.ddad.sections import DDADSettings
from ddad_jax.engine.methods.ddad.settings import trained_for
from ddad_jax.engine.methods.point import SIGMA_STEP, SearchableSetting
from ddad_jax.points import OF_RECONSTRUCTIONS, OPTIMISED

AXES = {
    "w": SearchableSetting("sample.w", 0.0, 6.0, costly=True),
    "t_prime": SearchableSetting("sample.t_prime", 50, 500, whole=True, costly=True),
    "eta": SearchableSetting("sample.eta", 0.0, 1.0, costly=True),
    "start_noise": SearchableSetting("sample.start_noise", 0.0, 1.0, costly=True),
    "fade": SearchableSetting("sample.fade", 0.0, 2.0, costly=True),
    "rise": SearchableSetting("sample.rise", 0.0, 1.0, costly=True),
    "v": SearchableSetting("score.v", 0.0, 20.0),
    "sigma": SearchableSetting("score.sigma", 0.0, 12.0, step=SIGMA_STEP),
}


def usual(c: DDADSettings, name: str, names: Sequence[str]) -> tuple[float, float]:
    """The range of a name; names: all that are searched. T' (1 + rise) stays below the training's times."""
    low, high = AXES[name].low, AXES[name].high
    if c.sample.model == "student" and name in ("w", "t_prime"):
        learnt = trained_for(c.student, t_max=c.train.t_max)
        return learnt.w if name == "w" else learnt.t_prime
    last = c.train.t_max - 1
    if name == "t_prime":
        high = min(high, int(last / (1.5 if "rise" in names else 1.0 + c.sample.rise)))
        return max(c.sample.steps, min(low, high - 1)), high
    if name == "rise":
        latest = usual(c, "t_prime", names)[1] if "t_prime" in names else c.sample.t_prime
        return low, min(high, int(100 * (last / latest - 1.0)) / 100)
    return low, high


def refused(c: DDADSettings, name: str) -> str:
    """Why a name cannot be searched with this config, as the end of a sentence; "" where it can."""
    if c.sample.scoring != "reconstruction" and (name in OF_RECONSTRUCTIONS or name == "v"):
        return f"--config.sample.scoring={c.sample.scoring} has none; search the others, such as --over=t_prime,sigma"
    if name != "t_prime" or c.sample.grid not in ("reference", OPTIMISED):
        return ""
    why = "takes T' divisible by the steps" if c.sample.grid == "reference" else "is found anew for every T'"
    return f"--config.sample.grid={c.sample.grid} {why}; search the others, or take another grid"
