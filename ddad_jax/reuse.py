"""L3. Networks with a memory of earlier steps, and the one memory there is: features of a U-Net's deep layers.

Deep features change little from one step to the next, so most steps can do with those of an earlier one. Solvers and
conditioning know nothing of it: within a step a network with a memory is an EpsFn.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ddad_jax.errors import InputError
from ddad_jax.types import Array, EpsFn


class Recurrent(NamedTuple):
    """begin: x_start -> memory, a tree of arrays. call: (memory, x_t, t, i) -> (eps, memory), i the step's number
    from 1, []."""

    begin: Callable[[Array], Any]
    call: Callable[[Any, Array, Array, Array], tuple[Array, Any]]


class Layered(NamedTuple):
    """A network whose deep layers may be left out.

    plain: (x_t, t) -> eps, as it is without reuse. whole: (x_t, t) -> (eps, deep), deep any tree of arrays.
    shallow: (x_t, t, deep) -> eps; with the deep of the same x_t and t it is that of ``whole``.
    """

    plain: EpsFn
    whole: Callable[[Array, Array], tuple[Array, Any]]
    shallow: Callable[[Array, Array, Any], Array]


def recurrent(network: EpsFn | Recurrent) -> Recurrent:
    """A plain EpsFn is a network with nothing to remember; a Recurrent is what it is."""
    if isinstance(network, Recurrent):
        return network
    return Recurrent(lambda x_start: (), lambda memory, x_t, t, i: (network(x_t, t), memory))


def in_step(network: Recurrent, memory: Any, i: Array) -> tuple[EpsFn, Callable[[], Any]]:
    """The network as an EpsFn for step ``i``, and a function that returns the memory its calls so far have left.

    The EpsFn belongs to this step alone, and to no loop or branch of its own inside it: ``memory`` must be asked for
    in the same trace.
    """
    left = memory

    def eps_fn(x_t: Array, t: Array) -> Array:
        nonlocal left
        eps, left = network.call(left, x_t, t, i)
        return eps

    return eps_fn, lambda: left


def wrapped(network: EpsFn | Recurrent, wrap: Callable[[EpsFn], EpsFn]) -> Recurrent:
    """``wrap``, such as conditioning on a target, around a network that may remember."""
    inner = recurrent(network)

    def call(memory: Any, x_t: Array, t: Array, i: Array) -> tuple[Array, Any]:
        eps_fn, left = in_step(inner, memory, i)
        eps = wrap(eps_fn)(x_t, t)
        return eps, left()

    return Recurrent(inner.begin, call)


class ReusedFeatures(NamedTuple):
    """deep: features, as ``Layered.whole`` gives them. step: the number of the step they are of, []; 0 for none."""

    deep: Any
    step: Array


def reusing(network: Any, every: int) -> Any:
    """``network`` with its deep layers computed at steps 1, 1 + every, 1 + 2 every, ... and reused in between.

    Only the first call of such a step computes them: a second one (Heun) is shallow, too.

    Args:
      network: a ``Layered``; with every = 1 anything, and a ``Layered`` is then its ``plain``.
      every: steps, >= 1, bound before ``jit``. Deviation: published 1, every call is whole.

    Raises:
      InputError: ``every`` is no whole number from 1 on, or the network has no parts.

    Source: Ma et al. 2024 (DeepCache), uniform 1:N caching.
    """
    if isinstance(every, bool) or not isinstance(every, int) or every < 1:
        raise InputError(f"reuse = {every!r}: expected a whole number of steps, 1 to compute every layer at each")
    if every == 1:
        return network.plain if isinstance(network, Layered) else network
    if not isinstance(network, Layered):
        raise InputError(f"reuse = {every}: this network has no layers that could be left out; expected 1")
    layered = network

    def begin(x_start: Array) -> ReusedFeatures:
        _, deep = jax.eval_shape(layered.whole, x_start, jnp.zeros((), jnp.int32))
        return ReusedFeatures(jax.tree.map(lambda d: jnp.zeros(d.shape, d.dtype), deep), jnp.zeros((), jnp.int32))

    def call(kept: ReusedFeatures, x_t: Array, t: Array, i: Array) -> tuple[Array, ReusedFeatures]:
        def whole() -> tuple[Array, ReusedFeatures]:
            eps, deep = layered.whole(x_t, t)
            return eps, ReusedFeatures(deep, jnp.asarray(i, jnp.int32))

        def shallow() -> tuple[Array, ReusedFeatures]:
            return layered.shallow(x_t, t, kept.deep), kept

        # One number for the whole batch, so that one branch alone is run.
        due = ((i - 1) % every == 0) & (kept.step != i)
        return jax.lax.cond(due, whole, shallow)

    return Recurrent(begin, call)
