"""L3. Distances -> anomaly map -> image score.

The pixel term is brought to the scale of the feature term by a factor r. Two ways to choose it:

* from held-out normal images, once, stored with the model (``Scale``): a score then depends on its own
  image alone;
* ``batch_ratio``, the published code's: both maxima over the whole test batch, so that a score changes
  with its batch mates.
"""

from typing import Any, NamedTuple

import numpy as np

from ddad_jax.errors import InputError
from ddad_jax.image import centre_crop, gaussian_blur
from ddad_jax.types import Array
from ddad_jax.vision.view_mask import silenced


class Scale(NamedTuple):
    """What D_p and D_f reach on held-out normal images; float, > 0."""

    pixel: float
    feature: float

    @property
    def ratio(self) -> float:
        """r = max D_f / max D_p, the factor that gives both terms the same upper bound (DDAD section 4.3)."""
        return self.feature / self.pixel


def scale_from_normal(d_p: np.ndarray, d_f: np.ndarray) -> Scale:
    """The median over held-out normal images of each image's largest distance; *host*.

    Args:
      d_p, d_f: distances of normal images the model was not trained on, [n, h, w].

    Deviation: DDAD Eq. 9 does not say over what its maxima are taken and the published code takes the
      test batch; here they come from normal images alone and are fixed. The median over images replaces
      one single largest pixel, on which the scale would otherwise rest.

    Raises:
      InputError: no images, or a distance that is zero everywhere or not finite.

    >>> d_p, d_f = np.full((4, 8, 8), 0.1), np.full((4, 8, 8), 0.4)
    >>> round(scale_from_normal(d_p, d_f).ratio, 3)
    4.0
    """
    if len(d_p) == 0:
        raise InputError("no held-out normal images to take the normalising constants from")
    tops = [float(np.median(d.reshape(len(d), -1).max(1))) for d in (d_p, d_f)]
    if not all(np.isfinite(top) and top > 0 for top in tops):
        raise InputError(
            f"distances on held-out normal images peak at {tops[0]} (pixel) and {tops[1]} (feature); "
            "expected finite numbers above 0. Has the model been trained?"
        )
    return Scale(*tops)


def batch_ratio(d_p: Any, d_f: Any) -> Any:
    """max D_f / max D_p over the whole batch, before blur and crop. Source: the published anomaly_map.py."""
    return d_f.max() / d_p.max()


def combine(d_p: Any, d_f: Any, *, v: Any, ratio: Any, feature_weight: Any = 1.0) -> Any:
    """A = u D_f + v r D_p, [n, h, w]; JAX or NumPy arrays, which come out as they went in.

    Args:
      v: weight of the pixel term, >= 0; 0 leaves features alone. Paper: 1 for MVTec, 7 for VisA.
      ratio: r, from ``Scale.ratio`` or ``batch_ratio``.
      feature_weight: u, >= 0. 0 leaves pixels alone, as in the paper's Tables 12 and 15.
        Deviation: published 1, in the equation and in the code.

    Source: DDAD Eq. 9.

    >>> print(combine(np.array([[0.1, 0.2]]), np.array([[1.0, 0.0]]), v=2.0, ratio=5.0))
    [[2. 2.]]
    """
    return feature_weight * d_f + v * ratio * d_p


def anomaly_map(
    d_p: Array,
    d_f: Array,
    *,
    v: Array | float,
    ratio: Array | float,
    sigma: float,
    crop: int = 0,
    feature_weight: Array | float = 1.0,
) -> Array:
    """The blurred combination. Blurring is linear: a caller may blur both distances once, ``combine`` after.

    Args:
      sigma: of the blur in pixels (the paper's 4 belongs to 256 px).
      crop: side of the centre that is kept, 0 for everything. The published code keeps 224 of 256, which
        also drops defects that lie in the border only.
      v, ratio, feature_weight: as in ``combine``.
    """
    blurred = gaussian_blur(combine(d_p, d_f, v=v, ratio=ratio, feature_weight=feature_weight), sigma)
    return centre_crop(blurred, crop)


class Spread(NamedTuple):
    """Of normal maps at each pixel, float64 [h, w]: mean and standard deviation, drawn towards those of all pixels."""

    mean: np.ndarray
    std: np.ndarray


def normal_spread(normal: np.ndarray, *, prior: float = 10.0) -> Spread:
    """What ``standardise`` measures maps in: mu and s of normal maps [m, h, w], before any crop; *host*.

    Raises:
      InputError: no normal maps, or all of them without any spread.
    """
    if not len(normal):
        raise InputError("no held-out normal images to standardise maps with: raise --config.data.held_out")
    return _spread(*_sums(normal), len(normal), prior)


