"""L3. The one loop that runs a solver, and the reconstruction of an image with it.

The loop knows neither a network nor a target: it takes an EpsFn, which a U-Net, a distilled student
or an analytic Gaussian can be, or a network that remembers something from step to step (``reuse``).
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ddad_jax.conditioning import conditioned
from ddad_jax.reuse import Recurrent, in_step, recurrent, wrapped
from ddad_jax.schedule import alpha_bar_at, per_image, perturb
from ddad_jax.solvers import DDIM, Solver, Step
from ddad_jax.timesteps import TimeGrid
from ddad_jax.types import Array, EpsFn, Image, NoiseFn


class Trajectory(NamedTuple):
    """x0: the result [b, h, w, c]. states: x after each step [K, b, h, w, c]."""

    x0: Array
    states: Array


def trajectory(
    network: EpsFn | Recurrent,
    x_start: Array,
    grid: TimeGrid,
    *,
    eta: Array | float,
    alpha_bar: Array,
    noise_fn: NoiseFn,
    solver: Solver = DDIM,
) -> Trajectory:
    """Run the solver over the grid and keep every state: one ``lax.scan``, K steps.

    Args:
      network: of noise; what it remembers is handed from step to step as the solver's own memory is.
      x_start: the noised images [b, h, w, c].
      grid: K times and where each leads; traced or not.
      eta: in [0, 1], scalar or [b]; only DDIM has noise of its own, the other solvers are deterministic.
      alpha_bar: table [T].
      noise_fn: i -> noise of step i = 1 .. K (0 belongs to the start).
      solver: bound before ``jit``. Deviation: any but DDIM.
    """

    network = recurrent(network)

    def advance(carry: tuple[Array, Any, Any], at: tuple[Array, Array, Array]) -> tuple[tuple[Array, Any, Any], Array]:
        x_t, memory, kept = carry
        i, t, s = at
        noise = noise_fn(i) if solver.stochastic else jnp.zeros_like(x_t)
        step = Step(i, t, s, alpha_bar_at(alpha_bar, t), alpha_bar_at(alpha_bar, s), eta, noise)
        eps_fn, left = in_step(network, kept, i)
        x_s, memory = solver.advance(eps_fn, memory, x_t, step)
        return (x_s, memory, left()), x_s

    numbers = jnp.arange(1, grid.t.shape[0] + 1)
    begin = (x_start, solver.begin(x_start), network.begin(x_start))
    (x0, *_), states = jax.lax.scan(advance, begin, (numbers, jnp.asarray(grid.t), jnp.asarray(grid.s)))
    return Trajectory(x0, states)


def reconstruct(
    network: EpsFn | Recurrent,
    x: Image,
    y: Image,
    grid: TimeGrid,
    *,
    w: Array | float,
    eta: Array | float,
    alpha_bar: Array,
    noise_fn: NoiseFn,
    solver: Solver = DDIM,
    start_noise: Array | float = 1.0,
    fade: Array | float = 1.0,
    blend_max: Array | float = math.inf,
) -> Array:
    """Noise ``x`` to T', then denoise it towards ``y``. Returns x0 [b, h, w, c], not clipped.

    Everything but the solver and the number of steps may be traced: one compilation serves every value.

    Args:
      w, fade, blend_max: of ``conditioned``; network, solver, eta, alpha_bar, noise_fn: of ``trajectory``.
      start_noise: scalar or [b]. Deviation: the noise of the start is multiplied by this; published 1. With 0 the
        start is the scaled image sqrt(alpha_bar) x, deterministic: nothing of the image is drowned in noise.

    Source: DDAD Algorithm 1.
    """
    noise = per_image(start_noise, x) * noise_fn(jnp.asarray(0))
    x_start = perturb(x, noise, alpha_bar_at(alpha_bar, jnp.asarray(grid.start)))
    how: Any = {"w": w, "alpha_bar": alpha_bar, "fade": fade, "blend_max": blend_max}
    steered = wrapped(network, lambda eps_fn: conditioned(eps_fn, y, **how))
    return trajectory(steered, x_start, grid, eta=eta, alpha_bar=alpha_bar, noise_fn=noise_fn, solver=solver).x0


def noise_of(keys: Array, shape: tuple[int, ...]) -> NoiseFn:
    """Noise drawn for each image from its own key, so that it depends on no batch mate.

    Args:
      keys: typed PRNG keys [b]; shape: of one image, (h, w, c).
    """

    def noise_fn(i: Array) -> Array:
        return jax.vmap(lambda key: jax.random.normal(jax.random.fold_in(key, i), shape))(keys)

    return noise_fn
