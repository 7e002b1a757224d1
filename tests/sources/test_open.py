"""The names of sources: each opens its kind, and what is none says what there is."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ddad_jax.errors import InputError
from ddad_jax.sources.folder import FolderSource
from ddad_jax.sources.open import open_source, station_settings
from ddad_jax.sources.simulated import Station, StationSettings


def test_the_station_and_its_options() -> None:
    spec = "station:coffee?state=dent&video=3&seed=1&seconds=12.5&size=64&light=0.5"
    source = open_source(spec, start=7)
    assert isinstance(source, Station) and source.settings["kind"] == "station" and source.settings["video"] == 3
    expected = StationSettings("coffee", state="dent", video=3, seed=1, seconds=12.5, size=64, light=0.5)
    assert station_settings("coffee?state=dent&video=3&seed=1&seconds=12.5&size=64&light=0.5") == expected
    assert station_settings("coffee") == StationSettings("coffee")


def test_a_folder_at_the_rate_that_is_asked(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / "a.png")
    source = open_source(str(tmp_path), fps=5.0)
    assert isinstance(source, FolderSource) and source.settings["fps"] == 5.0
    assert open_source(str(tmp_path)).settings["fps"] == 1.0


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("", "has no name"),
        ("webcam", "no such file or folder, nor a kind of source.*camera:0"),
        ("nowhere.mp4", "no such file"),
        ("nowhere.db3", "no such recording"),
        ("~nobody-of-this-name/x", "no such file or folder"),
        ("x" * 5000, "no such file or folder"),
        ("a\0b", "no such file or folder"),
        ("camera:", "no such camera"),
        ("camera:/dev/nothing", "no such camera"),
        ("realsense:", "serial"),
        ("station:tea", "tea"),
        ("station:coffee?stat=dent", "no option 'stat'; there are state, video"),
        ("station:coffee?product=tea", "no option 'product'"),
        ("station:coffee?size=big", "size='big' is no whole number"),
        ("station:coffee?light=", "light='' is no number"),
        ("station:coffee?size", "size has no value"),
        ("station:coffee?size=64&size=32", "size has two values"),
    ],
)
def test_what_is_no_source_says_so(spec: str, told: str) -> None:
    with pytest.raises(InputError, match=told):
        open_source(spec)


def test_a_file_of_another_kind_and_a_timeout_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_text("x")
    with pytest.raises(InputError, match=r"neither a video nor.*\.pdf"):
        open_source(str(tmp_path / "a.pdf"))
    with pytest.raises(InputError, match="timeout"):
        open_source("station:coffee", timeout=0)
    for timeout in (float("nan"), float("inf"), 1e308):
        with pytest.raises(InputError, match="timeout"):
            open_source("camera:0", timeout=timeout)
    for fps in (float("nan"), float("inf"), 0.0):
        with pytest.raises(InputError, match="camera_fps"):
            open_source("realsense", camera_fps=fps)


def test_a_pipe_and_a_file_are_no_cameras(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "film.mp4").write_bytes(b"x")
    for name, told in (("pipe", "is no camera but a pipe"), ("film.mp4", "but a file"), (".", "but a folder")):
        with pytest.raises(InputError, match=f"{told}.*/dev/video0"):
            open_source(f"camera:{tmp_path / name}")
