"""L3. Features of several layers as one vector for each patch of a picture: two ways, PatchCore's and PaDiM's."""

import random
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from ddad_jax.distance import patch_average
from ddad_jax.errors import InputError
from ddad_jax.image import between_centres
from ddad_jax.types import Array


def patch_descriptors(
    features: Mapping[str, Array], layers: Sequence[str], *, patch: int = 3, widths: tuple[int, int] | None = None
) -> Array:
    """Each layer's neighbourhoods made one vector, brought to the grid of the first layer, side by side; [b, h, w, d].

    Args:
      features: of every layer [b, h_j, w_j, c_j]; other layers are left alone.
      layers: the first sets the grid; any number, any strides, equal ones too. Published: layer2 and layer3.
      patch: side of a neighbourhood in positions, odd; zeros outside.
      widths: (numbers a layer, numbers in all) of the published pooling (``pooled_neighbourhoods``, then
        ``adaptive_pool``), published (1024, 1024). None: the mean of a neighbourhood, channel by channel, d = sum c_j.
        Deviation: the pooling of a wide network mixes neighbouring channels for no reason but width, and of a narrow
        one it only repeats numbers; the plain mean does neither.

    Returns:
      float32; float64 for features in float64 with ``widths``.

    Raises:
      InputError: no layers, a layer that ``features`` lacks, an even patch, widths below 1.

    Source: Roth et al. 2022 (PatchCore), section 3.1; the mean is anomalib's.

    >>> features = {"layer2": jnp.ones((1, 4, 4, 3)), "layer3": jnp.ones((1, 2, 2, 5))}
    >>> patch_descriptors(features, ("layer2", "layer3")).shape
    (1, 4, 4, 8)
    """
    maps = _of_layers(features, layers)
    if patch < 1 or patch % 2 == 0:
        raise InputError(f"patch = {patch}: expected an odd number of positions, 3 as published")
    if widths is not None and min(widths) < 1:
        raise InputError(f"widths = {widths}: expected two numbers from 1 on, (1024, 1024) as published")
    grid = (maps[0].shape[1], maps[0].shape[2])
    # All of it is linear, so the resize may come after the pooling, where there are fewer numbers.
    if widths is None:
        pooled = [patch_average(x, patch) for x in maps]
    else:
        pooled = [pooled_neighbourhoods(x, widths[0], patch=patch) for x in maps]
    joined = jnp.concatenate([between_centres(x, grid) for x in pooled], -1)
    return joined if widths is None else adaptive_pool(joined, widths[1])


def _of_layers(features: Mapping[str, Array], layers: Sequence[str]) -> list[Array]:
    missing = [layer for layer in layers if layer not in features]
    if missing or not layers:
        raise InputError(f"layers {list(layers)}: expected some of {', '.join(features)}, the layers of the backbone")
    return [features[layer].astype(jnp.promote_types(features[layer].dtype, jnp.float32)) for layer in layers]


