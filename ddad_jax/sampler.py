"""L3. The one loop that runs a solver, and the reconstruction of an image with it.

The loop knows neither a network nor a target: it takes an EpsFn, which a U-Net, a distilled student
or an analytic Gaussian can be, or a network that remembers something from step to step (``reuse``).
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ddad_jax.conditioning import conditioned, denoised
from ddad_jax.errors import InputError
from ddad_jax.reuse import Recurrent, in_step, recurrent, wrapped
from ddad_jax.schedule import alpha_bar_at, per_image, perturb
from ddad_jax.solvers import DDIM, Solver, Step
from ddad_jax.timesteps import TimeGrid
from ddad_jax.types import Array, EpsFn, Image, NoiseDraw, NoiseFn


class Trajectory(NamedTuple):
    """x0: the result [b, h, w, c]. states: x after each step [K, b, h, w, c]."""

    x0: Array
    states: Array


class Visited(NamedTuple):
    """What a reconstruction goes through at its K visited times. x_t: the noised images there [K, b, h, w, c]. x0_hat:
    the clean images predicted from them, steered, not clipped [K, b, h, w, c]."""

    x_t: Array
    x0_hat: Array


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
      eta: in [0, 1], scalar or [b]; of solvers with noise of their own; the others are deterministic.
      alpha_bar: table [T].
      noise_fn: i -> noise of step i = 1 .. K (0 belongs to the start).
      solver: bound before ``jit``. Deviation: any but DDIM.
    """
    x0, (states, _) = _run(network, x_start, grid, eta, alpha_bar, noise_fn, solver, predictions=False)
    return Trajectory(x0, states)


def _run(
    network: EpsFn | Recurrent,
    x_start: Array,
    grid: TimeGrid,
    eta: Array | float,
    alpha_bar: Array,
    noise_fn: NoiseFn,
    solver: Solver,
    *,
    predictions: bool,
) -> tuple[Array, tuple[Array, Array | None]]:
    """(x0, (x after each step, x0_hat of each step's first call or None))."""
    network = recurrent(network)

    def advance(carry: tuple[Array, Any, Any], at: tuple[Array, Array, Array]) -> tuple[tuple[Array, Any, Any], Any]:
        x_t, memory, kept = carry
        i, t, s = at
        noise = noise_fn(i) if solver.stochastic else jnp.zeros_like(x_t)
        step = Step(i, t, s, alpha_bar_at(alpha_bar, t), alpha_bar_at(alpha_bar, s), eta, noise)
        eps_fn, left = in_step(network, kept, i)
        predicted: list[Array] = []

        def seen(x: Array, time: Array) -> Array:
            eps = eps_fn(x, time)
            # A second call of a step (Heun) is at the next time.
            if predictions and not predicted:
                predicted.append(denoised(x, eps, step.a_t))
            return eps

        x_s, memory = solver.advance(seen, memory, x_t, step)
        return (x_s, memory, left()), (x_s, predicted[0] if predicted else None)

    numbers = jnp.arange(1, grid.t.shape[0] + 1)
    begin = (x_start, solver.begin(x_start), network.begin(x_start))
    (x0, *_), kept = jax.lax.scan(advance, begin, (numbers, jnp.asarray(grid.t), jnp.asarray(grid.s)))
    return x0, kept


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
    start: str = "noise",
    **steering: Any,
) -> Array:
    """Noise ``x`` to T', then denoise it towards ``y``. Returns x0 [b, h, w, c], not clipped.

    Everything but the solver and the number of steps may be traced: one compilation serves every value.

    Args:
      w and steering (fade, blend_max, blend_low, blend_high): of ``conditioned``.
      network, solver, eta, alpha_bar, noise_fn: of ``trajectory``.
      start_noise: scalar or [b]. Deviation: the noise of the start is multiplied by this; published 1. With 0 the
        start is the scaled image sqrt(alpha_bar) x, deterministic: nothing of the image is drowned in noise.
      start: bound before ``jit``. Deviation: "inversion" starts where the probability flow leads from ``x`` itself
        (``inverted``), deterministic, with the noise that belongs to the image; published "noise".

    Source: DDAD Algorithm 1.

    >>> from ddad_jax.schedule import alpha_bar_table
    >>> from ddad_jax.timesteps import trailing
    >>> y, table = jnp.full((1, 2, 2, 3), 0.5), alpha_bar_table()
    >>> grey = lambda x_t, t: x_t / jnp.sqrt(1.0 - alpha_bar_at(table, t))  # its clean image is always 0
    >>> noise_fn = noise_of(jax.random.split(jax.random.key(0), 1), (2, 2, 3))
    >>> x0 = reconstruct(grey, y, y, trailing(250, 5), w=6.0, eta=0.0, alpha_bar=table, noise_fn=noise_fn)
    >>> x0.shape, bool(jnp.allclose(x0, 6.0 * (1.0 - table[50]) * y))  # the blend of the last step, at t = 50
    ((1, 2, 2, 3), True)
    """
    x_start = _started(network, x, grid, alpha_bar, noise_fn, start_noise, start)
    steered = wrapped(network, lambda eps_fn: conditioned(eps_fn, y, w=w, alpha_bar=alpha_bar, **steering))
    return trajectory(steered, x_start, grid, eta=eta, alpha_bar=alpha_bar, noise_fn=noise_fn, solver=solver).x0


