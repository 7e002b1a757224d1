"""L1. The printed sleeves of the synthetic cans, the lid and the wall: textures drawn once and cached.

Texture convention: column u in [0, 1) is the angle round the can divided by 2 pi, row v in [0, 1] runs from
the upper to the lower end of the print. Colours are linear light, so that shading can multiply them.
"""

import functools
from collections.abc import Callable

import cv2
import numpy as np

WIDTH = 1440
"""Texels round the can at full resolution: 229 per can radius, more than a 512 px frame resolves."""

Colour = tuple[int, int, int]
WHITE: Colour = (244, 242, 232)
INK: Colour = (24, 22, 26)


class Sleeve:
    """An sRGB canvas and its bare-metal map; drawing wraps round the seam of the can."""

    def __init__(self, height: int, base: Colour):
        self.rgb = np.empty((height, WIDTH, 3), np.uint8)
        self.rgb[:] = base
        self.metal = np.zeros((height, WIDTH), np.uint8)
        v, u = np.mgrid[0:height, 0:WIDTH]
        self.u, self.v = u / WIDTH, (v + 0.5) / height

    def at(self, u: float, v: float, dx: float = 0.0) -> tuple[int, int]:
        """The texel of (u, v), moved by whole turns so that a shape over the seam can be drawn twice."""
        return round((u + dx) * WIDTH), round(v * self.rgb.shape[0])

    def where(self, region: np.ndarray, colour: Colour, metal: int = 0) -> None:
        self.rgb[region] = colour
        self.metal[region] = metal

    def blend(self, alpha: np.ndarray, colour: Colour) -> None:
        """Mix a colour in; alpha in [0, 1] broadcasts over the canvas."""
        mixed = self.rgb + np.clip(alpha, 0, 1)[..., None] * (np.array(colour) - self.rgb.astype(np.float32))
        self.rgb = np.round(mixed).astype(np.uint8)

    def ellipse(self, u: float, v: float, axes: tuple[float, float], colour: Colour, angle: float = 0.0) -> None:
        """A filled ellipse with half axes in fractions of the sleeve's height."""
        size = (round(axes[0] * self.rgb.shape[0]), round(axes[1] * self.rgb.shape[0]))
        for turn in (-1, 0, 1):
            centre = self.at(u, v, turn)
            cv2.ellipse(self.rgb, centre, size, angle, 0, 360, colour, -1, cv2.LINE_AA)
            cv2.ellipse(self.metal, centre, size, angle, 0, 360, 0, -1)

    def line(self, p: tuple[float, float], q: tuple[float, float], colour: Colour, width: float) -> None:
        thick = max(1, round(width * self.rgb.shape[0]))
        for turn in (-1, 0, 1):
            cv2.line(self.rgb, self.at(*p, turn), self.at(*q, turn), colour, thick, cv2.LINE_AA)

    def box(self, u: float, v: float, half: tuple[float, float], colour: Colour) -> None:
        """A filled rectangle; half sizes as fractions of the circumference and of the height."""
        for turn in (-1, 0, 1):
            p, q = self.at(u - half[0], v - half[1], turn), self.at(u + half[0], v + half[1], turn)
            cv2.rectangle(self.rgb, p, q, colour, -1)
            cv2.rectangle(self.metal, p, q, 0, -1)

    def text(
        self, words: str, u: float, v: float, width: float, colour: Colour, edge: Colour | None = None,
        stretch: float = 1.0, slant: float = 0.0, bold: int = 12,
    ) -> None:  # fmt: skip
        """Letters centred at (u, v), `width` of the circumference wide, with an outline in `edge`."""
        font = cv2.FONT_HERSHEY_DUPLEX
        (w, h), _ = cv2.getTextSize(words, font, 3.0, bold)
        pad = 30
        stroke = np.zeros((h + 2 * pad, w + 2 * pad), np.uint8)
        cv2.putText(stroke, words, (pad, h + pad), font, 3.0, 255, bold, cv2.LINE_AA)
        halo = cv2.dilate(stroke, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (19, 19)))
        scale = width * WIDTH / w
        for mask, ink in ((halo, edge), (stroke, colour)):
            if ink is None:
                continue
            high, wide = mask.shape
            to = np.array([[scale, -slant * scale, 0.0], [0.0, scale * stretch, 0.0]])
            x, y = self.at(u, v)
            to[:, 2] = np.array([x, y]) - to[:, :2] @ np.array([wide / 2, high / 2])
            # Three turns of canvas keep letters whole across the seam.
            to[0, 2] += WIDTH
            wide_mask = cv2.warpAffine(mask, to, (3 * WIDTH, self.rgb.shape[0]), flags=cv2.INTER_AREA)
            alpha = wide_mask.reshape(self.rgb.shape[0], 3, WIDTH).max(axis=1) / 255.0
            self.blend(alpha, ink)
            self.metal[alpha > 0.5] = 0

    def small_print(self, u: float, v: float, colour: Colour, paper: Colour) -> None:
        """A panel with a bar code above lines of text too small to read: fixed bars, not random ones."""
        self.box(u, v, (0.062, 0.2), paper)
        bars = (0.004, 0.002, 0.006, 0.003, 0.002, 0.005, 0.003, 0.004, 0.002, 0.006, 0.003, 0.002, 0.004)
        x = u - 0.05
        for i, bar in enumerate(bars * 2):
            if x + bar > u + 0.05:
                break
            if i % 2 == 0:
                self.box(x + bar / 2, v - 0.1, (bar / 2, 0.08), INK)
            x += bar
        for i, length in enumerate((1.0, 0.8, 0.95, 0.6, 0.9, 0.7)):
            y = v + 0.02 + 0.028 * i
            self.line((u - 0.05, y), (u - 0.05 + 0.1 * length, y), colour, 0.009)


