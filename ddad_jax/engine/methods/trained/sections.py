"""Settings that methods with a training of their own have in common."""

from dataclasses import dataclass

from ddad_jax.engine.settings.need import Need, values_at
from ddad_jax.engine.settings.sections import ScoreSettings, Settings
from ddad_jax.engine.settings.setting import Range, above, is_real, none_or_more, number, setting, tuple_of
from ddad_jax.engine.settings.training import BATCH, DECAY, TrainingSettings

_SIGMA = number(0, 256, "0 (no blur) to 256, in pixels of a picture of 256")
_DROPS = tuple_of(Range(lambda v: is_real(v) and 0 < v < 1, "a share of the steps between 0 and 1"))
_FACTOR = Range(lambda v: is_real(v) and 0 < v <= 1, "a factor above 0, at most 1")


@dataclass(frozen=True)
class NetworkTrainingSettings(TrainingSettings):
    """The training of the networks."""

    batch_size: int = setting(8, BATCH, "pictures, over all devices")
    learning_rate: float = setting(1e-4, above(0), "of Adam")
    weight_decay: float = setting(0.0, DECAY, "L2 coupled to the gradient")
    warmup_steps: int = setting(0, none_or_more("no warm-up"), "of a rate that rises from 0")
    clip_norm: float = setting(0.0, number(0), "of the gradient of all parameters; 0: none")
    drop_at: tuple[float, ...] = setting(
        (), _DROPS, "shares of `steps` at which the learning rate is multiplied by `drop`; a training that max_minutes "
        "ends may not come so far",
    )  # fmt: skip
    drop: float = setting(0.2, _FACTOR, "of the learning rate, at each of drop_at")

    @property
    def drops(self) -> dict[int, float]:
        at = [max(1, round(share * self.steps) // self.accumulate) for share in self.drop_at]
        return {update: self.drop ** at.count(update) for update in at}


@dataclass(frozen=True)
class TrainedScoreSettings(ScoreSettings):
    """From what the networks say of a picture to a map, and to the picture's score."""

    sigma: float = setting(0.0, _SIGMA, "of the map's blur, in pixels of a 256 px image; scaled with the size")


def check_trained_jointly(c: Settings, need: Need) -> None:
    """What these settings can only break together.

    Raises:
      InputError: naming the first flag whose value cannot be used with the others.
    """
    need("sweep.mask_after", True not in values_at(c, "sweep.mask_after") or bool(c.view.mask),
         "(), or the mask of the view as --config.view.mask=FILE")  # fmt: skip
