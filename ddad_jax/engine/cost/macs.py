"""Multiply-adds of a network, counted in its traced program: convolutions and matrix products, and nothing else.

What no output needs is not counted, as XLA leaves it out; what is written twice is counted twice. A scan counts each
step, a branch counts whether it is taken or not.
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
from jax.interpreters.partial_eval import dce_jaxpr

from ddad_jax.detector import Detection, Detector, detection
from ddad_jax.distance import feature_distance
from ddad_jax.engine.methods.ddad.sections import ModelSettings
from ddad_jax.pair_program import PairInput, way_of
from ddad_jax.types import Array
from ddad_jax.unet import CHANNEL_MULT

_STAGE = re.compile(r"(?:^|[/.])(down|up)_(\d+)_(\d+)")
_ENDS = re.compile(r"(?:^|[/.])(middle_\d|time_embedding|w_embedding|start_embedding)")


def counted(function: Callable[..., Any], *args: Any) -> Counter[str]:
    """Path of each layer, as ``function`` names its modules -> multiply-adds of one call on ``args``.

    Args:
      args: arrays or ``jax.ShapeDtypeStruct``; nothing is computed.
    """
    found: Counter[str] = Counter()
    for path, _, count in _operations(function, *args):
        found[path] += count
    return found


def by_dtype(function: Callable[..., Any], *args: Any) -> Counter[str]:
    """``counted`` by the type of what is multiplied: "bfloat16" -> multiply-adds."""
    found: Counter[str] = Counter()
    for _, dtype, count in _operations(function, *args):
        found[dtype] += count
    return found


def of_detector(detector: Detector, pairs: PairInput) -> Counter[str]:
    """``by_dtype`` of one call on placed ``pairs``, for a point with one T' for all; a call of the network that reuses
    deep features counts as the layers it computes."""
    program, point, score = detector.program, detector.point, detector.score

    def detect(weights: Any, pairs: PairInput) -> Detection:
        _, pixel, layers = program.function(weights, pairs, **way_of(point._replace(reuse=1)))
        d_f = feature_distance(layers, score.layers, pixel.shape[1], upsampling=score.upsampling)
        return detection(pixel, d_f, detector.constants, score=score, crop=detector.crop)

    # Both branches of a step that may reuse would count, so every step is whole here and its savings are taken off.
    found = by_dtype(detect, program.weights, pairs)
    if point.whole_calls < point.calls:

        def whole(weights: Any, x_t: Array, t: Array) -> Any:
            network: Any = program.networks(weights)[0]
            return network.whole(x_t, t)

        def shallow(weights: Any, x_t: Array, t: Array, deep: Any) -> Any:
            network: Any = program.networks(weights)[0]
            return network.shallow(x_t, t, deep)

        x_t = jax.ShapeDtypeStruct(pairs.images.shape, jnp.float32)
        t = jax.ShapeDtypeStruct(x_t.shape[:1], jnp.int32)
        deep = jax.eval_shape(whole, program.weights, x_t, t)[1]
        saved = by_dtype(whole, program.weights, x_t, t)
        saved.subtract(by_dtype(shallow, program.weights, x_t, t, deep))
        for dtype, count in saved.items():
            found[dtype] -= (point.calls - point.whole_calls) * count
    return found


def _operations(function: Callable[..., Any], *args: Any) -> Iterator[tuple[str, str, int]]:
    jaxpr = jax.make_jaxpr(function)(*args).jaxpr
    yield from _walk(dce_jaxpr(jaxpr, [True] * len(jaxpr.outvars))[0], "")


def _walk(jaxpr: Any, above: str) -> Iterator[tuple[str, str, int]]:
    """(path, type, multiply-adds) of every convolution and product."""
    for equation in jaxpr.eqns:
        path = f"{above}/{equation.source_info.name_stack}"
        inputs = [v.aval for v in equation.invars]
        if equation.primitive.name == "dot_general":
            ((contracted, _), _) = equation.params["dimension_numbers"]
            outputs = math.prod(equation.outvars[0].aval.shape)
            yield path, str(inputs[0].dtype), outputs * math.prod(inputs[0].shape[i] for i in contracted)
        elif equation.primitive.name == "conv_general_dilated":
            _, *summed = equation.params["dimension_numbers"].rhs_spec
            outputs = math.prod(equation.outvars[0].aval.shape)
            yield path, str(inputs[0].dtype), outputs * math.prod(inputs[1].shape[i] for i in summed)
        times = equation.params.get("length", 1) if equation.primitive.name == "scan" else 1
        for inner in jax.tree.leaves(equation.params, is_leaf=lambda p: hasattr(p, "eqns") or hasattr(p, "jaxpr")):
            inner = getattr(inner, "jaxpr", inner)
            if hasattr(inner, "eqns"):
                yield from ((below, dtype, times * count) for below, dtype, count in _walk(inner, path))


def by_level(m: ModelSettings, size: int, layers: Counter[str]) -> dict[str, int]:
    """The U-Net's ``layers`` summed over its levels, finest first, then the embeddings: "64 px" -> multiply-adds.

    A level is named by the side of its features; what halves or doubles them belongs to the level it leads to.
    """
    inner, blocks = size // m.patch, m.res_blocks + 1
    levels = len(m.channel_mult or CHANNEL_MULT[inner])
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
