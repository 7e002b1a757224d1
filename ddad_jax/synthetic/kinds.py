"""L1. The kinds of synthetic defect: each a function of picture, generator, strength and where defects belong."""

from collections.abc import Callable, Mapping

import cv2
import numpy as np

from ddad_jax.synthetic.shapes import bar, crack_lines, draw_point, offsets, patch, smooth_noise

Draw = Callable[[np.ndarray, np.random.Generator, float, np.ndarray], np.ndarray]
"""(image float32 [h, w, 3] in 0..255, generator, strength in (0, 1], bool [h, w] where defects belong) -> image."""


def _grey(image: np.ndarray) -> bool:
    return bool((image == image[..., :1]).all())


def _tint(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """A direction of colour [3], its greatest component +-1: in grey pictures, and half of the time, brightness."""
    sign = np.float32(rng.choice([-1, 1]))
    hue = rng.uniform(-1, 1, 3).astype(np.float32)
    if rng.random() < 0.5 or _grey(image):
        return np.full(3, sign)
    return hue / np.abs(hue).max()


def _blend(image: np.ndarray, other: np.ndarray, cover: np.ndarray) -> np.ndarray:
    return image + cover[..., None] * (other - image)


def _moved(
    image: np.ndarray, source: tuple[float, float], target: tuple[float, float], *, angle: float, zoom: float
) -> np.ndarray:
    """The picture turned (radians) and enlarged about ``source``, which comes to ``target``; mirrored outside."""
    c, s = np.cos(angle) / zoom, np.sin(angle) / zoom
    back = np.array([[c, -s, 0], [s, c, 0]])  # from target to source
    back[:, 2] = np.array(source) - back[:, :2] @ np.array(target)
    return cv2.warpAffine(
        image,
        back,
        image.shape[1::-1],
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REFLECT_101,
    )


def texture(image: np.ndarray, rng: np.random.Generator, strength: float, where: np.ndarray) -> np.ndarray:
    """A ragged region shows another texture: the picture's own, turned and recoloured, or a grain of noise.

    Source: Zavrtanik et al. 2021 (DRAEM). There the texture comes from another data set and Perlin noise draws the
    region; the picture's own keeps the result independent of other pictures.
    """
    h, w = image.shape[:2]
    centre = draw_point(rng, where)
    area = h * w * rng.uniform(0.01, 0.07) * (0.4 + 0.6 * strength)
    cover = patch(rng, where, centre, area=area, soft=0.15)
    if rng.random() < 0.5:
        other = _moved(
            image, draw_point(rng, where), centre, angle=rng.uniform(0, 2 * np.pi), zoom=rng.uniform(0.5, 1.5)
        )
        if rng.random() < 0.4:
            other = other[..., rng.permutation(3)]
        if rng.random() < 0.2:
            other = 255 - other
    else:
        cell = (float(rng.uniform(1.5, 12)), float(rng.uniform(1.5, 12)))
        grain = np.float32(rng.uniform(15, 40)) * smooth_noise(rng, (h, w), cell)
        other = image[cover > 0.5].mean(axis=0) + grain[..., None] * _tint(rng, image)
    other = other + np.float32(rng.uniform(10, 50)) * _tint(rng, image)
    return _blend(image, other, cover * np.float32(0.25 + 0.75 * strength))


def cut_paste(image: np.ndarray, rng: np.random.Generator, strength: float, where: np.ndarray) -> np.ndarray:
    """A rectangle of the picture's own pixels, slightly turned and recoloured, lies elsewhere.

    Source: Li et al. 2021 (CutPaste).
    """
    h, w = image.shape[:2]
    area, aspect = h * w * rng.uniform(0.006, 0.06) * strength, 3.0 ** rng.uniform(-1, 1)
    anywhere = np.ones_like(where)  # background on the object is a missing piece
    source, target = draw_point(rng, anywhere), draw_point(rng, where)
    angle = rng.uniform(-0.35, 0.35)
    cover = bar((h, w), target, length=np.sqrt(area * aspect), width=np.sqrt(area / aspect), angle=angle)
    jitter = np.float32(40 * strength * rng.uniform(0.25, 1)) * _tint(rng, image)
    return _blend(image, _moved(image, source, target, angle=angle, zoom=1.0) + jitter, cover)


def scar(image: np.ndarray, rng: np.random.Generator, strength: float, where: np.ndarray) -> np.ndarray:
    """A long thin rectangle at any angle, of the picture's own pixels or of one colour.

    Source: Li et al. 2021 (CutPaste, its scar); there the jitter of colour is smaller.
    """
    h, w = image.shape[:2]
    unit = np.sqrt(h * w)
    centre, angle = draw_point(rng, where), rng.uniform(0, np.pi)
    length = unit * rng.uniform(0.12, 0.3) * (0.5 + 0.5 * strength)
    width = max(1.2, unit * rng.uniform(0.012, 0.035) * (0.5 + 0.5 * strength))
    cover = bar((h, w), centre, length=length, width=width, angle=angle)
    shift = np.float32(strength * rng.uniform(50, 110)) * _tint(rng, image)
    if rng.random() < 0.5:
        other = _moved(image, draw_point(rng, where), centre, angle=rng.uniform(0, 2 * np.pi), zoom=1.0) + shift
    else:
        other = np.broadcast_to(image[cover > 0.3].mean(axis=0) + shift, image.shape)
    return _blend(image, other, cover)


def deformation(image: np.ndarray, rng: np.random.Generator, strength: float, where: np.ndarray) -> np.ndarray:
    """A round place is swirled, pinched or pushed aside, and its slopes catch the light as a dent's do.

        b = (1 - r^2 / R^2)^2 within R;  image'(x) = image(x + b D(x)) + k R (light . grad b)

    D turns about the centre by up to 1.3 radians, scales by up to 60 %, or shifts by up to 0.45 R, below the
    0.65 R at which the push would fold the picture. The shading makes dents show where there is nothing to bend.

    Source: ours.
    """
    h, w = image.shape[:2]
    centre = draw_point(rng, where)
    radius = np.float32(np.sqrt(h * w) * rng.uniform(0.09, 0.17) * (0.6 + 0.4 * strength))
    x, y = offsets((h, w), centre)
    bowl = np.clip(1 - (x * x + y * y) / radius**2, 0, None)
    b = bowl * bowl
    amount, turn = np.float32(strength * rng.uniform(0.6, 1.0) * rng.choice([-1, 1])), rng.uniform(0, 2 * np.pi)
    light = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    match rng.integers(3):
        case 0:
            angle = np.float32(1.3) * amount * b
            to_x, to_y = np.cos(angle) * x - np.sin(angle) * y, np.sin(angle) * x + np.cos(angle) * y
        case 1:
            to_x, to_y = (1 - np.float32(0.6) * amount * b) * x, (1 - np.float32(0.6) * amount * b) * y
        case _:
            push = np.float32(0.45) * radius * amount * b
            to_x, to_y = x + push * light[0], y + push * light[1]
    bent = cv2.remap(
        image,
        to_x + np.float32(centre[0]),
        to_y + np.float32(centre[1]),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT_101,
    )
    slope = -4 * bowl * (x * light[0] + y * light[1]) / radius  # R (light . grad b), at most 1.54
    shade = np.float32(rng.uniform(8, 32) * (0.3 + 0.7 * strength)) * slope
    return bent + (shade * where)[..., None]


def colour(image: np.ndarray, rng: np.random.Generator, strength: float, where: np.ndarray) -> np.ndarray:
    """A soft stain that absorbs light, or a place that has faded towards a pale or another tone.

    stain: image (1 - k a), a in [0, 1]^3;  fading: image + k (tone - image);  k = strength x 0.5 .. 0.9
    """
    h, w = image.shape[:2]
    area = h * w * rng.uniform(0.01, 0.06) * (0.5 + 0.5 * strength)
    cover = patch(rng, where, draw_point(rng, where), area=area, soft=0.8)
    k, tint = np.float32(strength * rng.uniform(0.5, 0.9)), _tint(rng, image)
    if rng.random() < 0.5:
        absorbed = (1 - tint) / 2 if np.ptp(tint) > 0 else np.ones(3, np.float32)
        other = image * (1 - k * absorbed)
    else:
        tone = image[cover > 0.5].mean(axis=0) + np.float32(rng.uniform(50, 100)) * tint
        other = image + k * (tone - image)
    return _blend(image, other, cover)


def crack(image: np.ndarray, rng: np.random.Generator, strength: float, where: np.ndarray) -> np.ndarray:
    """A thin branching line, dark in three of four draws, a little wavering in depth."""
    h, w = image.shape[:2]
    unit = np.sqrt(h * w)
    length = unit * rng.uniform(0.2, 0.45) * (0.5 + 0.5 * strength)
    width = max(0.8, unit * rng.uniform(0.006, 0.014) * (0.5 + 0.5 * strength))
    cover = crack_lines(rng, (h, w), draw_point(rng, where), length=length, width=width) * where
    depth = np.clip(1 + 0.25 * smooth_noise(rng, (h, w), unit / 16), 0.4, 1.4).astype(np.float32)
    sign = -1 if rng.random() < 0.75 else 1
    return image + (np.float32(sign * (15 + 95 * strength * rng.uniform(0.7, 1))) * cover * depth)[..., None]


def blob(image: np.ndarray, rng: np.random.Generator, strength: float, where: np.ndarray) -> np.ndarray:
    """One to five small round spots with a soft rim, close together: pores, dust, drops."""
    h, w = image.shape[:2]
    unit = np.sqrt(h * w)
    middle, cover = draw_point(rng, where), np.zeros((h, w), np.float32)
    for _ in range(rng.integers(1, 6)):
        at = (middle[0] + rng.normal(0, 0.06 * unit), middle[1] + rng.normal(0, 0.06 * unit))
        radius = max(1.7, unit * rng.uniform(0.012, 0.035) * (0.5 + 0.5 * strength))
        x, y = offsets((h, w), at, rng.uniform(0, np.pi))
        stretched = np.hypot(x, np.float32(rng.uniform(1, 1.6)) * y)
        cover = np.maximum(cover, np.clip((np.float32(radius) - stretched) / np.float32(0.4 * radius) + 0.5, 0, 1))
    shift = np.float32(20 + 80 * strength * rng.uniform(0.6, 1)) * _tint(rng, image)
    return image + (cover * where)[..., None] * shift


def broken(image: np.ndarray, rng: np.random.Generator, strength: float, where: np.ndarray) -> np.ndarray:
    """A piece is gone: beyond a ragged line through the object, background. In a texture, which has none, the picture
    beyond the line is shaded, as by another finish or light.

    The line leaves 65 to 96 % of the object (of the picture), less the stronger.

    Source: ours.
    """
    h, w = image.shape[:2]
    unit, turn = np.sqrt(h * w), rng.uniform(0, 2 * np.pi)
    x, y = offsets((h, w), (w / 2, h / 2))
    beyond = np.float32(np.cos(turn)) * x + np.float32(np.sin(turn)) * y
    beyond = beyond + np.float32(0.03 * unit) * smooth_noise(rng, (h, w), unit / 5)
    share = rng.uniform(0.1, 0.35) * (0.4 + 0.6 * strength)
    cover = np.clip(beyond - np.float32(np.quantile(beyond[where], 1 - share)) + 0.5, 0, 1) * where
    if where.all():
        return image + cover[..., None] * (np.float32(10 + 40 * strength) * _tint(rng, image))
    # The nearest pixel of the background, smoothed, with the background's own grain.
    rim = 2 * round(unit / 32) + 1
    near = cv2.dilate(where.astype(np.uint8), np.ones((rim, rim), np.uint8))
    _, label = cv2.distanceTransformWithLabels(near, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    colours = np.zeros((int(label.max()) + 1, 3), np.float32)
    colours[label[near == 0]] = image[near == 0]
    smooth = cv2.GaussianBlur(colours[label], (0, 0), float(unit) / 32)
    grain = float(np.std((image - cv2.GaussianBlur(image, (0, 0), 1.0))[near == 0]))
    return _blend(image, smooth + np.float32(grain) * rng.standard_normal((h, w, 1), np.float32), cover)


DEFECTS: Mapping[str, Draw] = {
    "texture": texture,
    "cut_paste": cut_paste,
    "scar": scar,
    "deformation": deformation,
    "colour": colour,
    "crack": crack,
    "blob": blob,
    "broken": broken,
}
