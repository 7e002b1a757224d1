"""A capture: what a source gave, whole and with its origin; of a source that gives nothing, one error."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from given_source import STATION, Given, asked, sharp

from ddad_jax.data.read import read_full
from ddad_jax.engine.captures.recording import checked_manifest, read_capture
from ddad_jax.engine.captures.writing import CaptureOptions, capture
from ddad_jax.errors import InputError
from ddad_jax.sources.open import open_source
from ddad_jax.vision.quality import measured

ROOT = Path(__file__).parents[3]


def test_the_station_with_its_truth(tmp_path: Path) -> None:
    out = tmp_path / "coffee-paint-2"
    manifest = capture(CaptureOptions(STATION, out))
    got = read_capture(out, verify=True)
    assert (got.recording, got.product, got.state, got.angle, got.kind) == (
        "coffee-paint-2", "coffee", "paint", "2", "station",
    )  # fmt: skip
    assert got.source == STATION and got.size == (32, 32) and got.fps == 1.0 and got.has_masks and got.finished
    assert manifest["counts"]["seen"] == manifest["counts"]["kept"] == manifest["frames"] == 8
    assert manifest["ended"] == "end" and manifest["settings"]["seed"] == 0 and "numpy" in manifest["software"]
    source = open_source(STATION)
    truth = [(frame.color, source.truth(frame.index)) for frame in source.frames()]  # type: ignore
    assert len(got.frames) == len(truth) == 8 and any(mask.any() for _, mask in truth)
    before = None
    for frame, (color, mask) in zip(got.frames, truth, strict=True):
        assert frame.file is not None and frame.file.name == f"{frame.index:06d}.png"
        np.testing.assert_array_equal(read_full(frame.file), color)
        assert frame.mask_pixels == mask.sum() and (frame.mask is not None) == mask.any()
        if frame.mask is not None:
            np.testing.assert_array_equal(read_full(frame.mask)[..., 0], mask * np.uint8(255))
        seen = measured(color, before)
        np.testing.assert_allclose([frame.sharpness, frame.over, frame.under], seen[:3], atol=1e-6)
        np.testing.assert_allclose(frame.difference, seen.difference, atol=1e-6)
        before = color
    preview = read_full(out / "preview.png")
    assert preview.shape[1] > 8 * 100 and not list(out.rglob("*.part"))


def test_a_video_at_one_frame_a_second(tmp_path: Path) -> None:
    path = tmp_path / "line.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 48))
    for k in range(35):
        writer.write(np.full((48, 64, 3), 5 * k, np.uint8))
    writer.release()
    out = tmp_path / "out"
    capture(asked(out, source=str(path), angle="left", recording="line-7"))
    got = read_capture(out)
    assert [frame.index for frame in got.frames] == [0, 10, 20, 30] and got.manifest["counts"]["given"] == 35
    assert (got.recording, got.angle, got.kind, got.has_masks) == ("line-7", "left", "video", False)
    assert got.manifest["settings"]["bytes"] == path.stat().st_size


def test_flags_drops_and_counts(tmp_path: Path) -> None:
    ramp = np.broadcast_to(np.linspace(0, 200, 90).astype(np.uint8)[None, :, None], (60, 90, 3))
    white, first, other = np.full((60, 90, 3), 255, np.uint8), sharp(1, (60, 90)), sharp(3, (60, 90))
    pictures = [first, first, "torn", ramp, white, other, sharp(1)]
    source = Given(pictures)
    manifest = capture(asked(tmp_path / "all", drop_duplicates=True, drop_flagged=True), open=lambda *a, **k: source)
    assert source.closed
    n = manifest["counts"]
    assert (n["seen"], n["kept"], n["dropped_duplicates"], n["bad"]) == (7, 2, 1, 2)
    assert n["dropped_flagged"] == 2 and n["flagged_exposure"] == 1 and n["flagged_blurred"] == 2
    assert n["seen"] == n["kept"] + n["dropped_duplicates"] + n["dropped_flagged"] + n["bad"]
    got = read_capture(tmp_path / "all", verify=True)
    assert [frame.index for frame in got.frames] == [0, 5]
    told = {frame.index: frame for frame in got.left_out}
    assert told[1].flags == ("duplicate",) and told[2].reason == "torn" and "over" in told[4].flags
    assert "20 x 30 pixels" in told[6].reason, "of another size than the first: no silent mixture"
    assert sorted(path.name for path in (tmp_path / "all/frames").iterdir()) == ["000000.png", "000005.png"]

    kept = capture(asked(tmp_path / "none"), open=lambda *a, **k: Given(pictures))["counts"]
    only = capture(asked(tmp_path / "once", drop_duplicates=True), open=lambda *a, **k: Given([white, white]))["counts"]
    assert (only["kept"], only["dropped_duplicates"], only["dropped_flagged"]) == (1, 1, 0), (
        "flagged, not dropped for it"
    )
    assert kept["kept"] == 5 and kept["flagged_duplicate"] == 1 and kept["dropped_duplicates"] == 0
    loose = capture(asked(tmp_path / "loose", limits={"most_over": 1.0}), open=lambda *a, **k: Given(pictures))
    assert loose["counts"]["flagged_exposure"] == 0


def test_depth_where_it_is_asked_for(tmp_path: Path) -> None:
    for wanted in (True, False):
        out = tmp_path / str(wanted)
        capture(asked(out, depth=wanted), open=lambda *a, **k: Given([sharp(0), sharp(1)], depth=True))
        got = read_capture(out)
        if not wanted:
            assert got.frames[1].depth is None and not (out / "depth").exists()
            continue
        assert got.frames[1].depth is not None
        depth = cv2.imread(str(got.frames[1].depth), cv2.IMREAD_UNCHANGED)
        assert depth.dtype == np.uint16 and (depth == 300).all()


@pytest.mark.parametrize(
    ("limit", "ended", "kept"), [({"max_frames": 3}, "max_frames", 3), ({"seconds": 4.0}, "seconds", 4)]
)
def test_limits(tmp_path: Path, limit: dict[str, Any], ended: str, kept: int) -> None:
    manifest = capture(asked(tmp_path / "a", **limit), open=lambda *a, **k: Given([sharp(i) for i in range(9)]))
    assert manifest["ended"] == ended and manifest["finished"] and manifest["frames"] == kept


def test_a_source_of_which_nothing_can_be_read_is_an_error(tmp_path: Path) -> None:
    junk, out = tmp_path / "junk", tmp_path / "out"
    junk.mkdir()
    for k in range(3):
        (junk / f"{k}.png").write_bytes(b"no picture")
    for resume in (False, True):
        with pytest.raises(InputError, match=rf"{junk}: none of its 3 frames can be read .*0\.png.*remove {out}"):
            capture(asked(out, source=str(junk), resume=resume))
    assert not checked_manifest(out)["finished"]


def test_a_folder_of_a_user_and_of_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    capture(CaptureOptions(STATION, Path("~/film")))
    assert checked_manifest(tmp_path / "film")["finished"]
    with pytest.raises(InputError, match="--out: ~nobody-of-this-name/a: no home folder"):
        capture(CaptureOptions(STATION, Path("~nobody-of-this-name/a")))


def test_interrupted_while_a_camera_does_not_open(tmp_path: Path) -> None:
    def never(*a: Any, **k: Any) -> Any:
        raise KeyboardInterrupt

    with pytest.raises(InputError, match="camera:0: interrupted before it was open"):
        capture(asked(tmp_path / "a"), open=never)
    assert not (tmp_path / "a").exists()


def test_a_source_lost_on_the_way_leaves_what_it_gave(tmp_path: Path) -> None:
    manifest = capture(asked(tmp_path / "a"), open=lambda *a, **k: Given([sharp(0), sharp(1)], lost="unplugged"))
    assert (manifest["ended"], manifest["finished"], manifest["frames"]) == ("lost", False, 2)
    assert len(read_capture(tmp_path / "a", unfinished=True, verify=True).frames) == 2


@pytest.mark.parametrize("lost", ["", "no frame for 15 s"])
def test_a_source_that_never_gives_a_frame_leaves_nothing(tmp_path: Path, lost: str) -> None:
    with pytest.raises(InputError, match=rf"gave no frame.*{lost}"):
        capture(asked(tmp_path / "a"), open=lambda *a, **k: Given([], lost=lost))
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"product": ""}, "--product is missing"), ({"state": ""}, "--state is missing"),
        ({"state": "good"}, "say normal"), ({"product": "a/b"}, "--product=a/b"), ({"recording": "../x"}, "recording"),
        ({"limits": {"most_over": float("nan")}}, "finite"), ({"fps": -1.0}, "fps"),
        ({"seconds": float("nan")}, "--seconds=nan"), ({"seconds": float("inf")}, "--seconds=inf"),
    ],
)  # fmt: skip
def test_what_it_is_is_never_guessed(tmp_path: Path, wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        capture(asked(tmp_path / "a", **wrong), open=lambda *a, **k: Given([sharp(0)]))
    assert not (tmp_path / "a").exists()


def test_the_station_cannot_be_called_something_else(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--state=normal: but the source films paint"):
        capture(CaptureOptions(STATION, tmp_path / "a", state="normal"))


ENV = os.environ | {"GLIBC_TUNABLES": ""}
"""Without the second start of an entry point, which a signal might hit and which takes time."""


@pytest.fixture
def command(quick: Path) -> Callable[..., list[str]]:
    return lambda *flags: [str(quick), "-m", "experiments.capture", *flags]


def test_the_command_and_its_errors(command: Callable[..., list[str]], tmp_path: Path) -> None:
    out = tmp_path / "film"
    done = subprocess.run(
        command(f"--source={STATION}", f"--out={out}"), cwd=ROOT, env=ENV, capture_output=True, text=True
    )
    assert done.returncode == 0 and f"{out}: 8 of 8 frames kept, ended by end" in done.stdout, done.stderr
    assert len(read_capture(out).frames) == 8
    wrong = subprocess.run(
        command("--source=station:tea", f"--out={tmp_path / 'b'}"), cwd=ROOT, env=ENV, capture_output=True, text=True
    )
    assert wrong.returncode == 2 and wrong.stderr.startswith("error: ") and "Traceback" not in wrong.stderr
    assert len(wrong.stderr.strip().splitlines()) == 1 and not (tmp_path / "b").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_a_valid_manifest(command: Callable[..., list[str]], tmp_path: Path, number: int) -> None:
    out = tmp_path / "film"
    source = "station:coffee?size=32&seconds=1000&fps=10&live=1"
    process = subprocess.Popen(command(f"--source={source}", f"--out={out}", "--fps=0"), cwd=ROOT, env=ENV)
    try:
        until = time.monotonic() + 60
        while len(list(out.glob("frames/*.png"))) < 2 and time.monotonic() < until:
            time.sleep(0.05)
        process.send_signal(number)
        assert process.wait(30) == 0
    finally:
        process.kill()
    got = read_capture(out, verify=True)
    assert got.manifest["ended"] == "interrupted" and len(got.frames) >= 2 and got.finished
