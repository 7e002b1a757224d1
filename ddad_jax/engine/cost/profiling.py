"""Where the time of one picture goes: every piece of the detector compiled and timed on its own, beside the whole.

A piece alone is neither fused with its neighbours nor overlaps them, so the sum need not be the whole.
"""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ddad_jax.data import to_float
from ddad_jax.detector import Detection, detection
from ddad_jax.distance import feature_distance, feature_distances, pixel_distance
from ddad_jax.distilled import reconstruct_by_student
from ddad_jax.engine.cost.macs import by_level, counted
from ddad_jax.engine.cost.timing import matmul, peak_memory, time_in_turns, timed
from ddad_jax.engine.cost.untrained import Untrained, untrained
from ddad_jax.engine.methods.ddad.networks import alpha_bar, drawn_noise
from ddad_jax.engine.methods.ddad.sections import DDADSettings
from ddad_jax.image import resize
from ddad_jax.pair_program import PairProgram, way_of
from ddad_jax.reuse import Layered
from ddad_jax.sampler import reconstruct
from ddad_jax.types import Array

COLUMNS = ("name", "calls", "ms_per_image", "share", "gmac_per_image", "share_of_peak")
UNET, SHALLOW = "U-Net", "U-Net, deep layers reused"
SUM, WHOLE = "sum of the pieces", "whole detector"


class Piece(NamedTuple):
    """A part of the detector. calls: of it, for one image. run: one call on the batch. layers: path -> multiply-adds
    of one call on the batch. dtype: what it computes in."""

    name: str
    calls: int
    run: Callable[[], Any]
    layers: Counter[str]
    dtype: str


def profile_run(c: DDADSettings, batch: int, repeats: int, workdir: Path) -> list[dict[str, Any]]:
    """A row a piece, in the order they run; below the U-Net its levels, with multiply-adds alone; the sum; the whole.

    Pieces, the whole and the matrix product that share_of_peak refers to take turns, so that a busy machine slows all
    of them. share: of the whole. share_of_peak: of the product's rate, in the piece's type. The whole's multiply-adds
    are counted in its own program.

    Raises:
      InputError: as ``untrained``.
    """
    subject = untrained(c, batch, workdir)
    parts = pieces(c, subject, repeats)
    dtypes = sorted({part.dtype for part in parts if part.layers} | {*subject.macs})
    products = [matmul(jnp.dtype(dtype)) for dtype in dtypes]
    runs = [subject.detect, *(part.run for part in parts), *(call for call, _ in products)]
    whole, *own = (timed(s) for s in time_in_turns(runs, repeats))
    rates = zip(dtypes, products, own[len(parts) :], strict=True)
    peaks = {dtype: macs / spent.median for dtype, (_, macs), spent in rates}
    head = {name: subject.known[name] for name in ("what", "batch", "solver", "times")}
    ms = 1e3 / batch
    rows = []
    for part, spent in zip(parts, own, strict=False):
        macs = sum(part.layers.values())
        row = {
            "name": part.name,
            "calls": part.calls,
            "ms_per_image": ms * part.calls * spent.median,
            "p95_ms": ms * part.calls * spent.p95,
            "share": round(part.calls * spent.median / whole.median, 4),
            "dtype": part.dtype,
        }
        if macs:
            row["gmac_per_image"] = part.calls * macs / batch / 1e9
            row["share_of_peak"] = macs / spent.median / peaks[part.dtype]
        rows.append(head | row)
        if part.name == UNET:
            for level, count in by_level(c.model, c.data.size, part.layers).items():
                name, calls = f"  of it {level}", part.calls
                rows.append(head | {"name": name, "calls": calls, "gmac_per_image": calls * count / batch / 1e9})
    timed_rows = [row for row in rows if "ms_per_image" in row]
    total = {key: sum(row.get(key, 0.0) for row in timed_rows) for key in ("ms_per_image", "share", "gmac_per_image")}
    rows.append(head | {"name": SUM, **total})
    figures = {"ms_per_image": ms * whole.median, "p95_ms": ms * whole.p95, "share": 1.0}
    figures |= {name: subject.known[name] for name in ("gmac_per_image", "compile_s")}
    figures["share_of_peak"] = subject.at_peak(peaks) / whole.median
    rows.append(head | {"name": WHOLE, "calls": 1, **figures, **peak_memory()})
    return rows


