"""Every kind of data set is brought onto its reference alike, whether its pictures are files, records or rendered."""

from pathlib import Path
from typing import Any

import cv2
import kinds
import numpy as np
import pytest
import tiny_runs
import trees
from kinds import TREES, written

from ddad_jax.data.read import Encoded, read_full, read_image
from ddad_jax.engine.data.data_sets import KINDS
from ddad_jax.engine.data.splits import load_data
from ddad_jax.engine.data.view import made_of
from ddad_jax.engine.detector.frames import detector_of
from ddad_jax.engine.pipeline import run_all
from ddad_jax.engine.settings.section import changed
from ddad_jax.vision import registration

SIDES = (144, 192)
SHIFT = (9.0, -6.0)
TAKEN = [name for name in TREES if name != "cans"]
"""Kinds of pictures that a camera took; the rendered ones have a scene of their own."""


@pytest.fixture(autouse=True)
def few_cans(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds.few_cans(monkeypatch)
    # How exact it is is tested elsewhere; at half the size a picture takes a third of the time.
    monkeypatch.setattr(registration, "LONGER_SIDE", 256)


def scene() -> np.ndarray:
    """A machine without a product: many corners, none like another."""
    random = np.random.default_rng(1)
    picture = np.full((*SIDES, 3), 90, np.uint8)
    for _ in range(120):
        x, y = int(random.integers(0, SIDES[1])), int(random.integers(0, SIDES[0]))
        w, h = (int(side) for side in random.integers(6, 40, 2))
        cv2.rectangle(picture, (x, y), (x + w, y + h), tuple(int(v) for v in random.integers(0, 256, 3)), -1)
    return picture


def nudged(picture: np.ndarray, how: int) -> np.ndarray:
    move = np.array([[1, 0, SHIFT[0]], [0, 1, SHIFT[1]]], np.float32)
    return cv2.warpAffine(picture, move, SIDES[::-1], flags=how, borderMode=cv2.BORDER_REFLECT)


@pytest.fixture
def camera(monkeypatch: pytest.MonkeyPatch) -> None:
    """The small data sets of ``trees`` show a machine: as it should be in pictures to learn from, whose numbers are
    small, nudged in the others."""
    of = scene()

    def pixels(number: int, *_: int) -> np.ndarray:
        grain = np.random.default_rng(number).normal(scale=2.0, size=of.shape)
        shown = of if number < 20 else nudged(of, cv2.INTER_LINEAR)
        return np.clip(shown + grain, 0, 255).astype(np.uint8)

    def mask(*_: int, value: int = 255) -> np.ndarray:
        marked = np.zeros(SIDES, np.uint8)
        marked[50:90, 70:120] = value
        return nudged(marked, cv2.INTER_NEAREST)

    monkeypatch.setattr(trees, "pixels", pixels)
    monkeypatch.setattr(trees, "square_mask", mask)


@pytest.mark.usefixtures("camera")
@pytest.mark.parametrize("name", TAKEN)
def test_scored_pictures_are_brought_onto_the_reference_with_their_masks(name: str, tmp_path: Path) -> None:
    c = written(tmp_path, name)
    plain = load_data(c)
    moved = load_data(changed(c, {"view.register": "scored"}))
    np.testing.assert_array_equal(moved.fit.images, plain.fit.images)
    assert {*moved.view.registered} == {*plain.calibration.names, *plain.test.names}
    assert all(found.accepted for found in moved.view.registered.values())
    bad = int(np.flatnonzero(plain.test.labels)[0])
    inside, seen = (slice(4, 28), slice(4, 28)), plain.fit.images[0].astype(float)
    away = [np.abs(data.test.images[bad].astype(float) - seen)[inside].mean() for data in (plain, moved)]
    assert away[1] < 0.5 * away[0]
    # At 32 px a nudge of (9, -6) of 192 x 144 px is 1.5 pixels to the right and 1.3 up.
    centres = [np.argwhere(data.test.masks[bad]).mean(0) for data in (plain, moved)]
    np.testing.assert_allclose(centres[1] - centres[0], [6 / 4.5, -9 / 6], atol=0.5)


@pytest.mark.usefixtures("camera")
@pytest.mark.parametrize("name", TAKEN)
def test_all_pictures_are_brought_onto_the_first(name: str, tmp_path: Path) -> None:
    c = written(tmp_path, name, view__register="all")
    first = KINDS[name].pictures(c.data, c.seed).train[0]
    data = load_data(c)
    assert len(data.view.registered) == data.n_fit + data.n_held_out + len(data.test.names)
    assert made_of(data.view)["reference"] == Path(first.name).name
    as_judged = read_full(data.view.reference)  # as whoever keeps it reads it: upright
    np.testing.assert_array_equal(as_judged, read_full(first.path, orient=KINDS[name].upright))


@pytest.mark.usefixtures("camera")
def test_pictures_in_another_place_are_brought_onto_a_named_one(tmp_path: Path) -> None:
    named = trees.save(nudged(scene(), cv2.INTER_LINEAR), tmp_path / "as it should be.png")
    c = written(tmp_path, "visa", view__register="all", view__reference=str(named))
    data, shown = load_data(c), read_image(named, 32).astype(float)
    assert made_of(data.view)["reference"] == "as it should be.png"
    assert np.abs(data.fit.images[0].astype(float) - shown)[4:28, 4:28].mean() < 6


def test_rendered_pictures_are_registered_too_and_those_refused_stay(tmp_path: Path) -> None:
    size: dict[str, Any] = {"data__size": 128, "sample__batch_size": 2}
    plain, moved = (load_data(written(tmp_path, "cans", view__register=how, **size)) for how in ("", "all"))
    found = moved.view.registered
    assert {*found} == {*plain.fit.names, *plain.held_out.names, *plain.test.names}
    for part, other in ((plain.fit, moved.fit), (plain.held_out, moved.held_out), (plain.test, moved.test)):
        for name, image, again in zip(part.names, part.images, other.images, strict=True):
            same = bool((image == again).all())
            assert same == (not found[name].accepted or name == "cans/coffee/train/good/0000")
    assert isinstance(moved.view.reference, Encoded) and read_full(moved.view.reference).shape == (128, 128, 3)


@pytest.mark.usefixtures("camera")
def test_a_run_keeps_the_reference_of_pictures_that_are_no_upright_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_runs.small_predictor(monkeypatch.setattr)
    tiny_runs.small_backbone(monkeypatch.setattr)
    c = written(tmp_path / "data", "mtd", view__register="all")
    run_all(c, tmp_path / "w", sweep=False)
    frame = np.repeat(nudged(scene(), cv2.INTER_LINEAR)[..., :1], 3, -1)  # as this kind's grey pictures show it
    (judged,) = detector_of(tmp_path / "w", batch=1)([frame])
    assert judged.registered and judged.size == SIDES