def _bins(length: int, n: int) -> list[np.ndarray]:
    """The places that each of n bins averages: from floor(i length / n) up to ceil((i + 1) length / n)."""
    return [np.arange(i * length // n, -(-(i + 1) * length // n)) for i in range(n)]


def adaptive_pool(x: Array, n: int) -> Array:
    """Means of n even, where need be overlapping, bins of the last axis, [..., c] -> [..., n].

    Source: torch's adaptive_avg_pool1d, which the published PatchCore calls.

    >>> print(adaptive_pool(jnp.array([1.0, 2.0, 3.0, 4.0, 5.0]), 2))  # the middle number is in both bins
    [2. 4.]
    """
    bins = _bins(x.shape[-1], n)
    total = jnp.zeros((*x.shape[:-1], n), x.dtype)
    for k in range(max(len(places) for places in bins)):
        # The k-th place of every bin; a shorter one weighs its last place 0.
        place = np.array([places[min(k, len(places) - 1)] for places in bins])
        weight = np.array([(k < len(places)) / len(places) for places in bins], x.dtype)
        total = total + x[..., place] * weight.reshape((1,) * (x.ndim - 1) + (n,))
    return total


def coarser_grid(x: Array, side: int) -> Array:
    """Means of ``side`` x ``side`` positions, [b, h, w, d] -> [b, ceil(h / side), ceil(w / side), d]; squares overlap
    where they do not fit (``adaptive_pool``).

    >>> coarser_grid(jnp.arange(4.0).reshape(1, 2, 2, 1), 2).item()
    1.5
    """
    if side == 1:
        return x

    def means(length: int) -> np.ndarray:
        rows = np.zeros((-(-length // side), length), x.dtype)
        for row, places in zip(rows, _bins(length, len(rows)), strict=True):
            row[places] = 1 / len(places)
        return rows

    exact = jax.lax.Precision.HIGHEST
    return jnp.einsum("ih,jw,bhwd->bijd", means(x.shape[1]), means(x.shape[2]), x, precision=exact)


def pooled_neighbourhoods(x: Array, width: int, *, patch: int = 3) -> Array:
    """Each patch x patch neighbourhood, channel by channel in rows, pooled to ``width`` numbers; [b, h, w, width].

    The c patch^2 numbers of all neighbourhoods are never in memory at once. ``width`` = c patch^2 gives just these.

    Source: PatchMaker and MeanMapper of the published code.
    """
    (b, h, w, c), r = x.shape, patch // 2
    bins = _bins(c * patch**2, width)
    padded = jnp.pad(x, ((0, 0), (r, r), (r, r), (0, 0)))
    total = jnp.zeros((b, h, w, width), x.dtype)
    for at in range(patch**2):
        shifted = padded[:, at // patch : at // patch + h, at % patch : at % patch + w]
        # The channels that each bin takes at this place of the neighbourhood, few where the width is large.
        channels = [places[places % patch**2 == at] // patch**2 for places in bins]
        for k in range(max(len(own) for own in channels)):
            channel = np.array([own[k] if k < len(own) else 0 for own in channels])
            weight = np.array([(k < len(own)) / len(places) for own, places in zip(channels, bins, strict=True)])
            total = total + shifted[..., channel] * weight.astype(x.dtype)[None, None, None]
    return total


def channel_choice(total: int, d: int, *, seed: int = 1024) -> np.ndarray:
    """Which d of ``total`` channels PaDiM keeps, in the order it keeps them; int [d]; *host*.

    Args:
      seed: of Python's own generator; published 1024.

    Raises:
      InputError: not 1 to ``total`` channels asked for.

    Source: Defard et al. 2021, section III-B (as good as PCA, for less); the draw is the usual re-implementation's.

    >>> channel_choice(176, 5).tolist()
    [4, 123, 99, 82, 133]
    """
    if not 1 <= d <= total:
        raise InputError(f"channels = {d}: expected 1 to {total}, those of the layers together")
    return np.array(random.Random(seed).sample(range(total), d))


def position_embedding(features: Mapping[str, Array], layers: Sequence[str], channels: Sequence[int] | None) -> Array:
    """Some channels of all layers at each position of the first layer's grid, coarser layers repeated; [b, h, w, d].

    Args:
      features: of every layer [b, h_j, w_j, c_j].
      layers: the first sets the grid. Published: layer1, layer2, layer3.
      channels: places in the layers' channels side by side, int [d], bound before ``jit``; their order is kept. None
        for all.

    A position reads the place floor(i h_j / h) of a layer: repetition by whole factors where the grids are nested, as
    the published code needs them, and defined where they are not.

    Raises:
      InputError: no layers, a layer that ``features`` lacks, or a channel that no layer has.

    Source: embedding_concat of the usual re-implementation, which unfolds and folds to the same end.
    """
    maps = _of_layers(features, layers)
    ends = np.cumsum([x.shape[3] for x in maps])
    chosen = np.arange(ends[-1]) if channels is None else np.asarray(channels)
    if not len(chosen) or chosen.min() < 0 or chosen.max() >= ends[-1]:
        raise InputError(f"channels: expected places below {ends[-1]}, the channels of {', '.join(layers)} together")
    layer_of = np.searchsorted(ends, chosen, side="right")
    parts, h, w = [], maps[0].shape[1], maps[0].shape[2]
    for j, x in enumerate(maps):
        # Chosen first, at the layer's own size: the rest never grows to the grid.
        own = x[..., chosen[layer_of == j] - (ends[j] - x.shape[3])]
        rows, columns = np.arange(h) * x.shape[1] // h, np.arange(w) * x.shape[2] // w
        parts.append(own[:, rows][:, :, columns])
    # By layers, and now in the order they were chosen in.
    return jnp.concatenate(parts, -1)[..., np.argsort(np.argsort(layer_of, kind="stable"))]
