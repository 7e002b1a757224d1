"""L1. What can be wrong with a synthetic can: a dent in its wall, foreign or missing colour on its print."""

from typing import NamedTuple

import cv2
import numpy as np

from ddad_jax.data.can_labels import linear, sample

MAP = 128
"""Texels across a paint stain."""
DENT_EDGE = 0.02
"""A dent's mask ends at this fraction of its depth: a mirror shows slopes long before it shows depths."""
PAINTS = np.array(
    [(226, 28, 36), (28, 70, 214), (16, 16, 20), (246, 246, 246), (238, 92, 188), (20, 190, 210),
     (120, 40, 160), (255, 120, 10)], np.uint8,
)  # fmt: skip
BARE = np.array([0.78, 0.79, 0.81])


class Dent(NamedTuple):
    """A pushed-in place of the body; lengths in can radii, angles in radians.

    With (p, q) the position on the unrolled body relative to the centre, turned by `turn` and divided by
    `half`: depth = `depth` x max(bowl, 0.75 x smaller round bowl off centre), where
    bowl = max(1 - p^2 - q^2, 0)^2 (1 - crease |q - bend (p^2 - 0.3)|). The crease and the line where the
    two bowls meet are sharp folds, as in sheet metal.
    """

    theta: float  # on the print, so the dent turns with the can
    z: float
    half: tuple[float, float]
    turn: float
    depth: float
    crease: float
    bend: float
    second: tuple[float, float]

    def depth_at(self, theta: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Depth [m] at angle theta (on the print) and height z of the body."""
        x = np.mod(theta - self.theta + np.pi, 2 * np.pi) - np.pi
        y = z - self.z
        c, s = np.cos(self.turn), np.sin(self.turn)
        p, q = (c * x + s * y) / self.half[0], (-s * x + c * y) / self.half[1]
        fold = 1 - self.crease * np.minimum(np.abs(q - self.bend * (p * p - 0.3)), 1.0)
        bowl = np.clip(1 - p * p - q * q, 0, None) ** 2 * fold
        p2, q2 = (p - self.second[0]) / 0.55, (q - self.second[1]) / 0.55
        return self.depth * np.maximum(bowl, 0.75 * np.clip(1 - p2 * p2 - q2 * q2, 0, None) ** 2)


class Paint(NamedTuple):
    """A stain: how much of each place of a square of the unrolled can it covers, and what colour it is."""

    theta: float
    z: float
    half: float  # half side of the square, radii
    cover: np.ndarray  # float32 [MAP, MAP] in [0, 1], column = angle, row 0 = top
    colour: tuple[float, float, float]  # linear
    metal: float  # 1: the print is missing and bare metal shows

    def cover_at(self, theta: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Cover [m] in [0, 1] at angle theta (on the print) and height z."""
        x = np.mod(theta - self.theta + np.pi, 2 * np.pi) - np.pi
        column = (x / self.half + 1) * 0.5 * MAP - 0.5
        row = (1 - (z - self.z) / self.half) * 0.5 * MAP - 0.5
        within = (np.abs(x) < self.half) & (np.abs(z - self.z) < self.half)
        return np.where(within, sample(self.cover, column, row).astype(np.float64), 0.0)


Defect = Dent | Paint


def draw_dent(rng: np.random.Generator, *, towards: float, height: float) -> Dent:
    """A dent on the side that looks at the camera.

    Args:
      rng: source of everything random.
      towards: angle on the print that faces the camera.
      height: of the can, radii. The dent stays on the straight part of the body.
    """
    half = (rng.uniform(0.32, 0.56), rng.uniform(0.32, 0.62))
    reach = max(half) + 0.02
    return Dent(
        theta=towards + rng.uniform(-1.0, 1.0),
        z=rng.uniform(0.3 + reach, height - 0.5 - reach),
        half=half,
        turn=rng.uniform(0, np.pi),
        depth=min(half) * rng.uniform(0.42, 0.62),
        crease=rng.uniform(0.15, 0.6),
        bend=rng.uniform(-0.6, 0.6),
        second=(rng.uniform(0.25, 0.42) * rng.choice([-1, 1]), rng.uniform(-0.3, 0.3)),
    )


def _noise(rng: np.random.Generator, cells: tuple[int, int]) -> np.ndarray:
    coarse = rng.normal(size=cells).astype(np.float32)
    return cv2.resize(coarse, (MAP, MAP), interpolation=cv2.INTER_CUBIC)


def _splash(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    body = 0.55 - np.hypot(x / rng.uniform(0.8, 1.2), y / rng.uniform(0.8, 1.2)) + 0.16 * _noise(rng, (7, 7))
    for _ in range(rng.integers(2, 6)):
        a, r, size = rng.uniform(0, 2 * np.pi), rng.uniform(0.6, 0.85), rng.uniform(0.05, 0.13)
        body = np.maximum(body, size - np.hypot(x - r * np.cos(a), y - r * np.sin(a)))
    if rng.random() < 0.5:  # a run of paint down the wall
        where, length = rng.uniform(-0.3, 0.3), rng.uniform(0.6, 0.9)
        run = 0.11 - np.abs(x - where - 0.05 * np.sin(5 * y))
        body = np.maximum(body, np.where((y > 0) & (y < length), run, -1))
    return body


def _stroke(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """A brush mark: distance to a bent line, its ends ragged."""
    a = rng.uniform(0, np.pi)
    along, across = np.cos(a) * x + np.sin(a) * y, -np.sin(a) * x + np.cos(a) * y
    across = across + rng.uniform(-0.5, 0.5) * (along**2 - 0.2)
    width = rng.uniform(0.16, 0.26) * (1 - 0.5 * np.abs(along)) + 0.05 * _noise(rng, (9, 9))
    return np.minimum(width - np.abs(across), 0.85 - np.abs(along) + 0.06 * _noise(rng, (12, 12)))


def _patch(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """A flaked-off piece: an angular outline, the largest of a few straight cuts."""
    out = np.full_like(x, -1.0)
    for a in np.arange(6) * np.pi / 3 + rng.uniform(-0.35, 0.35, 6):
        out = np.maximum(out, np.cos(a) * x + np.sin(a) * y - rng.uniform(0.42, 0.68))
    return -out + 0.04 * _noise(rng, (14, 14))


def draw_paint(rng: np.random.Generator, *, towards: float, height: float) -> Paint:
    """A splash, a brush stroke or a place without print, on the side that looks at the camera.

    Arguments as of `draw_dent`. The stain may reach over the shoulder's beginning.
    """
    y, x = (np.mgrid[0:MAP, 0:MAP].astype(np.float32) + 0.5) / (MAP / 2) - 1
    kind = rng.choice(3, p=(0.45, 0.33, 0.22))
    field = (_splash, _stroke, _patch)[kind](rng, x, y)
    # A margin without paint keeps the outline the stain's own, not the square's.
    field = np.minimum(field, 0.96 - np.maximum(np.abs(x), np.abs(y)))
    half = float(rng.uniform(0.42, 0.66))
    colour = BARE if kind == 2 else linear(PAINTS[rng.integers(len(PAINTS))])
    return Paint(
        theta=towards + rng.uniform(-0.9, 0.9),
        z=rng.uniform(0.2 + 0.7 * half, height - 0.4 - 0.7 * half),
        half=half,
        # Cut first, softened after: a field that hovers near zero would leave a haze that no mask shows.
        cover=cv2.GaussianBlur((field > 0).astype(np.float32), (0, 0), 0.8),
        colour=(float(colour[0]), float(colour[1]), float(colour[2])),
        metal=float(kind == 2),
    )
