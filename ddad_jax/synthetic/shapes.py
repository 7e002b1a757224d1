"""L1. Where synthetic defects lie and what outline they have: the object, smooth noise, spots, bars, cracks.

Fields are float32 [h, w], lengths are in pixels, points are (x, y) and need not be whole numbers.
Randomness is the generator given.
"""

import cv2
import numpy as np

SUPER = 4
"""Lines are drawn at this many times the size, so that widths below a pixel mean something."""


def object_map(image: np.ndarray) -> np.ndarray:
    """The one compact thing in the picture that a defect should lie on; everything where there is none.

        d(x) = max_c |blur(image)(x) - median of the border|
        region(T) = the largest connected part of d > T that stays off the border, T = max(2 q_0.8(d on the border), 25)

    The object is the convex hull of region(T). It must cover 5 to 80 % of the picture, region(T) 60 % of the hull
    and region(1.2 T) 70 % of region(T): a thing has an edge, where the outline of a bright place in a texture
    moves with the threshold. Otherwise, as in textures, True everywhere.

    Args:
      image: float32 [h, w, 3] in 0..255.

    Returns:
      bool [h, w], never empty.
    """
    h, w = image.shape[:2]
    unit = np.sqrt(h * w)
    smooth = cv2.GaussianBlur(image, (0, 0), unit / 64)
    border = np.ones((h, w), bool)
    edge = max(1, round(unit / 40))
    border[edge:-edge, edge:-edge] = False
    d = np.abs(smooth - np.median(smooth[border], axis=0)).max(axis=2)
    threshold = max(2 * float(np.quantile(d[border], 0.8)), 25.0)
    region, core = (_largest_inside(d > t) for t in (threshold, 1.2 * threshold))
    hull = np.zeros((h, w), np.uint8)
    if region.any():
        points = np.argwhere(region)[:, ::-1].astype(np.int32)
        cv2.fillConvexPoly(hull, cv2.convexHull(points), 1)
        if 0.05 <= hull.mean() <= 0.8 and region.sum() >= 0.6 * hull.sum() and core.sum() >= 0.7 * region.sum():
            return hull > 0
    return np.ones((h, w), bool)


def _largest_inside(different: np.ndarray) -> np.ndarray:
    """The largest connected part of bool [h, w] that does not touch the border; all False where there is none."""
    _, parts, stats, _ = cv2.connectedComponentsWithStats(different.astype(np.uint8), connectivity=4)
    left, top, width, height, areas = stats.T
    inside = (left > 0) & (top > 0) & (left + width < parts.shape[1]) & (top + height < parts.shape[0])
    inside[0] = False  # what is not different
    largest = np.argmax(np.where(inside, areas, 0))
    return (parts == largest) & inside[largest]


def draw_point(rng: np.random.Generator, where: np.ndarray) -> tuple[float, float]:
    """The middle of a pixel of bool [h, w], all alike."""
    at = np.flatnonzero(where)
    y, x = divmod(int(at[rng.integers(len(at))]), where.shape[1])
    return float(x), float(y)


def smooth_noise(
    rng: np.random.Generator, shape: tuple[int, int], cell: float | tuple[float, float], *, octaves: int = 3
) -> np.ndarray:
    """Value noise: sum over octaves o of 2^-o times normal noise on cells of size ``cell`` / 2^o, interpolated.

    Args:
      shape: (h, w).
      cell: size of the coarsest cells in pixels, or (along y, along x) for a grain.

    Returns:
      float32 [h, w] of mean 0 and standard deviation 1.
    """
    h, w = shape
    along_y, along_x = (cell, cell) if isinstance(cell, int | float) else cell
    total = np.zeros(shape, np.float32)
    for octave in range(octaves):
        rows, columns = (int(np.ceil(n / max(c / 2**octave, 1.0))) + 1 for n, c in ((h, along_y), (w, along_x)))
        coarse = rng.standard_normal((rows, columns), np.float32)
        total += cv2.resize(coarse, (w, h), interpolation=cv2.INTER_CUBIC) / 2**octave
    total -= total.mean()
    return total / max(float(total.std()), 1e-6)


def offsets(shape: tuple[int, int], centre: tuple[float, float], angle: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """How far each pixel lies from the centre, along a direction ``angle`` (radians) and across it; float32 [h, w]."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    x, y = x - np.float32(centre[0]), y - np.float32(centre[1])
    c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return c * x + s * y, c * y - s * x


def bar(
    shape: tuple[int, int], centre: tuple[float, float], *, length: float, width: float, angle: float
) -> np.ndarray:
    """A turned rectangle: 1 within, 0 outside, and a rim one pixel wide between."""
    along, across = offsets(shape, centre, angle)
    ends = np.clip(length / 2 + 0.5 - np.abs(along), 0, 1)
    return ends * np.clip(width / 2 + 0.5 - np.abs(across), 0, 1)


def patch(
    rng: np.random.Generator, where: np.ndarray, centre: tuple[float, float], *, area: float, soft: float
) -> np.ndarray:
    """A ragged stain of a wanted area: noise that falls off from the centre, cut at a quantile.

        field = 0.6 noise - (distance / R)^2,  cover = clip((field - q) / soft + 1/2, 0, 1)

    R is the radius of a disc of that area and q leaves the area within ``where``, which the stain does not leave.

    Args:
      where: bool [h, w], may be covered.
      area: pixels wanted.
      soft: width of the rim in units of the field.
    """
    r = np.sqrt(area / np.pi)
    x, y = offsets(where.shape, centre)
    field = 0.6 * smooth_noise(rng, where.shape, float(1.5 * r)) - (x * x + y * y) / np.float32(r * r)
    within = np.sort(field[where])[::-1]
    q = within[min(int(area), len(within) - 1)]
    return np.where(where, np.clip((field - q) / np.float32(soft) + np.float32(0.5), 0, 1), np.float32(0))


def crack_lines(
    rng: np.random.Generator, shape: tuple[int, int], centre: tuple[float, float], *, length: float, width: float
) -> np.ndarray:
    """A random walk through the centre with up to two branches, thinner towards its ends.

    Args:
      length: of the walk, pixels. Each step turns it by about 20 degrees; branches have 20 to 50 % of it.
      width: in the middle, pixels; where it is below one, the cover is below one, too.
    """
    canvas = np.zeros((shape[0] * SUPER, shape[1] * SUPER), np.uint8)
    steps, heading = 10, float(rng.uniform(0, 2 * np.pi))

    def walk(start: np.ndarray, heading: float, length: float, width: float) -> np.ndarray:
        headings = heading + np.cumsum(rng.normal(0, 0.35, steps))
        points = start + np.cumsum(np.stack([np.cos(headings), np.sin(headings)], 1), 0) * (length / steps)
        points = np.concatenate([start[None], points])
        for i in range(steps):
            thick = max(1, round(SUPER * width * (1 - 0.7 * i / steps)))
            ends = [tuple(np.round((p + 0.5) * SUPER).astype(int).tolist()) for p in points[i : i + 2]]
            cv2.line(canvas, ends[0], ends[1], 255, thick)
        return points

    middle = np.array(centre)
    arms = [walk(middle, heading + turn, length / 2, width) for turn in (0.0, np.pi)]
    for _ in range(rng.integers(0, 3)):
        fork = arms[rng.integers(2)][rng.integers(1, steps - 2)]
        walk(fork, float(rng.uniform(0, 2 * np.pi)), length * float(rng.uniform(0.2, 0.5)), 0.6 * width)
    cover = cv2.resize(canvas, shape[::-1], interpolation=cv2.INTER_AREA)
    return cover.astype(np.float32) / np.float32(255)
