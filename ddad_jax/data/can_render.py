"""L1. One picture of a synthetic can: rays, defect, print, light, then the camera's lens and noise."""

from typing import NamedTuple

import cv2
import numpy as np

from ddad_jax.data import can_labels
from ddad_jax.data.can_defects import DENT_EDGE, Defect, Dent, Paint
from ddad_jax.data.can_scene import FIELD, CanHit, Scene, can_frame, hit_can, march_dent, print_rows, rays
from ddad_jax.data.can_shading import STEEL, lid_albedo, shade_metal, shade_station
from ddad_jax.errors import InputError

PRODUCTS: tuple[str, ...] = tuple(can_labels.ART)


def check_can(product: str, size: int) -> None:
    if product not in PRODUCTS:
        raise InputError(f"product {product!r} is not one of the synthetic cans: choose from {', '.join(PRODUCTS)}")
    if size < 32:
        raise InputError(f"size {size} is too small to draw a can: give at least 32 pixels")


def expose(
    product: str, *, size: int, phase: float, scene: Scene, defect: Defect | None = None, step: int = 2
) -> tuple[np.ndarray, np.ndarray]:
    """The noise-free picture and the share of each pixel that is defective.

    Args: as of `render_frame`, and
      step: rays along each side of a pixel, at least 1.

    Returns:
      light float64 [size, size, 3], linear, >= 0; share float64 [size, size] in [0, 1].
    """
    fine = size * step
    height = can_labels.ART[product][0]
    origin, direction = rays(scene, fine)
    turn, stand = can_frame(scene, phase)
    view = direction @ turn
    hit = hit_can((origin - stand) @ turn, view, height)
    touch = _touch(hit, view, phase, defect)
    texels = int(min(can_labels.WIDTH, 2 * np.pi / FIELD * fine * 1.2))
    albedo, metal, gloss = _paintwork(product, texels, hit, touch, phase, defect)

    light = np.empty((fine * fine, 3))
    on, ray = touch.seen, hit.ray[touch.seen]
    world, normal = stand + touch.point[on] @ turn.T, touch.normal[on] @ turn.T
    light[ray] = shade_metal(scene, world, normal, direction[ray], albedo[on], metal[on], gloss[on])
    rest = np.ones(fine * fine, bool)
    rest[ray] = False
    light[rest] = shade_station(scene, origin, direction[rest], phase, stand)
    share = np.zeros(fine * fine)
    share[hit.ray] = touch.wrong
    blocks = light.reshape(size, step, size, step, 3).mean(axis=(1, 3))
    return blocks, share.reshape(size, step, size, step).mean(axis=(1, 3))


class _Touch(NamedTuple):
    """Where the rays that meet the sound can end on the real one, in the can's frame."""

    point: np.ndarray  # [m, 3]
    normal: np.ndarray  # [m, 3]
    theta: np.ndarray  # [m] angle on the print
    seen: np.ndarray  # bool [m]: False where the ray passes a flattened contour
    sunk: np.ndarray  # [m] depth relative to the dent's greatest
    stain: np.ndarray  # [m] cover by foreign colour
    wrong: np.ndarray  # bool [m]: defective


def _touch(hit: CanHit, view: np.ndarray, phase: float, defect: Defect | None) -> _Touch:
    point, normal = hit.point.copy(), hit.normal.copy()
    n = len(point)
    seen, wrong, sunk, stain = np.ones(n, bool), np.zeros(n, bool), np.zeros(n), np.zeros(n)
    theta = np.arctan2(point[:, 1], point[:, 0]) - phase
    if isinstance(defect, Dent):
        amount = np.where(hit.inside, 0.0, defect.depth_at(theta, point[:, 2]))
        deep = np.flatnonzero(amount > 0)
        point[deep], normal[deep], missed = march_dent(point[deep], view[hit.ray[deep]], phase, defect.depth_at)
        theta[deep] = np.arctan2(point[deep, 1], point[deep, 0]) - phase
        there = defect.depth_at(theta[deep], point[deep, 2])
        seen[deep], sunk[deep] = ~missed, there / defect.depth
        # Where the contour fell in, the picture shows the background: that is part of the dent.
        wrong[deep] = missed | (np.maximum(amount[deep], there) > DENT_EDGE * defect.depth)
    if isinstance(defect, Paint):
        stain = np.where(hit.inside, 0.0, defect.cover_at(theta, point[:, 2]))
        wrong = stain > 0.5
    return _Touch(point, normal, theta, seen, sunk, stain, wrong)


