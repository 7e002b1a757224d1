"""L1. Synthetic cans: a stand-in for a station that films printed metal cans on a rotating disk.

Normal frames, dents (shape anomaly) and paint (colour anomaly) with exact masks, everything a pure function
of arguments and seed. Frames come from videos; a video has its own camera angle, light and placement, and
training and test videos are different ones. Source of the set-up: Huynh et al., "An Evaluation of
Diffusion-Based Anomaly Detection in Metal Can Products" (2025), sections 3.1 and 4.1; the pictures are ours.
"""

from pathlib import Path

import cv2
import numpy as np

from ddad_jax.data import DataSet, ImageSet
from ddad_jax.data.can_defects import Defect, draw_dent, draw_paint
from ddad_jax.data.can_labels import ART
from ddad_jax.data.can_render import PRODUCTS, check_can, develop, expose, render_frame
from ddad_jax.data.can_scene import Scene
from ddad_jax.errors import InputError

__all__ = ["KINDS", "PRODUCTS", "cans", "render_frame", "station", "visible_defect", "write_folder"]

KINDS: tuple[str, ...] = ("good", "dent", "paint")
FACING = -np.pi / 2
"""Angle round the can that looks at the camera."""
STEP = np.deg2rad(12.0)
"""The disk turns at 2 RPM and one frame a second is kept."""
TRAIN_VIDEOS, TEST_VIDEOS = 10, 6
TRIES = 12
CLEAR = {"dent": (36.0, 36), "paint": (50.0, 18)}
"""A defect is taken when, at 64 px, so many (second) pixels of its mask differ by so much (first, of 255)."""


def station(product: str, rng: np.random.Generator) -> Scene:
    """Camera and light of one video: the station is the same box, but somebody has touched everything."""
    u = rng.uniform
    return Scene(
        elevation=u(0.205, 0.275),
        distance=u(11.0, 12.0),
        aim=(u(-0.06, 0.06), 0.475 * ART[product][0] + u(-0.05, 0.05)),
        roll=u(-0.012, 0.012),
        zoom=u(0.98, 1.02),
        light_azimuth=(u(-1.05, -0.85), u(0.7, 0.9)),
        light_width=(u(0.17, 0.24), u(0.1, 0.16)),
        light_power=(u(0.88, 1.1), u(0.5, 0.7)),
        light_low=u(-1.0, -0.6),
        ceiling=u(0.95, 1.25),
        ambient=u(0.36, 0.44),
        exposure=u(0.94, 1.06),
        balance=(u(0.98, 1.02), 1.0, u(0.97, 1.03)),
        wall_seed=int(rng.integers(1 << 30)),
    )


def visible_defect(kind: str, product: str, scene: Scene, phase: float, rng: np.random.Generator) -> Defect:
    """Draw defects until one is clear to the eye, else the clearest of `TRIES`.

    A white stain on white print or a dent without anything to mirror is no test of a detector. Clarity
    is judged at 64 px without noise whatever the size of the data set, so that the defect of a frame is
    the same at every size.
    """
    sound, best, most = _developed(product, scene, phase), None, -1
    for _ in range(TRIES):
        draw = draw_dent if kind == "dent" else draw_paint
        defect = draw(rng, towards=FACING - phase, height=ART[product][0])
        clear = clear_pixels(kind, product, scene, phase, defect, sound=sound)
        if clear > most:
            best, most = defect, clear
        if clear >= CLEAR[kind][1]:
            break
    assert best is not None  # TRIES > 0
    return best


def clear_pixels(
    kind: str, product: str, scene: Scene, phase: float, defect: Defect, *, sound: np.ndarray | None = None
) -> int:
    """Pixels of the defect that an eye tells from the sound can, at 64 px without noise; `CLEAR` says how many are
    enough.

    Args:
      kind: "dent" or "paint". phase: of the can, radians.
      sound: the same can without the defect, float32 [64, 64, 3] of 0 .. 255; None: rendered here.
    """
    sound = _developed(product, scene, phase) if sound is None else sound
    light, share = expose(product, size=64, phase=phase, scene=scene, defect=defect)
    # Blurred, so that print moved a little by a dent does not count, only patches of another tone.
    change = cv2.GaussianBlur(develop(light, scene, None) - sound, (0, 0), 1.0)
    return int(np.count_nonzero((share > 0.5) & (np.abs(change).max(axis=2) > CLEAR[kind][0])))


def _developed(product: str, scene: Scene, phase: float) -> np.ndarray:
    return develop(expose(product, size=64, phase=phase, scene=scene)[0], scene, None).astype(np.float32)


