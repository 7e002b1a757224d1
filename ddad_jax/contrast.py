"""L4. How long to adapt: a contrast measured on held-out normal images without any label, and when to stop by it."""

import math
from collections.abc import Sequence

import numpy as np

from ddad_jax.data.batches import image_seed
from ddad_jax.errors import InputError
from ddad_jax.metrics import ranking


def cut_paste_probes(images: np.ndarray, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Probes for ``contrast``: in every image one rectangle of its own pixels is pasted elsewhere; *host*.

    The rectangle covers 1 to 10 % of the area with sides in proportion 1:3 to 3:1. Of eight draws the one
    that changes the pixels most is kept, or most probes on a plain background would show nothing. What an
    image becomes depends on its own pixels and the seed alone.

    Args:
      images: held-out normal images [n, h, w, c], uint8 or float.

    Returns:
      (probes like images, masks bool [n, h, w]: where something was pasted).

    Source: the idea is Li et al. 2021 (CutPaste); here the probe measures and nothing is trained on it.
    """
    probes, masks = images.copy(), np.zeros(images.shape[:3], bool)
    for image, probe, mask in zip(images, probes, masks, strict=True):
        rng = np.random.default_rng([seed, int(image_seed(image))])
        draws = [_paste(rng, *image.shape[:2]) for _ in range(8)]
        changes = [np.abs(image[source].astype(np.float64) - image[target]).mean() for source, target in draws]
        source, target = draws[int(np.argmax(changes))]
        probe[target], mask[target] = image[source], True
    return probes, masks


def _paste(rng: np.random.Generator, h: int, w: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Where a rectangle is taken from and where it goes."""
    area, aspect = rng.uniform(0.01, 0.1) * h * w, 3.0 ** rng.uniform(-1.0, 1.0)
    rows = int(np.clip(round(math.sqrt(area * aspect)), 1, h))
    columns = int(np.clip(round(math.sqrt(area / aspect)), 1, w))
    tops, lefts = rng.integers(0, h - rows + 1, 2), rng.integers(0, w - columns + 1, 2)
    source, target = (np.s_[i : i + rows, j : j + columns] for i, j in zip(tops, lefts, strict=True))
    return source, target


def contrast(d_normal: np.ndarray, d_probe: np.ndarray, masks: np.ndarray) -> float:
    """How well a change stands out from what reconstruction alone does; no label, no defect; *host*.

    The average precision of finding the pasted pixels among all pixels of probes and normal images, by D_f.
    Adaptation should calm normal pixels, so that fewer come before pasted ones. Forgetting lowers the
    response to the paste, or smears it over its surroundings. Only the order counts: distances that shrink
    everywhere alike change nothing.

    A probe is compared with the reconstruction of the image it was made from, as if it had been repaired
    perfectly: the choice is about the extractor, not about how well the diffusion model repairs a paste.
    Reconstructions do not depend on the extractor, so those of the held-out images, towards themselves as
    at test time, serve all epochs.

      Deviation: the published epochs were picked by hand for every category, test labels in view. Ratios of
      response to normal peaks were tried, too: they go on rising after forgetting has set in, and with
      probes that are reconstructed themselves they fall while detection improves.

    Args:
      d_normal: D_f [n, h, w] between held-out normal images and their reconstructions, layers and blur as in
        scoring.
      d_probe, masks: D_f [m, h, w] between ``cut_paste_probes``'s probes and the same reconstructions, and the
        bool masks [m, h, w].

    Returns:
      a number in 0 .. 1, greater is better; NaN where a distance is not finite.

    Raises:
      InputError: no normal images, no probes, or nothing pasted.
    """
    if len(d_normal) == 0 or not masks.any():
        raise InputError(
            f"{len(d_normal)} held-out normal images and {len(d_probe)} probes: choosing the adaptation "
            "epoch needs at least one of each"
        )
    scores = np.concatenate([d_normal, d_probe])
    if not np.isfinite(scores).all():
        return math.nan
    return ranking(scores, np.concatenate([np.zeros(d_normal.shape, bool), masks])).ap


def stop_epoch(history: Sequence[float], *, patience: int = 3) -> tuple[int, bool]:
    """The epoch to use so far, and whether to stop: the greatest ``contrast``, the earlier one on a tie.

    Args:
      history: ``contrast`` after epochs 0, 1, ...; epoch 0 is the unadapted extractor, so that adaptation
        which does not help is not used. An entry that is not finite counts as worst.
      patience: stop after this many epochs without a new best, >= 1.

    Raises:
      InputError: patience below 1. ValueError: empty history.

    >>> stop_epoch([0.2, 0.5, 0.4, 0.3, 0.3], patience=3)
    (1, True)
    """
    if patience < 1:
        raise InputError(f"adaptation patience {patience}: expected at least 1 epoch")
    values = [value if math.isfinite(value) else -math.inf for value in history]
    best = values.index(max(values))
    return best, len(values) - 1 - best >= patience
