"""Multiply-adds of a network, counted in its traced program: convolutions and matrix products, and nothing else."""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import jax
from ml_collections import ConfigDict

from ddad_jax.unet import CHANNEL_MULT

_STAGE = re.compile(r"(?:^|[/.])(down|up)_(\d+)_(\d+)")
_ENDS = re.compile(r"(?:^|[/.])(middle_\d|time_embedding|w_embedding|start_embedding)")


def counted(function: Callable[..., Any], *args: Any) -> Counter[str]:
    """Path of each layer, as ``function`` names its modules -> multiply-adds of one call on ``args``.

    Args:
      args: arrays or ``jax.ShapeDtypeStruct``; nothing is computed.
    """
    found: Counter[str] = Counter()
    for path, count in _walk(jax.make_jaxpr(function)(*args).jaxpr, ""):
        found[path] += count
    return found


def _walk(jaxpr: Any, above: str) -> Iterator[tuple[str, int]]:
    for equation in jaxpr.eqns:
        path = f"{above}/{equation.source_info.name_stack}"
        shapes, out = [tuple(v.aval.shape) for v in equation.invars], equation.outvars[0].aval
        if equation.primitive.name == "dot_general":
            ((contracted, _), _) = equation.params["dimension_numbers"]
            yield path, math.prod(out.shape) * math.prod(shapes[0][i] for i in contracted)
        elif equation.primitive.name == "conv_general_dilated":
            _, *summed = equation.params["dimension_numbers"].rhs_spec
            yield path, math.prod(out.shape) * math.prod(shapes[1][i] for i in summed)
        times = equation.params.get("length", 1) if equation.primitive.name == "scan" else 1
        for inner in jax.tree.leaves(equation.params, is_leaf=lambda p: hasattr(p, "eqns") or hasattr(p, "jaxpr")):
            inner = getattr(inner, "jaxpr", inner)
            if hasattr(inner, "eqns"):
                yield from ((below, times * count) for below, count in _walk(inner, path))


def by_level(c: ConfigDict, layers: Counter[str]) -> dict[str, int]:
    """The U-Net's ``layers`` summed over its levels, finest first, then the embeddings: "64 px" -> multiply-adds.

    A level is named by the side of its features; what halves or doubles them belongs to the level it leads to.
    """
    inner, blocks = c.data.size // c.model.patch, c.model.res_blocks + 1
    levels = len(c.model.channel_mult or CHANNEL_MULT[inner])
    found = {f"{inner >> level} px": 0 for level in range(levels)} | {"embeddings": 0}
    for path, count in layers.items():
        stage, end = _STAGE.search(path), _ENDS.search(path)
        level = levels - 1 if end else 0
        if stage:
            at, block = divmod(int(stage[2]), blocks)
            level = at if stage[1] == "down" else levels - 1 - at
            # What stands last on the way up doubles the side before its convolutions.
            doubles = stage[1] == "up" and block == blocks - 1 and int(stage[3]) > 0 and "_layers_" in path
            level -= bool(level and doubles)
        embeds = "embed_layers" in path or (end is not None and "embedding" in end[1])
        found["embeddings" if embeds else f"{inner >> level} px"] += count
    return found