def visited(
    network: EpsFn | Recurrent,
    x: Image,
    y: Image,
    grid: TimeGrid,
    *,
    eta: Array | float,
    alpha_bar: Array,
    noise_fn: NoiseFn,
    solver: Solver = DDIM,
    start_noise: Array | float = 1.0,
    start: str = "noise",
    **steering: Any,
) -> Visited:
    """What ``reconstruct`` goes through with the same arguments, by the same loop and no further call.

    Args:
      steering: w, fade, blend_max, blend_low and blend_high, as ``reconstruct`` takes them.
    """
    x_start = _started(network, x, grid, alpha_bar, noise_fn, start_noise, start)
    steered = wrapped(network, lambda eps_fn: conditioned(eps_fn, y, alpha_bar=alpha_bar, **steering))
    _, (states, x0_hat) = _run(steered, x_start, grid, eta, alpha_bar, noise_fn, solver, predictions=True)
    assert x0_hat is not None
    return Visited(jnp.concatenate([x_start[None], states[:-1]]), x0_hat)


STARTS = ("noise", "inversion")
"""Of a reconstruction at T': the image noised, or where the probability flow leads from it."""


def inverted_start(network: EpsFn | Recurrent, x: Image, grid: TimeGrid, *, alpha_bar: Array) -> Array:
    """x_T' that the probability flow, without any target, leads back to ``x``: DDIM from t = 0 up the times of the
    grid, K calls, first order.

    ``x`` counts as an image at t = 0, and the network is called where each step leaves from.

    Source: Song et al. 2021 (DDIM), section 5.4 (encoding).
    """
    up = jnp.flip(jnp.asarray(grid.t), 0)
    t = jnp.concatenate([jnp.zeros_like(up[:1]), up[:-1]])
    x_0 = perturb(x, jnp.zeros_like(x), alpha_bar_at(alpha_bar, jnp.asarray(0)))
    silent = lambda i: jnp.zeros_like(x)  # noqa: E731
    return trajectory(network, x_0, TimeGrid(t[0], t, up), eta=0.0, alpha_bar=alpha_bar, noise_fn=silent).x0  # type: ignore[arg-type]


def _started(
    network: EpsFn | Recurrent,
    x: Image,
    grid: TimeGrid,
    alpha_bar: Array,
    noise_fn: NoiseFn,
    start_noise: Array | float,
    start: str,
) -> Array:
    """``x`` at T'.

    Raises:
      InputError: a start that is none of STARTS.
    """
    if start not in STARTS:
        raise InputError(f"start = {start!r}: expected {' or '.join(STARTS)}")
    if start == "inversion":
        return inverted_start(network, x, grid, alpha_bar=alpha_bar)
    noise = per_image(start_noise, x) * noise_fn(jnp.asarray(0))
    return perturb(x, noise, alpha_bar_at(alpha_bar, jnp.asarray(grid.start)))


def noise_of(keys: Array, shape: tuple[int, ...], draw: NoiseDraw = jax.random.normal) -> NoiseFn:
    """Noise drawn for each image from its own key, so that it depends on no batch mate.

    Args:
      keys: typed PRNG keys [b]; shape: of one image, (h, w, c). draw: the noise that the network was trained with.

    >>> keys = jax.random.split(jax.random.key(0), 3)
    >>> noise = noise_of(keys, (4, 4, 1))(1)
    >>> alone = noise_of(keys[2:], (4, 4, 1))(1)
    >>> noise.shape, bool((noise[2] == alone[0]).all())
    ((3, 4, 4, 1), True)
    """

    def noise_fn(i: Array) -> Array:
        return jax.vmap(lambda key: draw(jax.random.fold_in(key, i), shape))(keys)

    return noise_fn
