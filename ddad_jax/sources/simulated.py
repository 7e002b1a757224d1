"""L1. The synthetic cans as a station: one can on a disk that turns before a camera, filmed as a video.

Unlike the frames of ``ddad_jax.data.cans``, which show another defect each, a video here is of one can: its defect
turns with it and is in view for a part of the time only. Source of the set-up: Huynh et al. (2025), sections 3.1 and
4.1: 2 RPM, one frame a second, five videos a state, each with its own camera angle and light; the pictures are ours.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from ddad_jax.data.can_defects import Defect
from ddad_jax.data.can_render import PRODUCTS, check_can, render_frame
from ddad_jax.data.can_scene import Scene
from ddad_jax.data.cans import CLEAR, clear_pixels, station, visible_defect
from ddad_jax.errors import InputError
from ddad_jax.sources import Bad, Frame, SourceLost

STATES: tuple[str, ...] = ("normal", "dent", "paint", "hard")
MOST: Mapping[str, float] = {
    "size": 4096, "fps": 1000.0, "seconds": 30 * 86400.0, "rpm": 1000.0, "light": 100.0, "noise": 100.0, "tilt": 20.0,
    "blur": 100.0,
}  # fmt: skip
"""Upper bounds of settings: what is beyond shows no can any more, does not fit into memory or never ends."""


class StationSettings(NamedTuple):
    """What is filmed; the options of a ``station:`` source."""

    product: str
    """One of ``ddad_jax.data.can_render.PRODUCTS``."""
    state: str = "normal"
    """normal, dent, paint, or hard: a sound can in bad light, far off the axis, with more noise."""
    video: int = 0
    """Which recording of its state: where the can stands and how somebody touched camera and light before it; at
    least 0."""
    setup: int = -1
    """Camera angle and light, which all states share, at least 0. -1: the video's number, each has its own."""
    can: int = -1
    """Which can of its state, at least 0: the same can has the same defect in every video. -1: the video's number."""
    seed: int = 0
    """Of everything random, at least 0."""
    size: int = 256
    """Side of the square picture, pixels, at least 32."""
    fps: float = 1.0
    """Frames a second, above 0."""
    seconds: float = 30.0
    """Length of the video, above 0; 30 are one turn at 2 RPM."""
    rpm: float = 2.0
    """Turns of the disk a minute."""
    light: float = 1.0
    """Times the video's exposure, above 0: 0.4 is dim, 2.5 over-exposed."""
    noise: float = 1.0
    """Times the camera's noise, at least 0."""
    tilt: float = 1.0
    """Times the tilt of the can's axis (up to 1 degree in x and y), at least 0."""
    blur: float = 1.0
    """Times the lens' blur, above 0: 4 is out of focus."""
    live: int = 0
    """1: frames come at their time, as from a camera; who is late misses them."""
    unplug: int = 0
    """Above 0: the camera is lost after every so many frames, and can be opened again."""


