"""L1. Where things stand before the synthetic station's camera, and which point of what a pixel sees.

World: x to the right, y away from the camera, z up, the disk's top at z = 0, unit = the can's radius. The
can is a surface of revolution, a stack of cone frusta, so every ray is cut in closed form; only a dent,
which is no surface of revolution, is marched.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ddad_jax.data import can_labels

DISK_RADIUS = 1.85
DISK_THICKNESS = 0.16
WALL_Y = 4.5
LID_DEPTH = 0.09
LID_RADIUS = 0.77

Depth = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""(angle on the can, height) -> how far the metal is pushed in there, in radii; zero outside the dent."""


class Scene(NamedTuple):
    """One video's station and one frame's jitter: everything in a picture that is no defect and no phase.

    Angles in radians, lengths in can radii. Lights are standing boxes right and left of the camera.
    """

    elevation: float = 0.24  # of the camera over the horizon
    distance: float = 11.5  # camera to can
    aim: tuple[float, float] = (0.0, 1.5)  # x and z of the point in the middle of the picture
    roll: float = 0.0
    zoom: float = 1.0
    offset: tuple[float, float] = (0.0, 0.0)  # of the can on the disk, turning with it
    tilt: tuple[float, float] = (0.0, 0.0)  # of the can's axis, turning with the disk
    light_azimuth: tuple[float, float] = (-0.95, 0.8)  # from the camera's direction, negative = left
    light_width: tuple[float, float] = (0.2, 0.13)
    light_power: tuple[float, float] = (1.0, 0.6)
    light_low: float = -0.8  # lower end of the boxes
    ceiling: float = 1.1  # its radiance
    ambient: float = 0.40
    exposure: float = 1.0
    balance: tuple[float, float, float] = (1.0, 1.0, 1.0)  # gain of red, green, blue
    wall_seed: int = 0
    blur: float = 0.4  # standard deviation of the lens, output pixels at 64 px; grows slowly with size
    read_noise: float = 0.005  # standard deviations in units of full scale
    shot_noise: float = 0.009  # at full scale


FIELD = 4.25
"""Height of the picture at the can, in radii."""


def can_outline(height: float) -> np.ndarray:
    """The can's outline [n, 2] (r, z): bottom bevel, body, shoulder, neck, seam, down to the lid."""
    from_top = [(1.0, -0.5), (0.985, -0.41), (0.945, -0.31), (0.885, -0.2), (0.835, -0.12), (0.82, -0.09),
                (0.865, -0.07), (0.875, -0.03), (0.86, 0.0), (0.80, 0.004), (0.785, -0.02),
                (LID_RADIUS, -LID_DEPTH)]  # fmt: skip
    low = [(0.78, 0.0), (0.85, 0.035), (0.93, 0.1), (0.98, 0.19), (1.0, 0.3)]
    return np.array(low + [(r, height + z) for r, z in from_top])


