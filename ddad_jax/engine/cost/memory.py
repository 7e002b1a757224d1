"""Memory of one chunk: as XLA reports it of a compiled program, or counted in the traced one."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from jax.interpreters.partial_eval import dce_jaxpr


class MemoryUse(NamedTuple):
    """Bytes. fixed: parameters of both networks. pair: of each pair of a chunk. how: they were found; counted: not by
    XLA, so an estimate."""

    fixed: float
    pair: float
    how: str
    counted: bool

    def of(self, pairs: int) -> float:
        return self.fixed + pairs * self.pair

    def fits(self, gib: float) -> int:
        """The most pairs of a chunk; 0 where not one fits."""
        return max(int((gib * 2**30 - self.fixed) // self.pair), 0)


def of_compiled(compiled: Any, weights: Any, pairs: int) -> MemoryUse | None:
    """What XLA says of a compiled program of ``pairs`` pairs; None where the device's compiler says nothing."""
    said = compiled.memory_analysis()
    if said is None or not said.temp_size_in_bytes:
        return None
    fixed = tree_bytes(weights)
    whole = said.temp_size_in_bytes + said.argument_size_in_bytes + said.output_size_in_bytes
    return MemoryUse(fixed, max(whole - fixed, 1) / pairs, "XLA's analysis of the compiled program", counted=False)


def tree_bytes(tree: Any) -> int:
    """Of arrays or ``jax.ShapeDtypeStruct``."""
    return sum(_bytes(leaf) for leaf in jax.tree.leaves(tree))


def live_bytes(function: Callable[..., Any], *args: Any) -> int:
    """The most that results of operations hold at once, run in the order written, arguments left out.

    A compiler fuses what is written apart and copies what it lays out anew, so this is near its figure and not equal.
    """
    jaxpr = jax.make_jaxpr(function)(*args).jaxpr
    return _peak(dce_jaxpr(jaxpr, [True] * len(jaxpr.outvars))[0])


def _peak(jaxpr: Any) -> int:
    last = {v: i for i, equation in enumerate(jaxpr.eqns) for v in equation.invars if not hasattr(v, "val")}
    last |= dict.fromkeys((v for v in jaxpr.outvars if not hasattr(v, "val")), len(jaxpr.eqns))
    made: dict[Any, int] = {}
    most = 0
    for i, equation in enumerate(jaxpr.eqns):
        inside = max((_peak(inner) for inner in _inner(equation)), default=0)
        results = sum(_bytes(v.aval) for v in equation.outvars)
        # What an inner program returns is among what it holds.
        most = max(most, sum(made.values()) + max(inside, results))
        made |= {v: _bytes(v.aval) for v in equation.outvars if last.get(v, -1) > i}
        for v in [v for v in made if last[v] <= i]:
            del made[v]
    return most


def _inner(equation: Any) -> list[Any]:
    found = jax.tree.leaves(equation.params, is_leaf=lambda p: hasattr(p, "eqns") or hasattr(p, "jaxpr"))
    found = [getattr(p, "jaxpr", p) for p in found]
    return [p for p in found if hasattr(p, "eqns")]


def _bytes(array: Any) -> int:
    dtype = getattr(array, "dtype", None)
    return math.prod(array.shape) * getattr(dtype, "itemsize", 0) if dtype is not None else 0