def pieces(c: DDADSettings, subject: Untrained, repeats: int) -> list[Piece]:
    """The parts of ``subject``, each compiled, with arrays of their own that the part before would have made."""
    detector = subject.detector
    program, point, score = detector.program, detector.point, detector.score
    pairs, weights = detector.place(subject.images), program.weights
    y = to_float(pairs.images)
    x0, t = 0.9 * y, jnp.full(len(y), point.t_prime)
    side, student = c.backbone.feature_size or c.data.size, point.model == "student"

    def noise(x_t: Array, *_: Any) -> Any:
        """A network that costs nothing, and its correction where a student is expected."""
        return (0.1 * x_t, 0.1 * x_t) if student else 0.1 * x_t

    idle = PairProgram(
        lambda _: (noise, lambda images: {}),
        None,
        alpha_bar=alpha_bar(),
        clip=c.sample.clip,
        draw=drawn_noise(c.model, c.data.size),
        reconstruct=reconstruct_by_student if student else reconstruct,
    )

    def network(weights: Any, x_t: Array, t: Array) -> Any:
        found: Any = program.networks(weights)[0]
        if student:
            return found(x_t, t, y, pairs.w, t)
        return found.plain(x_t, t) if isinstance(found, Layered) else found(x_t, t)

    def features(weights: Any, x0: Array, y: Array) -> Any:
        extract = program.networks(weights)[1]
        found = [extract(resize(x, side)) for x in (x0, y)]
        return [{name: layers[name] for name in score.layers} for layers in found]

    def distances(features_x0: Any, features_y: Any, x0: Array, y: Array) -> tuple[Array, Array]:
        layers = feature_distances(features_x0, features_y)
        d_f = feature_distance(layers, score.layers, y.shape[1], upsampling=score.upsampling)
        return pixel_distance(x0, y), d_f

    def piece(name: str, function: Callable[..., Any], *args: Any, calls: int = 1, dtype: str = "float32") -> Piece:
        run = jax.jit(function).lower(*args).compile()
        return Piece(name, calls, lambda: run(*args), counted(function, *args), dtype)

    both = jax.jit(features)(weights, x0, y)
    d_p, d_f = jax.jit(distances)(*both, x0, y)
    score_of = lambda d_p, d_f, constants: detection(d_p, d_f, constants, score=score, crop=detector.crop)  # noqa: E731
    # An array remembers its copy on the host, so every repetition, the warm-up included, fetches one of its own.
    found = detector.compiled(pairs)(pairs)
    fresh = [Detection(found.maps + i, found.scores + i) for i in range(repeats + 1)]
    whole = way_of(point._replace(reuse=1))
    whole_calls, unet = point.whole_calls, c.model.dtype
    parts = [
        Piece("pictures to the device", 1, lambda: detector.place(subject.images), Counter(), "float32"),
        piece("noise, steering, solver", lambda pairs: idle.function(None, pairs, **whole)[0], pairs),
        piece(UNET, network, weights, y, t, calls=whole_calls, dtype=unet),
    ]
    if whole_calls < point.calls:

        def shallow(weights: Any, x_t: Array, deep: Any) -> Array:
            layered: Any = program.networks(weights)[0]
            return layered.shallow(x_t, t, deep)

        layered: Any = program.networks(weights)[0]
        deep = jax.jit(layered.whole)(y, t)[1]
        parts.append(piece(SHALLOW, shallow, weights, y, deep, calls=point.calls - whole_calls, dtype=unet))
    return [
        *parts,
        piece("features of both pictures", features, weights, x0, y, dtype=c.backbone.dtype),
        piece("distances, upsampling", distances, *both, x0, y),
        piece("map, blur, score", score_of, d_p, d_f, detector.constants),
        Piece("maps and scores to the host", 1, lambda: jax.tree.map(np.asarray, fresh.pop()), Counter(), "float32"),
    ]