def _frame(product: str, size: int, seed: int, split: int, kind: str, i: int) -> tuple[np.ndarray, np.ndarray]:
    """Frame i of a split and kind: it belongs to video i % videos, second i // videos."""
    p, k = PRODUCTS.index(product), KINDS.index(kind)
    videos = TEST_VIDEOS if split else TRAIN_VIDEOS
    second, video = divmod(i, videos)

    def rng(*key: int) -> np.random.Generator:
        return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(p, split, *key)))

    # The kinds of the test split share their stations: light alone must not tell them apart.
    scene = station(product, rng(0, video))
    placing = rng(1, k, video)
    start, speed = placing.uniform(0, 2 * np.pi), placing.uniform(0.985, 1.015)
    offset, tilt = placing.uniform(-0.05, 0.05, 2), placing.uniform(-0.018, 0.018, 2)
    shake = rng(2, k, i)
    phase = float(start + second * STEP * speed + shake.uniform(-0.03, 0.03))
    dx, dz, roll = shake.normal(size=3) * (0.008, 0.008, 0.002)
    scene = scene._replace(
        offset=(float(offset[0]), float(offset[1])),
        tilt=(float(tilt[0]), float(tilt[1])),
        aim=(scene.aim[0] + dx, scene.aim[1] + dz),
        roll=scene.roll + roll,
        exposure=scene.exposure * shake.uniform(0.98, 1.02),
    )
    defect = None if kind == "good" else visible_defect(kind, product, scene, phase, rng(3, k, i))
    noise = np.random.SeedSequence(seed, spawn_key=(p, split, 4, k, i))
    return render_frame(product, size=size, phase=phase, scene=scene, defect=defect, noise=noise)


def _image_set(product: str, size: int, seed: int, split: int, counts: dict[str, int]) -> ImageSet:
    kinds = tuple(kind for kind, n in counts.items() for _ in range(n))
    order = [(kind, i) for kind, n in counts.items() for i in range(n)]
    images = np.zeros((len(order), size, size, 3), np.uint8)
    masks = np.zeros((len(order), size, size), bool)
    for at, (kind, i) in enumerate(order):
        images[at], masks[at] = _frame(product, size, seed, split, kind, i)
    folder = "test" if split else "train"
    return ImageSet(
        images=images,
        labels=np.array([kind != "good" for kind in kinds], np.int32),
        masks=masks,
        has_mask=np.ones(len(order), bool),
        defects=kinds,
        names=tuple(f"cans/{product}/{folder}/{kind}/{i:04d}" for kind, i in order),
    )


def cans(
    size: int,
    *,
    product: str = PRODUCTS[0],
    seed: int = 0,
    n_train: int = 300,
    n_test_good: int = 60,
    n_defect: int = 60,
) -> DataSet:
    """A data set of synthetic cans.

    Frame i of each kind depends on `size`, `product`, `seed` and i alone: a smaller count gives the first
    frames of a larger one, and another size the same scenes.

    Args:
      size: side of the square pictures in pixels, at least 32.
      product: one of `PRODUCTS`.
      seed: at least 0.
      n_train: normal frames to learn from, from 10 videos.
      n_test_good, n_defect: unseen normal frames, and frames of each of "dent" and "paint", from 6 other
        videos each.

    Raises:
      InputError: unknown product, size below 32, a negative count or seed.

    Source: counts and speed of the disk as in Huynh et al. (2025), section 4.1.
    """
    check_can(product, size)
    for name, value in (("seed", seed), ("n_train", n_train), ("n_test_good", n_test_good),
                        ("n_defect", n_defect)):  # fmt: skip
        if value < 0:
            raise InputError(f"{name} is {value}: expected 0 or more")
    return DataSet(
        f"cans/{product}",
        _image_set(product, size, seed, 0, {"good": n_train}),
        _image_set(product, size, seed, 1, {"good": n_test_good, "dent": n_defect, "paint": n_defect}),
        recordings=tuple(f"video {i % TRAIN_VIDEOS}" for i in range(n_train)),
    )


def write_folder(dataset: DataSet, root: str | Path) -> Path:
    """Write a data set as PNG files in MVTec AD's layout, to look at or to try the folder reader on.

    `root`/<last part of the data set's name>/train/good/0000.png, test/<kind>/0000.png,
    ground_truth/<kind>/0000_mask.png (255 = defective).

    Returns:
      The category's folder.

    Raises:
      InputError: a file cannot be written there.
    """
    category = Path(root) / dataset.name.split("/")[-1]
    for folder, part in (("train", dataset.train), ("test", dataset.test)):
        for image, mask, kind, name in zip(part.images, part.masks, part.defects, part.names, strict=True):
            stem = name.rsplit("/", 1)[-1]
            _write(category / folder / kind / f"{stem}.png", image[..., ::-1])
            if kind != "good":
                _write(category / "ground_truth" / kind / f"{stem}_mask.png", mask.astype(np.uint8) * 255)
    return category


def _write(path: Path, pixels: np.ndarray) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(cv2.imencode(".png", np.ascontiguousarray(pixels))[1].tobytes())
    except OSError as e:
        raise InputError(f"cannot write {path}: {e.strerror or e}; choose a folder you may write to") from e
