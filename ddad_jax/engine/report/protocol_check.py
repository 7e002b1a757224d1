"""protocol.json: what the test set of a run can tell at all, measured once (``ddad_jax.protocol_check``).

Features are those of the settings' backbone as it came, of its last stage, at the size at which pictures enter it, so
the figures of all methods on a data set are the same. Pictures are looked at whole: no tiles, no mask, no crop.
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ddad_jax import protocol_check
from ddad_jax.backbones import Backbone, feature_fn
from ddad_jax.checkpoint import params_fingerprint
from ddad_jax.data import to_float
from ddad_jax.data.split import images_fingerprint, spread
from ddad_jax.engine.data.same_pictures import fingerprint_in
from ddad_jax.engine.data.splits import Data, shrunk
from ddad_jax.engine.methods.backbone import backbone_columns, build_backbone
from ddad_jax.engine.settings.sections import Settings
from ddad_jax.engine.store import kept
from ddad_jax.image import resize
from ddad_jax.protocol_check import ProtocolCheck
from ddad_jax.types import Array
from ddad_jax.weights import load_backbone

FILE = "protocol.json"
MOST = 4096
"""Training pictures that are remembered, evenly over all: 29 MB with EfficientNet-Lite0, 268 MB with WideResNet-101."""
BATCH = 32


def protocol_check_of(c: Settings, workdir: Path, data: Data) -> ProtocolCheck:
    """From the workdir, or measured and kept there; one process calls it, on its first device."""
    backbone = build_backbone(c.backbone)
    variables = load_backbone(c.backbone.name, c.backbone.weights or None)
    made_with = {
        **backbone_columns(c.backbone),
        "weights": params_fingerprint(variables),
        "size": c.data.size,
        "seed": c.seed,
        "trained": fingerprint_in(workdir, c.data, data.fit),
        "test": images_fingerprint(data.test),
        "recordings": hashlib.sha256(json.dumps(data.recordings).encode()).hexdigest(),
    }
    content = kept.load_content(workdir / FILE, made_with, ProtocolCheck._fields)
    if content is None:
        measured = _measured(c, data, _vectors_of(backbone, variables, c.backbone.feature_size or c.data.size))
        kept.save_content(workdir / FILE, {**measured._asdict(), "verdict": protocol_verdict(measured)}, made_with)
        return measured
    numbers: Any = (float("nan") if content[name] is None else content[name] for name in ProtocolCheck._fields)
    return ProtocolCheck(*numbers)


def _measured(c: Settings, data: Data, vectors_of: Callable[[np.ndarray], np.ndarray]) -> ProtocolCheck:
    some = spread(len(data.whole), MOST)
    vectors = np.concatenate([vectors_of(data.whole[rows]) for rows in _rows(some)])
    known = protocol_check.whole_pictures(vectors)
    every, size = data.test.images, c.data.size
    scores = protocol_check.novelty(
        known, (vectors_of(shrunk(every[rows], size)) for rows in _rows(np.arange(len(every))))
    )
    by_picture, by_recording = protocol_check.distances_among(known), None
    if len(set(data.recordings)) > 1:
        by_recording = protocol_check.distances_among(known, [data.recordings[i] for i in some])
    return protocol_check.protocol_check(scores, data.test.labels, by_picture, by_recording, seed=c.seed)


def _vectors_of(backbone: Backbone, variables: Any, side: int) -> Callable[[np.ndarray], np.ndarray]:
    """uint8 [b, s, s, 3] -> ``whole_picture`` of the last stage, on the host."""
    (*_, last), held = backbone.stages, jax.tree.map(jnp.asarray, variables)

    @jax.jit
    def vectors(variables: Any, images: Array) -> Array:
        return protocol_check.whole_picture(feature_fn(backbone, variables)(resize(to_float(images), side))[last])

    def of(images: np.ndarray) -> np.ndarray:
        # One shape, one program: what a batch lacks is filled up.
        padded = np.pad(images, ((0, BATCH - len(images)), (0, 0), (0, 0), (0, 0)))
        return np.asarray(vectors(held, padded))[: len(images)]

    return of


def _rows(rows: np.ndarray) -> list[np.ndarray]:
    """In batches."""
    return [rows[first : first + BATCH] for first in range(0, len(rows), BATCH)]


def protocol_verdict(p: ProtocolCheck) -> str:
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