def rays(scene: Scene, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Camera position [3] and unit directions [size * size, 3] of a pinhole camera, rows from the top."""
    c, s = np.cos(scene.elevation), np.sin(scene.elevation)
    forward, up = np.array([0.0, c, -s]), np.array([0.0, s, c])
    right = np.array([1.0, 0.0, 0.0])
    origin = np.array([scene.aim[0], 0.0, scene.aim[1]]) - scene.distance * forward
    grid = (np.arange(size) + 0.5) / size - 0.5
    x, y = np.meshgrid(grid, -grid)
    cr, sr = np.cos(scene.roll), np.sin(scene.roll)
    x, y = cr * x - sr * y, sr * x + cr * y
    k = FIELD / (scene.distance * scene.zoom)
    d = forward + k * (x[..., None] * right + y[..., None] * up)
    d = d.reshape(-1, 3)
    return origin, d / np.sqrt(np.einsum("ij,ij->i", d, d))[:, None]


def can_frame(scene: Scene, phase: float) -> tuple[np.ndarray, np.ndarray]:
    """Rotation [3, 3] and origin [3] with world = rotation @ can + origin; the print's angle is apart."""
    c, s = np.cos(phase), np.sin(phase)
    ox, oy = c * scene.offset[0] - s * scene.offset[1], s * scene.offset[0] + c * scene.offset[1]
    tx, ty = c * scene.tilt[0] - s * scene.tilt[1], s * scene.tilt[0] + c * scene.tilt[1]
    axis = np.array([tx, ty, 1.0])
    axis /= np.linalg.norm(axis)
    x = np.array([1.0, 0.0, -tx])
    x -= axis * (x @ axis)
    x /= np.linalg.norm(x)
    return np.column_stack([x, np.cross(axis, x), axis]), np.array([ox, oy, 0.0])


class CanHit(NamedTuple):
    """The rays that meet the can, in the can's own frame."""

    ray: np.ndarray  # [m] which one
    point: np.ndarray  # [m, 3]
    normal: np.ndarray  # [m, 3] unit, outward, of the undented can
    inside: np.ndarray  # bool [m]: on the lid or the inner wall of the rim


def hit_can(origin: np.ndarray, direction: np.ndarray, height: float) -> CanHit:
    """First intersections of rays (can frame) with the can.

    A frustum r = r0 + k (z - z0) is the quadric x^2 + y^2 - r(z)^2 = 0: two roots a ray, kept where
    z lies on the frustum; the nearest of all frusta and the lid wins. Rays that pass the widest
    cylinder are dropped first.
    """
    a = direction[:, 0] ** 2 + direction[:, 1] ** 2
    b = origin[0] * direction[:, 0] + origin[1] * direction[:, 1]
    across = origin[0] ** 2 + origin[1] ** 2 - 1.0
    near = np.flatnonzero(b * b - a * across > 0)
    d, a, b = direction[near], a[near], b[near]
    outline = can_outline(height)
    r0, z0 = outline[:-1].T
    dr, dz = np.diff(outline, axis=0).T
    flat = np.column_stack([dz, -dr])
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    # Vertex normals average their frusta by length, so that the long body stays straight to its ends.
    vertex = np.vstack([flat[:1], flat[:-1] + flat[1:], flat[-1:]])
    vertex /= np.linalg.norm(vertex, axis=1, keepdims=True)
    best = np.full(len(near), np.inf)
    nr, nz = np.zeros(len(near)), np.ones(len(near))
    # Heights between which each ray is inside the widest cylinder: frusta elsewhere need no test.
    middle, spread = origin[2] - b / a * d[:, 2], np.sqrt(b * b - a * across) / a * np.abs(d[:, 2])
    for j in range(len(r0)):
        lo, hi = min(z0[j], z0[j] + dz[j]), max(z0[j], z0[j] + dz[j])
        at = np.flatnonzero((middle + spread >= lo) & (middle - spread <= hi))
        aj, bj, zj = a[at], b[at], d[at, 2]
        k = dr[j] / dz[j]
        m = r0[j] + k * (origin[2] - z0[j])  # radius of the extended cone at the camera's height
        qa = aj - (k * zj) ** 2
        qb = bj - k * m * zj
        root = qb * qb - qa * (origin[0] ** 2 + origin[1] ** 2 - m * m)
        sq = np.sqrt(np.maximum(root, 0.0))
        for sign in (-1.0, 1.0):
            t = (-qb + sign * sq) / qa
            part = (origin[2] + t * zj - z0[j]) / dz[j]
            hit = (root > 0) & (t > 0) & (t < best[at]) & (part >= 0) & (part <= 1)
            won, f = at[hit], part[hit]
            best[won] = t[hit]
            if length[j] > 1.0:
                nr[won], nz[won] = 1.0, 0.0
            else:
                nr[won] = vertex[j, 0] * (1 - f) + vertex[j + 1, 0] * f
                nz[won] = vertex[j, 1] * (1 - f) + vertex[j + 1, 1] * f
    inner = nr < -0.3
    t = (height - LID_DEPTH - origin[2]) / d[:, 2]
    on_lid = (t < best) & (np.hypot(origin[0] + t * d[:, 0], origin[1] + t * d[:, 1]) <= LID_RADIUS)
    best[on_lid], nr[on_lid], nz[on_lid] = t[on_lid], 0.0, 1.0
    found = np.isfinite(best)
    point = origin + best[found, None] * d[found]
    rho = np.hypot(point[:, 0], point[:, 1])
    nr, nz = nr[found], nz[found]
    normal = np.column_stack([nr * point[:, 0] / rho, nr * point[:, 1] / rho, nz])
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    return CanHit(near[found], point, normal, (inner | on_lid)[found])


def march_dent(
    point: np.ndarray, direction: np.ndarray, phase: float, depth: Depth
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Follow rays that entered the body over a dent down to the pushed-in metal.

    The dented wall is rho = 1 - depth(theta, z). f = rho - 1 + depth is positive outside the metal; its slope
    stays below 3, so that steps of f / 3 cannot jump through. A ray that leaves the unit cylinder again
    has passed the flattened contour: it misses the can.

    Returns points [m, 3], normals [m, 3] (gradient of f by central differences), missed bool [m].
    """
    p = point.copy()
    missed = np.zeros(len(p), bool)
    active = np.arange(len(p))
    for _ in range(60):
        x, y, z = p[active].T
        rho = np.hypot(x, y)
        f = rho - 1.0 + depth(np.arctan2(y, x) - phase, z)
        out = rho > 1.0 + 1e-5
        missed[active[out]] = True
        go = ~out & (f > 5e-4)
        active, f = active[go], f[go]
        if not len(active):
            break
        p[active] += direction[active] * np.maximum(f / 3.0, 1e-3)[:, None]
    theta, z, step = np.arctan2(p[:, 1], p[:, 0]), p[:, 2], 4e-3
    along = (depth(theta - phase + step, z) - depth(theta - phase - step, z)) / (2 * step)
    upward = (depth(theta - phase, z + step) - depth(theta - phase, z - step)) / (2 * step)
    out_dir = np.column_stack([np.cos(theta), np.sin(theta), np.zeros(len(p))])
    round_dir = np.column_stack([-np.sin(theta), np.cos(theta), np.zeros(len(p))])
    normal = out_dir + along[:, None] * round_dir
    normal[:, 2] += upward
    return p, normal / np.linalg.norm(normal, axis=1, keepdims=True), missed


def print_rows(height: float, z: np.ndarray) -> np.ndarray:
    """Height on the can -> row v of the sleeve, 0 at the print's upper end and 1 at its lower end."""
    top, low = height - can_labels.PRINT_HIGH, can_labels.PRINT_LOW
    return (top - z) / (top - low)
