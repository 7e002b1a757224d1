"""What DDAD's settings ask for: of a student, of adaptation, of several values at once."""

from typing import Any

from ddad_jax.distilled import Trained, require_distilled_for
from ddad_jax.engine.methods.ddad.sections import DDADSettings, StudentSettings
from ddad_jax.errors import InputError
from ddad_jax.points import OPTIMISED, ReconPoint
from ddad_jax.timesteps import GRIDS


def trained_for(s: StudentSettings, *, t_max: int) -> Trained:
    """What a student trains for; its teacher learns times below ``t_max``.

    Raises:
      InputError: a T' of its range has no grid of so many steps, the student's grid begins below T', or the teacher
        never saw times so late.
    """
    low, high = int(s.t_prime[0]), int(s.t_prime[1])
    if high >= t_max:
        raise InputError(
            f"--config.student.t_prime={tuple(s.t_prime)}: the teacher learns times below {t_max} "
            "(--config.train.t_max), so the largest T' must be smaller"
        )
    for name, grid, steps in (("grid", s.grid, s.calls), ("teacher_grid", s.teacher_grid, s.teacher_steps)):
        for t_prime in range(low, high + 1):
            try:
                times = GRIDS[grid](t_prime, steps)
            except InputError as error:
                raise InputError(f"--config.student.{name}={grid!r}: {error}") from None
            if times.t[0] != t_prime:
                raise InputError(f"--config.student.{name}={grid!r}: expected a grid that visits T' itself")
    return Trained(
        w=(float(s.w[0]), float(s.w[1])),
        t_prime=(low, high),
        calls=int(s.calls),
        grid=s.grid,
        start_noise=float(s.start_noise),
        fade=float(s.fade),
        blend_max=float(s.blend_max),
        solver=s.teacher_solver,
        steps=int(s.teacher_steps),
        teacher_grid=s.teacher_grid,
    )


def student_axes(s: StudentSettings, axes: dict[str, Any]) -> dict[str, Any]:
    """``axes`` of ``points.recon_grid`` as a student takes them: what it learnt with is fixed, its steps are those of
    the sweep that it has calls for, and it reconstructs.

    Raises:
      InputError: none of the steps, or nothing is to be reconstructed.
    """
    steps = tuple(n for n in axes["steps"] if n <= s.calls)
    if not steps:
        few = "1 or 2" if s.calls == 2 else "1"
        raise InputError(
            f"model = student with steps {tuple(axes['steps'])}: the student answers in {few} network calls; put {few} "
            "into --config.sample.steps or --config.sweep.steps"
        )
    scoring = tuple(name for name in axes["scoring"] if name == "reconstruction")
    if not scoring:
        raise InputError(
            f"--config.sample.scoring={axes['scoring'][0]} with model = student: a student redraws pictures and "
            "predicts no noise at other times; expected model = teacher, or scoring = reconstruction"
        )
    own = {name: s[name] for name in ("grid", "start_noise", "fade", "blend_max")}
    own |= {"solver": "ddim", "eta": 0.0, "rise": 0.0, "reuse": 1, "model": "student"}
    fixed = {name: (value,) for name, value in own.items()}
    return {**axes, **fixed, "steps": steps, "scoring": scoring}


def require_point(trained: Trained, point: ReconPoint) -> None:
    """``distilled.require_distilled_for`` of a student's point."""
    asked = ("w", "t_prime", "steps", "grid", "start_noise", "fade", "blend_max")
    try:
        require_distilled_for(trained, **{name: getattr(point, name) for name in asked})
    except InputError as error:
        raise InputError(f"model = student: {error} (--config.student, in a new --workdir)") from None


TRAINED_WITH = ("method", "seed", "data", "model", "train")
"""What the noise predictor in a workdir depends on. The rest may change between runs."""

ADAPTED_WITH = ("backbone", "adapt", "sample.grid", "sample.clip", "score.layers", "score.sigma", "score.upsampling")
"""What the adapted extractor depends on besides."""

STUDENT_WITH = ("student",)
"""What a student depends on besides."""


def products(c: DDADSettings, *names: str) -> list[dict[str, tuple[Any, ...]]]:
    """The values of ``sample.<name>`` that belong together in a run: the point, the sweep, and each of its parts."""
    point = {name: (c.sample[name],) for name in names}
    tried = ({name: c.sweep[name] for name in names}, *c.sweep.parts.values())
    return [point, *({name: sweep.get(name) or point[name] for name in names} for sweep in tried)]


def adaptation_grid(name: str) -> str:
    """The grid adaptation reconstructs with, of ``sample.grid``."""
    return "trailing" if name == OPTIMISED else name
