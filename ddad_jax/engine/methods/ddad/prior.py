"""prior.npz: the Gaussian of the training pictures, which a network adds to or which predicts the noise by itself."""

import logging
import time
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from ddad_jax.data import to_float
from ddad_jax.data.batches import padded_batches
from ddad_jax.engine import hosts
from ddad_jax.engine.data.same_pictures import fingerprint_in
from ddad_jax.engine.data.splits import Data
from ddad_jax.engine.methods.ddad.sections import DDADSettings
from ddad_jax.engine.store import kept
from ddad_jax.gaussian_prior import PicturePrior, no_subspace, picture_prior, widened_subspace

log = logging.getLogger(__name__)

FILE = "prior.npz"
BATCH = 64
_MIRRORED: dict[str, tuple[slice, ...]] = {"h": (slice(None), slice(None), slice(None, None, -1)),
                                           "v": (slice(None), slice(None, None, -1))}  # fmt: skip


def fitted_prior(c: DDADSettings, workdir: Path, data: Data) -> PicturePrior | None:
    """Of the training pictures and of the mirror images that training shows; None with ``model.prior`` = none. What the
    workdir holds of the same pictures is used. Every process calls it alike.

    Raises:
      InputError: as ``gaussian_prior.picture_prior``.
    """
    if c.model.prior == "none":
        return None
    return hosts.in_turn("the Gaussian", lambda: _fitted(c, workdir, data))


def restored_prior(c: DDADSettings, workdir: Path) -> PicturePrior | None:
    """What ``fitted_prior`` returned; no data are needed.

    Raises:
      InputError: prior.npz is missing or damaged.
    """
    if c.model.prior == "none":
        return None
    content, _ = kept.read_content(workdir / FILE, PicturePrior._fields, mend="The same command as before fits it anew")
    return _of(content)


def _fitted(c: DDADSettings, workdir: Path, data: Data) -> PicturePrior:
    of_pictures = fingerprint_in(workdir, c.data, data.fit)[:16]
    made_with = {"trained_on": of_pictures, "rank": c.model.rank, "share": c.model.share, "flips": c.data.flips}
    path = workdir / FILE
    if there := kept.load_content(path, made_with, PicturePrior._fields):
        return _of(there)
    started = time.perf_counter()
    prior = _fit(c, data.fit.images)
    log.info(
        "a Gaussian of %d pictures in %d directions, in %.1f s",
        len(data.fit.labels), len(prior.variance), time.perf_counter() - started,
    )  # fmt: skip
    content = {name: np.asarray(array) for name, array in prior._asdict().items()}
    kept.save_content(path, content, made_with)
    return _of(content)


def _fit(c: DDADSettings, images: np.ndarray) -> PicturePrior:
    n = len(images) * 2 ** len(c.data.flips)
    rank = max(1, min(c.model.rank, n - 1))
    subspace = no_subspace(images.shape[1:], 2 * rank)
    for at, real in padded_batches(len(images), min(BATCH, len(images))):
        seen = [images[at]]
        for flip in c.data.flips:
            seen += [part[_MIRRORED[flip]] for part in seen]
        for part in seen:
            subspace = widened_subspace(subspace, to_float(part), jnp.asarray(real))
    return picture_prior(subspace, rank=rank, share=c.model.share)


def _of(content: Any) -> PicturePrior:
    return PicturePrior(**{name: jnp.asarray(content[name]) for name in PicturePrior._fields})