def standardise(maps: np.ndarray, normal: np.ndarray, *, prior: float = 10.0) -> np.ndarray:
    """(A - mu) / s at each pixel, mu and s those of normal maps at that pixel; *host*.

    Where normal pictures always differ from their reconstruction (an edge that is never drawn sharply), a
    difference says less than in a calm place. mu and s are drawn towards the mean and the spread over all pixels
    as if ``prior`` more images had those, or a few normal images would make them noise.

    Deviation: the paper reads the map as it is. For parts in a fixed position; texture without a position gains
      nothing.

    Args:
      maps: [n, h, w]; normal: of held-out normal images, [m, h, w].

    Raises:
      InputError: as ``normal_spread``.

    >>> normal = np.random.default_rng(0).normal(1.0, 0.1, (50, 4, 4))
    >>> maps = np.full((1, 4, 4), 1.3)
    >>> round(float(standardise(maps, normal).mean()), 1)  # three normal spreads above the normal mean
    3.1
    """
    return in_spreads(maps, normal_spread(normal, prior=prior))


def in_spreads(maps: Any, spread: Spread) -> Any:
    """(A - mu) / s, float32; JAX or NumPy maps [n, h, w], which come out as they went in."""
    return ((maps - spread.mean[None]) / spread.std[None]).astype(np.float32)


def standardise_apart(maps: np.ndarray, normal: np.ndarray, own: np.ndarray, *, prior: float = 10.0) -> np.ndarray:
    """``standardise`` of each map by all normal maps but one: its own, or that of the picture a defect was painted on.

    A map that took part in its own mean and spread would look calmer than that of any new picture.

    Args:
      maps: [n, h, w]; normal: [m, h, w]; own: which of these each map leaves out, int [n]; -1 for none.

    Raises:
      InputError: fewer than two normal maps, or all of them without any spread.
    """
    if len(normal) < 2:
        raise InputError(f"{len(normal)} held-out normal images: standardising needs at least 2, each by the others")
    first, second = _sums(normal)
    found = np.empty(maps.shape, np.float32)
    for i in np.unique(own):
        left = normal[i].astype(np.float64) if i >= 0 else np.zeros(normal.shape[1:])
        others = _spread(first - left, second - left**2, len(normal) - (i >= 0), prior)
        found[own == i] = in_spreads(maps[own == i], others)
    return found


def _sums(maps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of maps and of their squares at each pixel, float64 [h, w]; of one map after another, as float64 are large."""
    first, second = (np.zeros(maps.shape[1:]) for _ in range(2))
    for one in maps:
        first += one
        second += one.astype(np.float64) ** 2
    return first, second


def _spread(first: np.ndarray, second: np.ndarray, n: int, prior: float) -> Spread:
    """From the sums of n maps and of their squares at each pixel, [h, w]."""
    mean, var = first / n, np.maximum(second / n - (first / n) ** 2, 0.0)
    overall = mean.mean()
    # Spread of all pixels of all maps, which the spread between pixels is a part of.
    whole = (second / n).mean() - overall**2
    if not whole > 0:
        raise InputError("maps of the held-out normal images are the same everywhere: nothing to standardise with")
    mu, variance = (n * mean + prior * overall) / (n + prior), (n * var + prior * whole) / (n + prior)
    return Spread(mu, np.sqrt(variance))


def maps_and_scores(maps: Any, *, spread: Spread | None = None, watched: Any = None, crop: int = 0) -> tuple[Any, Any]:
    """(maps, scores) as they are judged, of whole maps [n, h, w]: in spreads, silent where not watched, cropped, and
    then the largest value of each.

    The one place that says what comes after what: for a sweep's maps on the host, a detector's on its device, and those
    of tiles that were put together.

    Args:
      maps: JAX or NumPy, which come out as they went in.
      spread: of normal maps before any crop, where the point standardises; None for maps that are in spreads already.
      watched: as of ``silenced``, where the point masks after.
      crop: as of ``centre_crop``.

    >>> maps, scores = maps_and_scores(np.arange(16.0).reshape(1, 4, 4), crop=2)
    >>> print(scores)
    [10.]
    """
    if spread is not None:
        maps = in_spreads(maps, spread)
    if watched is not None:
        maps = silenced(maps, watched)
    maps = centre_crop(maps, crop)
    return maps, image_score(maps)


def image_score(maps: Any) -> Any:
    """The largest value of each map [n, h, w] -> [n]; JAX or NumPy. Source: DDAD section 5.1.

    >>> print(image_score(np.array([[[0.1, 0.9], [0.2, 0.3]], [[0.1, 0.0], [0.0, 0.1]]])))
    [0.9 0.1]
    """
    return maps.max((1, 2))
