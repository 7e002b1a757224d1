"""L3. A distilled student in the sampler's place: the noise predictor it is, and what it may be asked."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp

from ddad_jax.conditioning import conditioned
from ddad_jax.errors import InputError
from ddad_jax.sampler import reconstruct
from ddad_jax.schedule import alpha_bar_at, per_image
from ddad_jax.timesteps import TimeGrid
from ddad_jax.types import Array, EpsFn, Image

Predict = Callable[[Array, Array, Image, Any, Any], tuple[Array, Array]]
"""predict(x_t, t, y, w, T') -> (eps, d): noise, and a correction of the steered clean image; [b, h, w, c] each."""


class Trained(NamedTuple):
    """What a student may be asked, and whom it imitates.

    w, t_prime: the smallest and the largest. calls: the most, 1 or 2, at the times of ``grid``, a name of
    ``timesteps.GRIDS``. start_noise, fade and blend_max (0: no limit) are the teacher's, as are its solver, steps
    and teacher_grid.
    """

    w: tuple[float, float]
    t_prime: tuple[int, int]
    calls: int
    grid: str
    start_noise: float
    fade: float
    blend_max: float
    solver: str
    steps: int
    teacher_grid: str


def require_distilled_for(
    trained: Trained,
    *,
    w: float,
    t_prime: int,
    steps: int,
    grid: str,
    start_noise: float = 1.0,
    fade: float = 1.0,
    blend_max: float = 0.0,
) -> None:
    """A network answers anything; outside what it was trained for the answer means nothing.

    Raises:
      InputError: naming the first value outside, and what the student was trained for.
    """
    again = "ask for what it knows, or train another one for more"
    for name, value, (low, high) in (("w", w, trained.w), ("T'", t_prime, trained.t_prime)):
        if not low <= value <= high:
            raise InputError(
                f"{name} = {value:g}: the student was trained for {name} from {low:g} to {high:g}; {again}"
            )
    if not 1 <= steps <= trained.calls:
        raise InputError(f"steps = {steps}: the student was trained for 1 to {trained.calls} network calls; {again}")
    fixed = {"grid": grid, "start_noise": start_noise, "fade": fade, "blend_max": blend_max}
    for name, asked in fixed.items():
        own = getattr(trained, name)
        if asked != own:
            raise InputError(f"{name} = {asked}: the student was trained with {name} = {own}; {again}")


def student_eps(
    predict: Predict,
    y: Image,
    *,
    w: Array | float,
    t_prime: Any,
    alpha_bar: Array,
    fade: Array | float = 1.0,
    blend_max: Array | float = math.inf,
) -> EpsFn:
    """The student as a noise predictor for any solver, steering included: it needs no ``conditioned`` around it.

        x0_hat = f + b (y - f) + d,   b = min(w (1 - alpha_bar_t)^fade, blend_max),

    f the clean image of its noise. With d = 0 and the teacher's noise this is the teacher's own prediction.

    Args:
      y: targets [b, h, w, c] in [-1, 1]. w: strength >= 0, scalar or [b]. t_prime: time of the start, scalar or [b].
      alpha_bar: table [T]. fade, blend_max: of ``conditioned``.
    """

    def eps_fn(x_t: Array, t: Array) -> Array:
        eps, d = predict(x_t, t, y, w, t_prime)
        steer = conditioned(lambda x, time: eps, y, w=w, alpha_bar=alpha_bar, fade=fade, blend_max=blend_max)
        a = alpha_bar_at(alpha_bar, t)
        return steer(x_t, t) - per_image(jnp.sqrt(a / (1.0 - a)), x_t) * d

    return eps_fn


def reconstruct_by_student(
    predict: Predict,
    x: Image,
    y: Image,
    grid: TimeGrid,
    *,
    w: Array | float,
    alpha_bar: Array,
    fade: Array | float = 1.0,
    blend_max: Array | float = math.inf,
    by: Callable[..., Any] = reconstruct,
    **how: Any,
) -> Any:
    """``sampler.reconstruct`` with a student in the network's place; w, fade and blend_max reach it as inputs.

    Args:
      by: or ``sampler.visited``, whose result it then is.
      how: its other arguments, eta (0 for what the student was trained for) and noise_fn among them.
    """
    eps_fn = student_eps(predict, y, w=w, t_prime=grid.start, alpha_bar=alpha_bar, fade=fade, blend_max=blend_max)
    # w = 0: the steering is inside.
    return by(eps_fn, x, y, grid, w=0.0, alpha_bar=alpha_bar, **how)
