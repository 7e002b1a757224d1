"""Oddities of a data set are said once, with names; what is usual is not."""

import io
import re
import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from ddad_jax.data import ImageSet
from ddad_jax.data.suspicious import _copies, _nearest, suspicious

N, SIDE = 8, 64
Change = Callable[[np.ndarray], np.ndarray]


def parts(n: int = N, *, seed: int = 0, spread: float = 40.0, noise: float = 4.0) -> np.ndarray:
    """Discs on grounds of different grey: uint8 [n, s, s, 3]."""
    rng, (y, x) = np.random.default_rng(seed), np.mgrid[:SIDE, :SIDE]
    made = []
    for _ in range(n):
        cy, cx = SIDE / 2 + rng.uniform(-6, 6, 2) * (spread > 0)
        ground = np.full((SIDE, SIDE, 3), 90.0) + rng.uniform(-spread, spread)
        ground[(y - cy) ** 2 + (x - cx) ** 2 < 400] = (150, 120, 100)
        made.append(np.clip(ground + rng.normal(0, noise, ground.shape), 0, 255))
    return np.array(made).astype(np.uint8)


def image_set(images: np.ndarray, labels: list[int] | None = None, of: str = "test") -> ImageSet:
    n = len(images)
    labels = labels or [0] * n
    names = tuple(f"{of}/{'bent' if bad else 'good'}/{i:03}.png" for i, bad in enumerate(labels))
    return ImageSet(
        images, np.array(labels, np.int32), np.zeros((n, SIDE, SIDE), bool), np.ones(n, bool),
        tuple("bent" if bad else "good" for bad in labels), names,
    )  # fmt: skip


def said(train: np.ndarray, test: np.ndarray, labels: list[int] | None = None) -> list[str]:
    return suspicious(image_set(train, of="train"), image_set(test, labels))


def jpeg(image: np.ndarray) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=85)
    return np.asarray(Image.open(file))


def test_usual_pictures_are_not_spoken_of() -> None:
    assert said(parts(), parts(seed=1)) == []
    assert said(parts(), parts(0)) == []
    assert said(parts(1), parts(2, seed=1)) == []


