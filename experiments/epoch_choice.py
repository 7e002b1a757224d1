"""How well an adapted extractor finds synthetic defects: what decides its epoch where ``adapt.choose`` says so."""

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from ddad_jax.backbones import feature_fn
from ddad_jax.data import to_float
from ddad_jax.data.batches import padded_batches
from ddad_jax.distance import feature_distances
from ddad_jax.image import resize
from ddad_jax.metrics import auroc
from ddad_jax.points import ReconPoint, ScorePoint
from ddad_jax.sweep import Distances, PairProgram, sweep_distances
from ddad_jax.types import Array, Variables
from ddad_jax.vision.view_mask import masked
from experiments.config import adaptation_grid
from experiments.model import Data, alpha_bar, build_backbone, build_unet, eps_fn, layered
from experiments.scoring import own_normal, prepare, score_maps


def synthetic_auroc(
    c: ConfigDict, data: Data, params: Any, point: ReconPoint, score: ScorePoint
) -> Callable[[Variables], float]:
    """(variables of the extractor) -> image AUROC on ``data.choice`` at the point; not a number where it diverges.

    Reconstructs the pictures here, once for all epochs: adaptation changes what is seen in them, not them.
    """
    images, n = np.concatenate([s.images for s in data.sets[:-1]]), len(data.calibration.labels)
    labels = np.concatenate([s.labels for s in data.sets[:-1]])
    unet, backbone, size = build_unet(c), build_backbone(c), c.backbone.feature_size or c.data.size

    def networks(params: Any) -> Any:
        return layered(unet, params, eps_fn(unet, params)), lambda x: {}

    weights = jax.tree.map(jnp.asarray, params)
    program = PairProgram(networks, weights, alpha_bar=alpha_bar(), clip=c.sample.clip)
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
        prepared = prepare(c, distances, n, len(images), score.layers, score.sigma)
        _, scores = score_maps(c, prepared, n, own_normal(data), score, data.view.watched)
        return auroc(scores, labels) if np.isfinite(scores).all() else float("nan")

    return measure