def _citrus(s: Sleeve) -> None:
    s.blend(1.2 * (s.v - 0.25), (8, 92, 52))
    wave = 0.66 + 0.075 * np.sin(4 * np.pi * s.u + 0.6)
    s.where(np.abs(s.v - wave) < 0.085, WHITE)
    s.where(np.abs(s.v - wave) < 0.068, (250, 214, 30))
    s.where(s.v > wave + 0.15, (10, 70, 130))
    rng = np.random.default_rng(11)
    for u, v, r in rng.uniform((0, 0.08, 0.006), (1, 0.58, 0.018), (70, 3)):
        s.ellipse(u, v, (r, r), (104, 206, 96))
    for u, v, r in ((0.205, 0.32, 0.13), (0.75, 0.3, 0.16), (0.86, 0.5, 0.08)):
        s.ellipse(u, v, (r, r), (228, 178, 14))
        s.ellipse(u, v, (0.9 * r, 0.9 * r), WHITE)
        s.ellipse(u, v, (0.8 * r, 0.8 * r), (252, 226, 70))
        for a in np.arange(8) * np.pi / 8:
            du, dv = 0.8 * r * s.rgb.shape[0] / WIDTH * np.cos(a), 0.8 * r * np.sin(a)
            s.line((u - du, v - dv), (u + du, v + dv), WHITE, 0.012)
    for u in (0.02, 0.52):
        s.text("LEMON", u, 0.3, 0.22, WHITE, (6, 62, 40), stretch=1.5, slant=0.15, bold=16)
        s.text("SODA", u + 0.03, 0.47, 0.13, (252, 226, 70), (6, 62, 40), slant=0.15)
        s.text("330 ml", u, 0.91, 0.08, WHITE)
    s.small_print(0.335, 0.3, INK, WHITE)


