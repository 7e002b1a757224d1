"""protocol.json: what the test set of a run can tell at all, measured once (``ddad_jax.protocol``).

Features are those of the settings' backbone as it came, of its last stage, at the size at which pictures enter it, so
the figures of all methods on a data set are the same. Pictures are looked at whole: no tiles, no mask, no crop.
"""

import hashlib
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ddad_jax import protocol
from ddad_jax.backbones import Backbone, feature_fn, get_backbone
from ddad_jax.checkpoint import fingerprint as weights_fingerprint
from ddad_jax.data import to_float
from ddad_jax.data.batches import padded_batches
from ddad_jax.data.split import fingerprint, spread
from ddad_jax.engine.data.same_pictures import fingerprint_in
from ddad_jax.engine.data.splits import Data, shrunk
from ddad_jax.engine.settings.sections import BackboneSettings, Settings
from ddad_jax.engine.store import kept
from ddad_jax.image import resize
from ddad_jax.protocol import Protocol
from ddad_jax.types import Array
from ddad_jax.weights import load_backbone

log = logging.getLogger(__name__)

FILE = "protocol.json"
MOST = 4096
"""Training pictures that are remembered, evenly over all: 29 MB with EfficientNet-Lite0, 268 MB with WideResNet-101."""
BATCH = 32


def protocol_of(c: Settings, workdir: Path, data: Data) -> Protocol:
    """From the workdir, or measured and kept there; one process calls it, on its first device."""
    backbone = build_backbone(c.backbone)
    variables = load_backbone(c.backbone.name, c.backbone.weights or None)
    made_with = {
        **{f"backbone_{name}": value for name, value in c.backbone.items() if name != "weights"},
        "weights": weights_fingerprint(variables),
        "size": c.data.size,
        "seed": c.seed,
        "trained": fingerprint_in(workdir, c.data, data.fit),
        "test": fingerprint(data.test),
        "recordings": hashlib.sha256(json.dumps(data.recordings).encode()).hexdigest(),
    }
    content = kept.load(workdir / FILE, made_with, Protocol._fields)
    if content is None:
        measured = _measured(c, data, _vectors_of(backbone, variables, c.backbone.feature_size or c.data.size))
        kept.save(workdir / FILE, {**measured._asdict(), "verdict": verdict(measured)}, made_with)
        return measured
    numbers: Any = (float("nan") if content[name] is None else content[name] for name in Protocol._fields)
    return Protocol(*numbers)


def build_backbone(b: BackboneSettings) -> Backbone:
    return get_backbone(b.name, jnp.dtype(b.dtype))


def _measured(c: Settings, data: Data, vectors_of: Callable[[np.ndarray], np.ndarray]) -> Protocol:
    some = spread(len(data.whole), MOST)
    known = protocol.seen(np.concatenate([*_in_batches(data.whole[some], c.data.size, vectors_of)]))
    scores = protocol.distances(known, _in_batches(data.test.images, c.data.size, vectors_of))
    by_picture, by_recording = protocol.among(known), None
    if len(set(data.recordings)) > 1:
        by_recording = protocol.among(known, [data.recordings[i] for i in some])
    return protocol.protocol(scores, data.test.labels, by_picture, by_recording, seed=c.seed)


def _vectors_of(backbone: Backbone, variables: Any, side: int) -> Callable[[np.ndarray], np.ndarray]:
    """uint8 [b, s, s, 3] -> ``whole_picture`` of the last stage, on the host."""
    (*_, last), held = backbone.stages, jax.tree.map(jnp.asarray, variables)

    @jax.jit
    def vectors(variables: Any, images: Array) -> Array:
        return protocol.whole_picture(feature_fn(backbone, variables)(resize(to_float(images), side))[last])

    return lambda images: np.asarray(vectors(held, images))


def _in_batches(images: np.ndarray, size: int, vectors_of: Callable[[np.ndarray], np.ndarray]) -> Iterator[np.ndarray]:
    for at, valid in padded_batches(len(images), min(BATCH, max(1, len(images)))):
        yield vectors_of(shrunk(images[at], size))[valid]


def verdict(p: Protocol) -> str:
    """What the test set can tell, in a sentence or two that name the figures; a reader need not know the thresholds."""
    if p.know_nothing != p.know_nothing:
        return "What this test set can tell is not known: it takes good and defective pictures."
    score = f"{p.know_nothing:.3f} ({p.low:.3f} to {p.high:.3f})"
    only = "the distance of the whole picture to the nearest one trained on, which looks for no defect,"
    if p.saturated:
        said = f"This test set cannot tell detectors apart: {only} has an image AUROC of {score}."
    elif p.doubtful:
        said = f"Much of an image AUROC can be had here without looking for a defect: {only} has {score}."
    else:
        said = f"This test set leaves room to tell detectors apart: {only} has an image AUROC of {score}."
    if p.leaking:
        said += (
            f" Parts of the test were trained on: {100 * p.near_recordings:.0f} % of the good test pictures are nearer "
            "to a training picture than all but 5 % of the training pictures are to one of another recording or part; "
            "of fresh parts about 5 % would be."
        )
    return said
