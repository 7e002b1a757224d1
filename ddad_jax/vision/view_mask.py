"""L1. Which part of a camera's view is watched: read from polygons or an image, and applied before or after.

A small JSON file serves all views of a machine, in pixels of pictures of "size" (height, width):

    {"format": 1, "size": [2048, 3072], "views": {
        "A": {"ignore": [[[0, 0], [900, 0], [900, 400]]]},
        "B": {"watch": [[[200, 100], [2800, 100], [2800, 1900], [200, 1900]]]},
        "*": {}}}

What the "ignore" polygons of a view hold is masked out; where there are "watch" polygons only these are watched, less
what is ignored. "*" is any view without an entry of its own. A point is [x, y] with y downwards; whole numbers are the
corners of pixels, so that x runs from 0 to the width. An image instead, white where it is watched, serves every view.

The thesis masks what cannot be learnt (moving parts, regions out of focus) at one of two moments: ``masked`` before the
distances are taken, ``silenced`` after the map is made.
"""

from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from ddad_jax.data.json_file import read_json
from ddad_jax.data.outlines import Polygon, draw
from ddad_jax.data.read import expanded, image_size, named_as_picture, read_full, resized
from ddad_jax.errors import InputError

FORMAT = 1
LONGEST_SIDE, MOST_PIXELS = 2**15, 2**27
"""Of pictures a mask is drawn for: more than any camera has, and what can still be held while it is drawn."""


def read_view_mask(
    path: str | Path, view: str, size: tuple[int, int], *, picture_size: tuple[int, int] | None = None
) -> np.ndarray:
    """What of a view is watched.

    Args:
      path: a ``.json`` file of polygons, or an image.
      view: name in that file; an image has none.
      size: (height, width) of the result in pixels.
      picture_size: (height, width) of the camera's pictures; a mask drawn for others is refused. None: not known.

    Returns:
      bool [h, w], False where it is masked out. A pixel is watched where more than half of it is.

    Raises:
      InputError: the file cannot be read or is of another format, the view is not in it, a polygon has fewer than
        three points, no area or lies outside the picture, the size is not that of the pictures, or nothing is watched.
    """
    path = expanded(path, "mask of the view")
    if path.suffix.lower() == ".json":
        drawn, watched = _from_polygons(path, view)
    elif named_as_picture(path):
        drawn = image_size(path)
        brightness = read_full(path).max(-1)
        # White and black, not classes: what is darker than one half is not watched. 0 and 1 are as good.
        watched = brightness > (127 if brightness.max() > 128 else 0)
    else:
        raise InputError(f"{path} (mask of the view): expected a .json file of polygons or an image")
    if picture_size is not None and drawn != tuple(picture_size):
        raise InputError(
            f"{path} is for pictures of {drawn[0]} x {drawn[1]} px (height x width), but the pictures of this view are "
            f"{picture_size[0]} x {picture_size[1]}. Draw it on one of them"
        )
    found = resized(watched.astype(np.uint8) * 255, size) > 127
    if not found.any():
        raise InputError(f"{path}: nothing of the view {view!r} is watched; leave a part of it unmasked")
    return found


def _from_polygons(path: Path, view: str) -> tuple[tuple[int, int], np.ndarray]:
    said = read_json(path, what="mask of the view", mend="Save it as JSON, in UTF-8")
    expected = '{"format": 1, "size": [height, width], "views": {NAME: {"ignore": [POLYGON, ...]}}}'
    if not isinstance(said, dict) or said.get("format") != FORMAT or not isinstance(said.get("views"), dict):
        raise InputError(f"{path}: expected {expected}, found another layout or format")
    if unknown := sorted(set(said) - {"format", "size", "views"}):
        raise InputError(f"{path}: {unknown[0]!r} is not known here; expected {expected}")
    size = said.get("size")
    if not (isinstance(size, list) and len(size) == 2 and all(type(n) is int and n > 0 for n in size)):
        raise InputError(f"{path}: size {size!r}: expected [height, width] of the pictures in pixels")
    if max(size) > LONGEST_SIDE or size[0] * size[1] > MOST_PIXELS:
        most = f"at most {LONGEST_SIDE} a side and {MOST_PIXELS} in all"
        raise InputError(f"{path}: size {size!r}: expected [height, width] of the pictures in pixels, {most}")
    views = said["views"]
    entry = views.get(view, views.get("*"))
    if entry is None:
        raise InputError(
            f"{path}: holds no view {view!r}, only {', '.join(sorted(views)) or 'none'}; add it, or name one of them"
        )
    if not isinstance(entry, dict) or set(entry) - {"ignore", "watch"}:
        raise InputError(f"{path}, view {view!r}: expected lists of polygons named ignore and watch, found {entry!r}")
    shape = (size[0], size[1])
    ignored, seen = (
        _union(entry.get(name, []), shape, f"{path}, view {view!r}, {name}") for name in ("ignore", "watch")
    )
    return shape, ~ignored & (seen if entry.get("watch") else True)