def _paintwork(
    product: str, texels: int, hit: CanHit, touch: _Touch, phase: float, defect: Defect | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Colour [m, 3], bare-metal share [m] and extra gloss [m] of the places in view."""
    sleeve = can_labels.sleeve(product, texels)
    row = print_rows(can_labels.ART[product][0], touch.point[:, 2])
    column = np.mod(touch.theta / (2 * np.pi), 1.0) * texels
    ink = can_labels.sample(sleeve, column - 0.5, row * len(sleeve) - 0.5, wrap=True).astype(np.float64)
    bare = hit.inside | (row < 0) | (row > 1)
    albedo = np.where(bare[:, None], STEEL, ink[:, :3])
    albedo[hit.inside] = lid_albedo(touch.point[hit.inside], phase)
    metal = np.where(bare, 1.0, ink[:, 3])
    albedo *= 1 - 0.45 * touch.sunk[:, None]  # less of the room reaches the bottom of a dent
    if isinstance(defect, Paint):
        albedo += touch.stain[:, None] * (np.array(defect.colour) - albedo)
        metal += touch.stain * (defect.metal - metal)
    return albedo, metal, 0.03 * touch.stain


def develop(light: np.ndarray, scene: Scene, rng: np.random.Generator | None) -> np.ndarray:
    """What the camera makes of the light: lens blur, exposure, white balance, saturation, noise, 8 bits.

    value = (v + n)^(1/2.2) with v = 1 - exp(-1.5 gain light) and noise n of variance read^2 + shot^2 v.

    Args:
      light: [size, size, 3] linear, >= 0.
      rng: the noise field is the same for equal `rng`, whatever the light; None = no noise.

    Returns:
      uint8 [size, size, 3].
    """
    size = len(light)
    sigma = scene.blur * (size / 64) ** 0.5
    soft = cv2.GaussianBlur(light, (0, 0), sigma, borderType=cv2.BORDER_REFLECT)
    y, x = (np.mgrid[0:size, 0:size] + 0.5) / size - 0.5
    gain = scene.exposure * np.array(scene.balance) * (1 - 0.35 * (x * x + y * y))[..., None]
    value = 1 - np.exp(-1.5 * gain * soft)
    if rng is not None:
        grain = rng.normal(size=(size, size, 3))
        value = value + grain * np.sqrt(scene.read_noise**2 + scene.shot_noise**2 * value)
    return np.round(255 * np.clip(value, 0, 1) ** (1 / 2.2)).astype(np.uint8)


def render_frame(
    product: str,
    *,
    size: int,
    phase: float,
    scene: Scene,
    defect: Defect | None = None,
    noise: int | np.random.SeedSequence = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """One frame of one can and the exact mask of its defect.

    Args:
      product: one of `PRODUCTS`.
      size: side of the square picture in pixels, at least 32.
      phase: angle of the rotating disk, radians.
      scene: camera, lights, placement, exposure.
      defect: a `Dent` or `Paint` fixed to the can, or none.
      noise: seed of the camera's noise.

    Returns:
      uint8 [size, size, 3] RGB, bool [size, size]: more than half of the pixel is defective.

    Raises:
      InputError: unknown product, or size below 32.
    """
    check_can(product, size)
    step = 3 if size < 96 else 2
    light, share = expose(product, size=size, phase=phase, scene=scene, defect=defect, step=step)
    return develop(light, scene, np.random.default_rng(noise)), share > 0.5