def _coffee(s: Sleeve) -> None:
    s.blend(0.9 * np.abs(s.v - 0.5), (30, 14, 8))
    s.where(np.abs(s.v - 0.4) < 0.225, (206, 160, 78), metal=150)
    s.where(np.abs(s.v - 0.4) < 0.2, (236, 218, 184))
    rng = np.random.default_rng(12)
    for i, (du, dv, angle) in enumerate(rng.uniform((-0.012, -0.02, 0), (0.012, 0.02, 180), (34, 3))):
        u, v = (i % 17) / 17 + du, 0.74 + 0.13 * (i // 17) + dv
        s.ellipse(u, v, (0.05, 0.032), (150, 84, 38), angle)
        s.ellipse(u, v, (0.043, 0.025), (104, 54, 24), angle)
        a = np.deg2rad(angle)
        step = np.array([np.cos(a) * s.rgb.shape[0] / WIDTH, np.sin(a)]) * 0.04
        s.line((u - step[0], v - step[1]), (u + step[0], v + step[1]), (40, 18, 8), 0.01)
    for u in (0.0, 0.5):
        s.text("COFFEE", u, 0.34, 0.225, (94, 26, 18), stretch=1.7, bold=16)
        s.text("DARK ROAST", u, 0.5, 0.2, (60, 36, 22))
        s.text("240 ml", u, 0.08, 0.08, (226, 190, 120))
    for u in (0.25, 0.685):
        s.ellipse(u, 0.4, (0.17, 0.17), (176, 36, 26))
        s.box(u, 0.42, (0.028, 0.055), WHITE)
        s.ellipse(u, 0.475, (0.062, 0.03), WHITE)
        for dx in (-0.014, 0.0, 0.014):
            s.line((u + dx, 0.3), (u + dx + 0.006, 0.345), WHITE, 0.016)
    s.small_print(0.82, 0.4, INK, WHITE)


def _melon(s: Sleeve) -> None:
    s.blend(0.55 - s.v, (252, 226, 140))
    rind = 0.76 + 0.03 * np.sin(6 * np.pi * s.u) + 0.015 * np.sin(22 * np.pi * s.u + 1)
    s.where(s.v > rind - 0.02, WHITE)
    s.where(s.v > rind, (28, 104, 54))
    stripes = np.sin(2 * np.pi * 12 * s.u + 1.6 * np.sin(9 * s.v)) > 0.35
    s.where((s.v > rind) & stripes, (14, 66, 36))
    for u in (0.0, 0.5):
        s.ellipse(u, 0.36, (0.29, 0.27), (186, 30, 34))
        s.ellipse(u, 0.36, (0.265, 0.245), WHITE)
        s.text("WINTER", u, 0.28, 0.165, (30, 96, 50), stretch=1.4, bold=15)
        s.text("MELON", u, 0.44, 0.165, (186, 30, 34), stretch=1.6, bold=16)
        s.text("TEA 310 ml", u, 0.9, 0.12, WHITE)
    for u, v, flip in ((0.2, 0.3, 1), (0.29, 0.5, -1), (0.7, 0.34, 1)):
        s.ellipse(u, v, (0.105, 0.155), (46, 128, 62), 24 * flip)
        s.ellipse(u, v, (0.085, 0.13), (222, 240, 190), 24 * flip)
        s.ellipse(u, v, (0.04, 0.075), (250, 252, 226), 24 * flip)
        for k in range(5):
            s.ellipse(u + 0.004 * (k % 2), v + 0.022 * (k - 2), (0.008, 0.011), (150, 110, 40), 24 * flip)
    for u, v, angle in ((0.24, 0.13, 30), (0.66, 0.6, -35), (0.68, 0.1, 150), (0.17, 0.62, 15)):
        s.ellipse(u, v, (0.075, 0.032), (60, 146, 60), angle)
    s.small_print(0.81, 0.42, INK, WHITE)


ART: dict[str, tuple[float, Colour, Callable[[Sleeve], None]]] = {
    "winter_melon": (3.15, (238, 188, 62), _melon),
    "lemon_soda": (3.30, (40, 160, 70), _citrus),
    "coffee": (3.05, (86, 46, 26), _coffee),
}
"""Per product: height of the can in radii, ground colour of the print, what is drawn on it."""

PRINT_LOW, PRINT_HIGH = 0.14, 0.34
"""The print starts this far above the bottom and ends this far below the top, in radii."""


def linear(srgb: np.ndarray) -> np.ndarray:
    """sRGB bytes -> linear light in [0, 1], float32: the inverse of the camera's gamma of 2.2."""
    return ((srgb.astype(np.float32) / 255.0) ** 2.2).astype(np.float32)


def sample(texture: np.ndarray, column: np.ndarray, row: np.ndarray, *, wrap: bool = False) -> np.ndarray:
    """Bilinear look-up at fractional texels; texel centres lie at whole numbers.

    Args:
      texture: [h, w] or [h, w, c]; column, row: [m], any range; rows are clamped to the texture.
      wrap: columns go round (a sleeve); otherwise they are clamped too.

    Returns:
      [m] or [m, c].
    """
    h, w = texture.shape[:2]
    y = np.clip(row, 0, h - 1)
    x = column if wrap else np.clip(column, 0, w - 1)
    x0, y0 = np.floor(x).astype(np.intp), np.floor(y).astype(np.intp)
    fx, fy = (x - x0).astype(np.float32), (y - y0).astype(np.float32)
    x1, y1 = x0 + 1, np.minimum(y0 + 1, h - 1)
    x0, x1 = (x0 % w, x1 % w) if wrap else (x0, np.minimum(x1, w - 1))
    if texture.ndim == 3:
        fx, fy = fx[:, None], fy[:, None]
    flat = texture.reshape(h * w, *texture.shape[2:])
    upper = flat[y0 * w + x0] * (1 - fx) + flat[y0 * w + x1] * fx
    lower = flat[y1 * w + x0] * (1 - fx) + flat[y1 * w + x1] * fx
    return upper * (1 - fy) + lower * fy


@functools.cache
def sleeve(product: str, width: int = WIDTH) -> np.ndarray:
    """The print of a product, area-averaged to `width` texels round: float32 [h, width, 4] = RGB, bare metal.

    Area averaging in linear light stands in for the lens: a coarser frame reads a coarser texture, so
    that letters fade instead of flickering. The result is shared, hence read only.
    """
    if width < WIDTH:
        full = sleeve(product)
        size = (width, max(8, round(len(full) * width / WIDTH)))
        out = cv2.resize(full, size, interpolation=cv2.INTER_AREA)
    else:
        can_height, base, draw = ART[product]
        s = Sleeve(round(WIDTH / (2 * np.pi) * (can_height - PRINT_LOW - PRINT_HIGH)), base)
        draw(s)
        for end in (s.v < 0.035, s.v > 0.965):
            s.where(end, (206, 206, 210), metal=230)
        out = np.dstack([linear(s.rgb), s.metal.astype(np.float32) / 255.0])
    out.setflags(write=False)
    return out


@functools.cache
def lid() -> np.ndarray:
    """How bright the metal of the lid is seen from above: float32 [128, 128], grooves, mouth and pull tab."""
    art = np.full((128, 128), 200, np.uint8)
    for radius, tone in ((62, 120), (58, 220), (50, 150), (47, 205)):
        cv2.circle(art, (64, 64), radius, tone, 2, cv2.LINE_AA)
    cv2.ellipse(art, (64, 34), (20, 14), 0, 0, 360, 140, 2, cv2.LINE_AA)
    cv2.ellipse(art, (64, 72), (11, 22), 0, 0, 360, 250, -1, cv2.LINE_AA)
    cv2.ellipse(art, (64, 82), (6, 8), 0, 0, 360, 90, -1, cv2.LINE_AA)
    cv2.circle(art, (64, 58), 4, 130, -1, cv2.LINE_AA)
    out = art.astype(np.float32) / 200.0
    out.setflags(write=False)
    return out


@functools.lru_cache(maxsize=64)
def wall(seed: int) -> np.ndarray:
    """A blotchy, grainy board: float32 [128, 128] round 1, several octaves of noise, a seam and a cable.

    The board belongs to the station, so blotches come from one fixed stream; `seed` adds what changes
    from one video to the next (dust, a moved cable).
    """
    fixed, moving = np.random.default_rng(5), np.random.default_rng((5, seed))
    out = np.ones((128, 128), np.float32)
    for cells, amount, rng in ((5, 0.10, fixed), (14, 0.06, fixed), (40, 0.05, fixed), (128, 0.04, fixed),
                               (7, 0.03, moving)):  # fmt: skip
        noise = rng.normal(size=(cells, cells)).astype(np.float32)
        out += amount * cv2.resize(noise, (128, 128), interpolation=cv2.INTER_CUBIC)
    out[:, 93:95] *= 0.72
    x = 22 + moving.uniform(-2, 2)
    cable = x + 5 * np.sin(np.arange(128) / 21 + moving.uniform(0, 0.6))
    out *= 1 - 0.45 * np.exp(-(((np.arange(128) - cable[:, None]) / 1.3) ** 2)).astype(np.float32)
    out.setflags(write=False)
    return out