class Station:
    """One video of one can.

    Args:
      settings: what is filmed.
      start: the disk and the clock go on from this frame, for who opens a lost camera again; indices are from 0.
      clock, sleep: seconds, for ``live``.

    Raises:
      InputError: unknown product or state, or a number out of its range.
    """

    def __init__(
        self,
        settings: StationSettings,
        *,
        start: int = 0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ):
        _require(settings)
        self._s, self._start, self._clock, self._sleep = settings, start, clock, sleep
        self._closed = False
        self.name, self.live = f"station:{settings.product}", bool(settings.live)
        self._video = _video(settings)
        self._masks: tuple[int, np.ndarray] = (-1, np.zeros((0, 0), bool))
        size = [settings.size, settings.size]
        self.settings: Mapping[str, Any] = {
            "kind": "station",
            **settings._asdict(),
            "size": size,
            "can": self._video.can,
        }

    @property
    def length(self) -> int:
        """Frames of the whole video."""
        return max(1, round(self._s.seconds * self._s.fps))

    def frames(self) -> Iterator[Frame | Bad]:
        begin, index = self._clock(), 0
        while not self._closed and self._start + index < self.length:
            if index and self._s.unplug and (self._start + index) % self._s.unplug == 0:
                raise SourceLost(f"{self.name}: unplugged after frame {self._start + index} (unplug={self._s.unplug})")
            if self._s.live:
                ahead = index / self._s.fps - (self._clock() - begin)
                if ahead > 0:
                    self._sleep(ahead)
                elif ahead < -1 / self._s.fps:
                    index += math.floor(-ahead * self._s.fps)  # the disk turned on while nobody looked
                    continue
            picture, mask = self._render(self._start + index)
            self._masks = index, mask
            yield Frame(index, index / self._s.fps, picture)
            index += 1

    def truth(self, index: int) -> np.ndarray:
        """What is defective in frame ``index``: bool [h, w], all False where no eye would find it: out of view, or too
        far to the side to differ from a sound can (``ddad_jax.data.cans.clear_pixels``)."""
        at, mask = self._masks
        return mask if at == index else self._render(self._start + index)[1]

    def close(self) -> None:
        self._closed = True

    def _render(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        s, video = self._s, self._video
        shake = _rng(s, 2, STATES.index(s.state), s.video, number)
        phase = video.start + video.speed * 2 * np.pi * (s.rpm / 60) * (number / s.fps) + shake.uniform(-0.01, 0.01)
        dx, dz, roll = shake.normal(size=3) * (0.004, 0.004, 0.001)
        scene = video.scene._replace(
            aim=(video.scene.aim[0] + dx, video.scene.aim[1] + dz),
            roll=video.scene.roll + roll,
            exposure=video.scene.exposure * shake.uniform(0.99, 1.01),
        )
        noise = _seeds(s, 4, STATES.index(s.state), s.video, number)
        picture, mask = render_frame(s.product, size=s.size, phase=phase, scene=scene, defect=video.defect, noise=noise)
        if video.defect is not None and mask.any():
            seen = clear_pixels(s.state, s.product, scene, phase, video.defect)
            mask &= seen >= CLEAR[s.state][1]
        return picture, mask


class _Video(NamedTuple):
    can: int
    scene: Scene
    start: float  # angle of the disk at frame 0
    speed: float  # of its nominal speed
    defect: Defect | None


def _seeds(s: StationSettings, *key: int) -> np.random.SeedSequence:
    # The first number keeps these videos apart from the data sets of ``cans``, which begin with 0 or 1 there.
    return np.random.SeedSequence(s.seed, spawn_key=(PRODUCTS.index(s.product), 2, *key))


def _rng(s: StationSettings, *key: int) -> np.random.Generator:
    return np.random.default_rng(_seeds(s, *key))


def _video(s: StationSettings) -> _Video:
    state, can = STATES.index(s.state), s.video if s.can < 0 else s.can
    # All states of a set-up stand before the same camera: light alone must not tell them apart.
    scene = station(s.product, _rng(s, 0, s.video if s.setup < 0 else s.setup))
    if s.setup >= 0:
        scene = _touched(scene, _rng(s, 5, state, s.video))
    placing = _rng(s, 1, state, s.video)
    start, speed = placing.uniform(0, 2 * np.pi), placing.uniform(0.985, 1.015)
    offset, tilt = placing.uniform(-0.05, 0.05, 2), placing.uniform(-0.018, 0.018, 2)
    light, noise, lean = s.light, s.noise, s.tilt
    if s.state == "hard":
        light *= float(placing.choice([placing.uniform(0.68, 0.8), placing.uniform(1.25, 1.45)]))
        noise, lean, offset = noise * 2.0, lean * 2.0, offset * 2.0
    scene = scene._replace(
        offset=(float(offset[0]), float(offset[1])),
        tilt=(float(tilt[0] * lean), float(tilt[1] * lean)),
        exposure=scene.exposure * light,
        read_noise=scene.read_noise * noise,
        shot_noise=scene.shot_noise * noise,
        blur=scene.blur * s.blur,
    )
    defect = None
    if s.state in ("dent", "paint"):
        # Drawn on the can before a plain station, at an angle of its own: no video's light decides what is on a can.
        rng = _rng(s, 3, state, can)
        defect = visible_defect(s.state, s.product, Scene(), float(rng.uniform(0, 2 * np.pi)), rng)
    return _Video(can, scene, float(start), float(speed), defect)


def _touched(scene: Scene, rng: np.random.Generator) -> Scene:
    """The set-up as it is found again: nothing stays quite where it was from one recording to the next."""
    u = rng.uniform
    return scene._replace(
        aim=(scene.aim[0] + u(-0.02, 0.02), scene.aim[1] + u(-0.02, 0.02)),
        roll=scene.roll + u(-0.004, 0.004),
        exposure=scene.exposure * u(0.97, 1.03),
        light_azimuth=(scene.light_azimuth[0] + u(-0.02, 0.02), scene.light_azimuth[1] + u(-0.02, 0.02)),
    )


def _require(s: StationSettings) -> None:
    for name, most in MOST.items():
        if abs(getattr(s, name)) > most:
            raise InputError(f"{name}={getattr(s, name)}: expected at most {most:g}")
    check_can(s.product, s.size)
    if s.state not in STATES:
        raise InputError(f"state={s.state}: the station films {', '.join(STATES)}")
    for name in ("video", "seed", "unplug", "noise", "tilt"):
        if not 0 <= getattr(s, name) < math.inf:
            raise InputError(f"{name}={getattr(s, name)}: expected 0 or more")
    for name in ("fps", "seconds", "light", "blur"):
        if not 0 < getattr(s, name) < math.inf:
            raise InputError(f"{name}={getattr(s, name)}: expected a number above 0")
    if min(s.can, s.setup) < -1 or s.live not in (0, 1) or not math.isfinite(s.rpm):
        told = f"can={s.can}, setup={s.setup}, live={s.live}, rpm={s.rpm}"
        raise InputError(f"{told}: expected can and setup of at least -1, live 0 or 1, a finite rpm")
