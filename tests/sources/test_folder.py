"""A folder of pictures: in order, at their own size, unreadable ones counted."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ddad_jax.errors import InputError
from ddad_jax.sources import Bad, Frame
from ddad_jax.sources.folder import FolderSource


def save(path: Path, value: int, shape: tuple[int, ...] = (4, 6, 3)) -> None:
    Image.fromarray(np.full(shape, value, np.uint8)).save(path)


def test_in_the_order_of_numbers_at_their_own_size(tmp_path: Path) -> None:
    save(tmp_path / "cam10.png", 10)
    save(tmp_path / "cam9.PNG", 9, (5, 7))
    save(tmp_path / "cam010.bmp", 11)
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "more.png").mkdir()
    source = FolderSource(tmp_path, fps=2.0)
    got = list(source.frames())
    assert [frame.index for frame in got] == [0, 1, 2] and source.settings["pictures"] == 3
    assert all(isinstance(frame, Frame) for frame in got)
    assert [(f.seconds, f.color.shape, f.color[0, 0].tolist()) for f in got if isinstance(f, Frame)] == [
        (0.0, (5, 7, 3), [9] * 3), (0.5, (4, 6, 3), [11] * 3), (1.0, (4, 6, 3), [10] * 3),
    ]  # fmt: skip
    assert not source.live


def test_an_unreadable_picture_is_bad_and_the_next_follows(tmp_path: Path) -> None:
    for i in range(3):
        save(tmp_path / f"{i}.png", i)
    torn = (tmp_path / "1.png").read_bytes()
    (tmp_path / "1.png").write_bytes(torn[: len(torn) // 2])
    kinds = [type(frame) for frame in FolderSource(tmp_path).frames()]
    assert kinds == [Frame, Bad, Frame]
    bad = list(FolderSource(tmp_path).frames())[1]
    assert isinstance(bad, Bad) and "1.png" in bad.reason and bad.index == 1


def test_what_is_no_folder_of_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no pictures"):
        FolderSource(tmp_path)
    with pytest.raises(InputError, match="cannot be read"):
        FolderSource(tmp_path / "nowhere")
    with pytest.raises(InputError, match="fps"):
        FolderSource(tmp_path, fps=0)


def test_ends_when_closed(tmp_path: Path) -> None:
    for i in range(3):
        save(tmp_path / f"{i}.png", i)
    source = FolderSource(tmp_path)
    frames = source.frames()
    next(frames)
    source.close()
    source.close()
    assert list(frames) == []