@pytest.mark.parametrize("noise", [1.0, 4.0])
def test_identical_parts_before_a_fixed_camera_are_no_copies(noise: float) -> None:
    assert said(parts(spread=0, noise=noise), parts(spread=0, seed=1, noise=noise)) == []


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (lambda images: images // 16, "3 of 16 pictures are nearly black.*times 16.*test: test/good/001.png"),
        (lambda images: images // 64, "3 of 16 pictures are nearly black"),
        (lambda images: 255 - images // 16, "3 of 16 pictures are nearly white"),
        (lambda images: 100 + images // 32, "3 of 16 pictures use fewer than 16 of 256 grey levels"),
        (lambda images: images * 0 + 77, "3 of 16 pictures show one value everywhere"),
    ],
)
def test_pictures_without_light_are_counted_and_named(made: Change, says: str) -> None:
    test = parts(seed=1)
    test[1:4] = made(test[1:4])
    found = [sentence for sentence in said(parts(), test) if "pictures are there twice" not in sentence]
    assert len(found) == 1
    assert re.search(says, found[0]), found


def test_a_dead_pixel_is_no_light() -> None:
    test = parts(seed=1) // 16
    test[:, 5, 5] = 255
    assert "8 of 16 pictures are nearly black" in said(parts(), test)[0]


def test_grey_pictures_among_colour_are_named() -> None:
    test = parts(seed=1)
    test[2:4] = test[2:4].mean(-1, keepdims=True).astype(np.uint8)
    (sentence,) = said(parts(), test)
    assert "all training pictures are in colour, but 2 of 8 test pictures are grey (test/good/002.png" in sentence
    mixed = parts()
    mixed[0] = mixed[0].mean(-1, keepdims=True).astype(np.uint8)
    assert said(mixed, test) == []


@pytest.mark.parametrize(
    "copy", [lambda image: image, jpeg, lambda image: np.clip(image.astype(int) + 1, 0, 255).astype(np.uint8)]
)
def test_a_test_picture_that_is_a_training_picture_is_named_with_it(copy: Change) -> None:
    train, test = parts(), parts(seed=1)
    test[5] = copy(train[3])
    (sentence,) = said(train, test)
    assert "1 of 8 test pictures are training pictures, or nearly (test/good/005.png = train/good/003.png)" in sentence


def test_a_picture_twice_in_test_is_named_above_all_where_it_is_good_and_a_defect() -> None:
    test = parts(seed=1)
    test[6] = test[2]
    (sentence,) = said(parts(), test)
    assert "1 of 8 test pictures are there twice" in sentence and "test/good/002.png = test/good/006.png" in sentence
    (sentence,) = said(parts(), test, [0] * 6 + [1] * 2)
    assert "1 of these pairs once as good and once as a defect (test/good/002.png = test/bent/006.png)" in sentence


def test_one_picture_copied_is_no_training_set() -> None:
    found = said(np.repeat(parts(1), N, 0), parts(seed=1))
    assert len(found) == 1 and "all 8 training pictures are the same one" in found[0]


@pytest.mark.parametrize(
    ("learnt", "shown", "says"),
    [
        ((48, 48), (480, 200), "1 of 8 test pictures have proportions.*good/002.png of 480 x 200; training: 48 x 48"),
        ((1024, 1280), (1280, 1024), "1 of 8 test pictures have proportions"),
        ((700, 700), (700, 900), "1 of 8 test pictures have proportions"),
        (
            (1024, 1024),
            (256, 256),
            "1 of 8 test pictures are far larger or smaller.*of 256 x 256; training: 1024 x 1024",
        ),
        ((64, 48), (640, 480), "1 of 8 test pictures are far larger or smaller"),
    ],
)
def test_other_proportions_and_resolutions_are_named(
    learnt: tuple[int, int], shown: tuple[int, int], says: str
) -> None:
    train, test = image_set(parts(), of="train"), image_set(parts(seed=1))
    sizes = tuple(shown if i == 2 else learnt for i in range(N))
    (sentence,) = suspicious(train._replace(sizes=(learnt,) * N), test._replace(sizes=sizes))
    assert re.search(says, sentence), sentence


def test_sizes_within_those_of_training_and_unknown_ones_are_usual() -> None:
    train, test = image_set(parts(), of="train"), image_set(parts(seed=1))
    various = tuple((200 + 20 * i, 300) for i in range(N))
    assert suspicious(train._replace(sizes=various), test._replace(sizes=various[::-1])) == []
    assert suspicious(train._replace(sizes=((500, 700),) * N), test._replace(sizes=((505, 690),) * N)) == []
    assert suspicious(train, test._replace(sizes=((5, 700),) * N)) == []


def test_the_nearest_in_blocks_is_the_nearest_of_all_and_the_first_of_equals(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    rows, columns = (rng.integers(0, 765, (n, 12)).astype(np.float32) for n in (10, 11))
    columns[9] = columns[2] = rows[7]
    rows[8] = rows[1]
    monkeypatch.setattr("ddad_jax.data.suspicious.BLOCK", 4)
    for others, to in ((False, columns), (True, rows)):
        every = np.sqrt(((rows[:, None] - to[None]) ** 2).mean(-1, dtype=np.float64)) / 3
        if others:
            np.fill_diagonal(every, np.inf)
        index, distance = _nearest(rows, to, others=others)
        np.testing.assert_array_equal(index, every.argmin(1))
        np.testing.assert_allclose(distance, every.min(1), rtol=1e-12)
    assert np.isinf(_nearest(rows[:1], rows[:1], others=True)[1])


def test_memory_grows_with_the_pictures_and_not_with_their_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    rng, n = np.random.default_rng(0), 3000
    pictures = image_set(rng.integers(0, 256, (n, 1, 1, 3), np.uint8))
    monkeypatch.setattr("ddad_jax.data.suspicious._thumbnails", lambda images: rng.uniform(0, 765, (n, 16)))
    tracemalloc.start()
    try:
        _copies(pictures, pictures)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * n * n / 2
