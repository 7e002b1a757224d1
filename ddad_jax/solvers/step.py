"""L3. What a step rule is given and what it is: the interface between the loop and the solvers."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp

from ddad_jax.types import Array, EpsFn


class Step(NamedTuple):
    """One step of a trajectory. i: its number from 1, []. t, s: from where to where, scalar or [b]; s = -1 is
    the clean image. a_t, a_s: alpha_bar there. eta: in [0, 1], scalar or [b]. noise: standard normal, like x."""

    i: Array
    t: Array
    s: Array
    a_t: Array
    a_s: Array
    eta: Array | float
    noise: Array


class Solver(NamedTuple):
    """begin: x_start -> memory, a tree of arrays.

    advance: (eps_fn, memory, x_t, step) -> (x_s, memory). At a_s = 1 it returns a prediction of the clean image.
    order: p, the error on smooth data falls as (size of a step)^p without noise; the tests measure it. calls: of the
    network in each step. stochastic: whether eta and the noise are used; the others solve the probability-flow ODE
    and ignore them.
    """

    begin: Callable[[Array], Any]
    advance: Callable[[EpsFn, Any, Array, Step], tuple[Array, Any]]
    order: int
    calls: int = 1
    stochastic: bool = False


def half_log_snr(a: Array) -> Array:
    """lambda = log(sqrt(a) / sqrt(1 - a)), the time of exponential integrators; infinite at a = 1.

    >>> [round(float(half_log_snr(jnp.asarray(a))), 3) for a in (0.1, 0.5, 0.9)]
    [-1.099, 0.0, 1.099]
    """
    return 0.5 * (jnp.log(a) - jnp.log1p(-a))
