"""What an epoch of adaptation is judged by: the contrast on held-out normal images, or how well the config's point
finds synthetic defects with its extractor."""

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ddad_jax.backbones import feature_fn
from ddad_jax.contrast import contrast, cut_paste_probes
from ddad_jax.data import to_float
from ddad_jax.data.batches import image_seed, padded_batches
from ddad_jax.data.split import images_fingerprint
from ddad_jax.distance import feature_distance, feature_distances
from ddad_jax.engine.data.splits import Data, choice_of, own_normal
from ddad_jax.engine.data.view import made_of
from ddad_jax.engine.methods.backbone import build_backbone
from ddad_jax.engine.methods.ddad.maps import combined, prepare
from ddad_jax.engine.methods.ddad.networks import alpha_bar, build_unet, drawn_noise, eps_fn, layered
from ddad_jax.engine.methods.ddad.points import redrawn_point
from ddad_jax.engine.methods.ddad.sections import DDADSettings
from ddad_jax.engine.methods.ddad.settings import adaptation_grid
from ddad_jax.engine.methods.measured import Mapped
from ddad_jax.engine.methods.point import Point, point_settings
from ddad_jax.engine.methods.scored import judged_maps
from ddad_jax.image import gaussian_blur, resize
from ddad_jax.metrics import auroc
from ddad_jax.pair_program import PairProgram
from ddad_jax.points import ReconPoint, ScorePoint
from ddad_jax.sweep import Distances, sweep_distances
from ddad_jax.types import Array, Variables
from ddad_jax.vision.view_mask import masked

Criterion = Callable[[Variables], float]
"""Variables of an extractor -> how good it is: more is better, not a number where it diverges."""


def criteria(
    c: DDADSettings, data: Data, params: Any, at: ReconPoint, sample: Any
) -> tuple[dict[str, Criterion], dict[str, Any]]:
    """(what an epoch is measured by, by name, of which the last one decides; what it is measured at: where that is
    another, epochs do not compare).

    at: the point of adaptation, and sample: (x, y, keys) -> x0 there.
    """
    measures: dict[str, Criterion] = {"contrast": _contrast(c, data, sample)}
    measured_at: dict[str, Any] = {} if data.tuning is None else {"tuning": images_fingerprint(data.validation)[:16]}
    if c.adapt.pairs == "self":
        measured_at["pairs"] = point_settings(at)
    if c.adapt.choose == "synthetic":
        painted = data if data.choice else data._replace(choice=choice_of(c, data.fit, data.scale))
        point = redrawn_point(c)
        measures["synthetic_image_auroc"] = _synthetic_auroc(c, painted, params, *point)
        measured_at |= _synthetic_at(c, painted, point)
    return measures, measured_at


def _contrast(c: DDADSettings, data: Data, sample: Any) -> Criterion:
    """variables -> contrast on held-out normal images, which are reconstructed once, here.

    A probe is compared with the reconstruction of the picture it was made from, so it needs none of its own.
    """
    normal = data.validation.images
    probes, masks = cut_paste_probes(normal, seed=c.seed)
    keys = jax.vmap(jax.random.key)(jnp.asarray([image_seed(image) for image in normal], jnp.uint32))
    backbone, size = build_backbone(c.backbone), c.data.size
    sigma = c.score.sigma * size / 256.0
    batch = min(c.sample.batch_size, len(normal))
    x0 = np.empty(normal.shape, np.float32)
    for at, valid in padded_batches(len(normal), batch):
        y = to_float(normal[at])
        x0[at[valid]] = np.asarray(sample(y, y, keys[at]))[valid]

    @jax.jit
    def distances(variables: Variables, x0: Array, y: Array) -> Array:
        features, to = feature_fn(backbone, variables), c.backbone.feature_size or size
        layers = feature_distances(features(resize(x0, to)), features(resize(y, to)))
        d_f = feature_distance(layers, c.score.layers, size, upsampling=c.score.upsampling)
        return gaussian_blur(d_f, sigma)

    def measure(variables: Variables) -> float:
        d_f = np.empty((2, *normal.shape[:3]), np.float32)
        for at, valid in padded_batches(len(normal), batch):
            for kind, images in enumerate((normal, probes)):
                d_f[kind, at[valid]] = np.asarray(distances(variables, x0[at], to_float(images[at])))[valid]
        return contrast(d_f[0], d_f[1], masks)

    return measure


def _synthetic_auroc(c: DDADSettings, data: Data, params: Any, point: ReconPoint, score: ScorePoint) -> Criterion:
    """(variables of the extractor) -> image AUROC on ``data.choice`` at the point; not a number where it diverges.

    Reconstructs the pictures here, once for all epochs: adaptation changes what is seen in them, not them.
    """
    images, n = np.concatenate([s.images for s in data.choosing]), len(data.scale.labels)
    labels, own = np.concatenate([s.labels for s in data.choosing]), own_normal(data)[: len(images)]
    unet, backbone = build_unet(c.model, c.data.size, c.device), build_backbone(c.backbone)
    size = c.backbone.feature_size or c.data.size

    def networks(params: Any) -> Any:
        return layered(unet, params, eps_fn(unet, params)), lambda x: {}

    weights = jax.tree.map(jnp.asarray, params)
    draw = drawn_noise(c.model, c.data.size)
    program = PairProgram(networks, weights, alpha_bar=alpha_bar(), clip=c.sample.clip, draw=draw)
    # Optimised grids and students come after adaptation, a first pass needs the extractor.
    point = point._replace(grid=adaptation_grid(point.grid), model="teacher", rise=0.0)
    batch = min(c.sample.batch_size, len(images))
    watched = data.view.watched if point.mask_before else None
    how: Any = {"chunk": batch, "keep_x0": True, "watched": watched, "timer": time.perf_counter}
    ((_, plain),) = sweep_distances(program, images, [point], **how)
    x0 = plain.x0
    assert x0 is not None

    @jax.jit
    def compared(variables: Variables, x0: Array, y: Array) -> dict[str, Array]:
        features = feature_fn(backbone, variables)
        if watched is not None:
            x0, y = masked(x0, watched), masked(y, watched)
        return feature_distances(features(resize(x0, size)), features(resize(y, size)))

    def measure(variables: Variables) -> float:
        parts = []
        for at, valid in padded_batches(len(images), batch):
            found = compared(variables, jnp.asarray(x0[at], jnp.float32), to_float(images[at]))
            parts.append({name: np.asarray(d)[valid] for name, d in found.items()})
        layers = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        distances = Distances(None, plain.pixel, layers, plain.seconds)
        how: Any = {"upsampling": score.upsampling}
        prepared = prepare(c.score, distances, n, len(images), score.layers, score.sigma, **how)
        mapped = Mapped(score, combined(prepared, score), {})
        scores = judged_maps(mapped, n, own, data.view.watched, c.score.crop).scores
        return auroc(scores, labels) if np.isfinite(scores).all() else float("nan")

    return measure


def _synthetic_at(c: DDADSettings, data: Data, point: Point) -> dict[str, Any]:
    assert data.choice
    score = {name: c.score[name] for name in ("normalise", "batch", "crop")}
    found = {
        "point": point_settings(*point),
        "defects": images_fingerprint(data.choice.defects),
        **score,
        "clip": c.sample.clip,
    }
    return found | made_of(data.view)
