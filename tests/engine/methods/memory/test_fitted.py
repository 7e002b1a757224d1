"""A memory is made once, kept with what made it, and used only for what it was made of."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
import tiny_runs

from ddad_jax.data.split import subset
from ddad_jax.engine.data.splits import Data
from ddad_jax.engine.methods.measured import MeasuredPictures
from ddad_jax.engine.methods.memory import method as memory_method
from ddad_jax.engine.methods.memory.fitted import FittedMemory
from ddad_jax.engine.methods.table import METHODS
from ddad_jax.engine.sweep.rows import measured_pictures
from ddad_jax.errors import InputError
from ddad_jax.vision.tiles import stitch, tiling

NAMES = ("patchcore", "padim", "feature_ddad")


@pytest.fixture(scope="module", autouse=True)
def small() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        tiny_runs.small_backbone(patch.setattr)
        yield


@pytest.fixture(params=NAMES)
def fitted(request: pytest.FixtureRequest, root: Path, tmp_path: Path) -> FittedMemory:
    c = tiny_runs.config(root, request.param)
    return METHODS[request.param].restored(c, tmp_path)  # type: ignore[return-value]


def made(fitted: FittedMemory, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The points whose memory was made from here on."""
    points: list[Any] = []
    remember = type(fitted.method).remember
    monkeypatch.setattr(
        type(fitted.method), "remember", lambda self, point, *of: points.append(point) or remember(self, point, *of)
    )
    return points


def test_it_is_made_once_and_found_again(fitted: FittedMemory, data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    points, point = made(fitted, monkeypatch), fitted.method.point(fitted.c).costly
    other = point._replace(share=0.5)
    first = fitted.ready([point, other, point], data)
    assert points == [point, other] and first.asks(point) != first.asks(other)
    again = fitted.ready([point, other], data, make=False)
    assert points == [point, other] and again.asks(point) == first.asks(point) == fitted.with_kept(point).asks(point)
    assert len(list((fitted.workdir / fitted.method.name).iterdir())) == 2


def test_a_kill_loses_one_memory_at_most(fitted: FittedMemory, data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    point = fitted.method.point(fitted.c).costly
    others = [point, point._replace(share=0.5)]
    points = made(fitted, monkeypatch)
    remember = type(fitted.method).remember

    def killed(self: Any, asked: Any, *of: Any) -> Any:
        if asked == others[1]:
            raise KeyboardInterrupt
        return remember(self, asked, *of)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(type(fitted.method), "remember", killed)
        fitted.ready(others, data)
    fitted.ready(others, data)
    assert points == others


def test_what_is_of_other_pictures_or_weights_or_damaged_is_made_anew(
    fitted: FittedMemory, data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    point = fitted.method.point(fitted.c).costly
    first = fitted.ready([point], data).asks(point)
    fewer = data._replace(fit=subset(data.fit, [0, 1, 2]))
    points = made(fitted, monkeypatch)
    with pytest.raises(InputError, match=r"was made of something else \(pictures: there"):
        fitted.ready([point], fewer, make=False)
    assert fitted.ready([point], fewer).asks(point) != first and len(points) == 1
    assert fitted.ready([point], data).asks(point) == first and len(points) == 2
    path = fitted.ready([point], data).memories[fitted.method.memory_point(point)].path
    path.write_bytes(path.read_bytes()[:-20])
    assert fitted.ready([point], data).asks(point) == first and len(points) == 3
    monkeypatch.setattr(memory_method, "load_backbone", lambda *_: jax.tree.map(lambda a: 2 * a, tiny_runs.variables()))
    other: Any = fitted.method.restored(fitted.c, fitted.workdir)
    assert other.ready([point], data).asks(point) != first and len(points) == 4


def test_what_is_missing_is_named_and_not_made_by_who_may_not(fitted: FittedMemory, data: Data) -> None:
    point = fitted.method.point(fitted.c).costly
    for ready in (lambda: fitted.ready([point], data, make=False), lambda: fitted.with_kept(point)):
        with pytest.raises(InputError, match=rf"{fitted.method.name}/\w+\.npz: is missing"):
            ready()
    assert not (fitted.workdir / fitted.method.name).exists()


def test_a_memory_that_was_changed_meanwhile_is_not_used(fitted: FittedMemory, data: Data) -> None:
    point = fitted.method.point(fitted.c).costly
    one, other = (fitted.ready([p], data) for p in (point, point._replace(share=0.5)))
    (theirs,), (ours,) = other.memories.values(), one.memories.values()
    shutil.copy(theirs.path, ours.path)
    with pytest.raises(InputError, match="was changed by another program; run this again"):
        next(one.measure(measured_pictures(data), [point]))


def test_a_run_says_what_it_remembers(fitted: FittedMemory, data: Data) -> None:
    point = fitted.method.point(fitted.c)
    row = {**point.costly._asdict(), **point.cheap._asdict(), "layers": "layer2+layer3"}
    assert point == fitted.method.point_of(row)
    (note,), warnings = fitted.ready([point.costly], data).told(data, row)
    assert "Remembered: a " in note and not warnings
    assert "5 pictures of good parts (bolt)" in fitted.method.explained(5, "bolt", {})


def test_maps_of_tiles_are_put_together(fitted: FittedMemory, data: Data) -> None:
    point, t = fitted.method.point(fitted.c), tiling((32, 48), 32, overlap=16)
    images = np.random.default_rng(0).integers(0, 256, (3 * t.count, 32, 32, 3), np.uint8)
    pictures, ready = MeasuredPictures(images, 1, 1), fitted.ready([point.costly], data)
    (measured,) = ready.measure(pictures, [point.costly])
    (apart,), (whole,) = (
        ready.maps(measured.evidence, [point.cheap], p) for p in (pictures, pictures._replace(tiling=t))
    )
    np.testing.assert_array_equal(whole.maps, stitch(apart.maps, t))
    assert whole.scores is None