def _union(polygons: Any, size: tuple[int, int], where: str) -> np.ndarray:
    found = np.zeros(size, bool)
    if not isinstance(polygons, list):
        raise InputError(f"{where}: expected a list of polygons, each a list of [x, y]")
    for i, points in enumerate(polygons):
        here = f"{where}, polygon {i}"
        try:
            array = np.asarray(points, np.float64)
        except (ValueError, TypeError):
            array = np.empty(0)
        if array.ndim != 2 or array.shape[1:] != (2,) or len(array) < 3 or not np.isfinite(array).all():
            raise InputError(f"{here}: {points!r}: expected at least three points [x, y]")
        # Not the signed area: the two halves of an outline that crosses itself may cancel.
        if np.linalg.matrix_rank(array - array[0], tol=1e-6) < 2:
            raise InputError(f"{here}: its points enclose no area")
        found |= draw(Polygon(array), size, where=here).mask
    return found


def masked(pictures: Any, watched: Any) -> Any:
    """Pictures [b, h, w, c] in [-1, 1] with mid-grey, 0, outside ``watched``: before any distance is taken.

    x <- m x for a picture and its reconstruction alike, so nothing there differs and the features round the mask see
    the same edge in both. Mid-grey is the constant nearest to any picture, so that edge is as faint as it can be: at
    most half of what black beside white would be. A value outside [-1, 1] was never seen by the networks. The largest
    distances, which set the scale between pixel and feature term, are then those of what is watched: a mask before
    also changes the weight of the two.

    Args:
      pictures: JAX or NumPy. watched: bool [h, w] or [b, h, w].

    Source: line clearance thesis, section 3.4, "Timing of masking" and "Impact of masking on DDAD".
    """
    array = np if isinstance(pictures, np.ndarray) else jnp
    seen = array.asarray(watched)
    seen = (seen[None] if seen.ndim == 2 else seen)[..., None]
    return array.where(seen, pictures, array.zeros((), pictures.dtype))


def silenced(maps: Any, watched: Any) -> Any:
    """Anomaly maps [n, h, w] that say nothing outside ``watched``: after all distances were taken and weighed.

    A'(p) = A(p) where it is watched, else min(0, min over what is watched of A): the thesis' 0 for maps of distances,
    and for standardised ones, where 0 is what is usual and less occurs, the least of the same picture, so that the
    image score is always that of a watched pixel. No masked pixel ranks before a watched one of its picture, and all
    stay finite; metrics of pixels still count them unless they are given watched pixels alone.

    Args:
      maps: JAX or NumPy. watched: bool [h, w] for all or [n, h, w] for each, True somewhere in each.

    Deviation: the thesis sets 0 in every map; the same where no value lies below 0.

    Source: line clearance thesis, section 3.4, "Timing of masking".
    """
    array = np if isinstance(maps, np.ndarray) else jnp
    seen = array.asarray(watched)
    seen = seen[None] if seen.ndim == 2 else seen
    least = array.min(array.where(seen, maps, array.inf), axis=(1, 2), keepdims=True)
    return array.where(seen, maps, array.minimum(least, 0)).astype(maps.dtype)
