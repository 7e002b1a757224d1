"""A data set out of captures: evenly chosen, with each picture's origin; nothing is left out unsaid."""

import hashlib
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from trees import save
from written_captures import RECT, SIZE, SMALL, capture, names, recordings, station, via

from ddad_jax.data.captured import recordings_of
from ddad_jax.data.folder import mvtec_folder
from ddad_jax.engine.captures.assembling import assemble, captures_of, print_assembled
from ddad_jax.engine.captures.frame_choice import shared
from ddad_jax.engine.captures.labelling import Drawing
from ddad_jax.errors import InputError

ROOT = Path(__file__).parents[3]


def test_the_layout_is_what_the_reader_of_folders_reads(tmp_path: Path) -> None:
    made = assemble(station(tmp_path), tmp_path / "sets", "melon", wanted=SMALL)
    data = mvtec_folder(tmp_path / "sets", "melon", 16, require_masks=True)
    assert made.new and len(data.train.names) == 12
    assert {kind: data.test.defects.count(kind) for kind in data.test.defects} == {"good": 4, "dent": 6, "paint": 6}
    assert (data.test.masks.any((1, 2)) == (data.test.labels == 1)).all()
    assert not list((tmp_path / "sets").glob(".*"))


def test_frames_are_taken_evenly_over_recordings_and_time(tmp_path: Path) -> None:
    made = assemble(station(tmp_path), tmp_path / "sets", "melon", wanted=SMALL)
    for recording in recordings(made.folder / "train/good"):
        own = [int(name[-10:-4]) for name in names(made.folder / "train/good") if name.startswith(recording)]
        assert len(own) == 6 and own[0] == 0 and own[-1] == 9 and max(np.diff(own)) <= 3
    expected = ["d1_000000", "d1_000002", "d1_000005", "d2_000000", "d2_000004", "d2_000008"]
    assert [Path(name).stem for name in names(made.folder / "test/dent")] == expected
    assert shared([3, 100, 100], 20) == [3, 8, 9]
    assert shared([2, 3], 20) == [2, 3] and shared([5, 5, 5], 2) == [0, 1, 1] and shared([], 3) == []


def test_what_is_left_out_is_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = station(tmp_path)
    capture(tmp_path, "n9", finished=False)
    made = assemble([*folders, tmp_path / "captures/n9"], tmp_path / "sets", "melon", wanted=SMALL._replace(train=99))
    counts = made.manifest["counts"]
    assert counts["frames left out: flagged as blurred or badly exposed"] == 3
    assert counts["frames left out: defect turned away"] == 9
    assert counts["captures left out: not finished"] == 1 and made.manifest["unfinished"] == ["n9"]
    assert counts["masks: capture"] == 12 and counts["train/good"] == 18
    assert not any("_000003" in name for name in names(made.folder / "train/good"))
    print_assembled(made)
    told = capsys.readouterr().out
    assert "fewer than asked: 18 of 99 for train/good" in told and "n9" in told and "turned away: 9" in told

    image = np.zeros(SIZE, np.uint8)
    image[:2, :2] = 255
    save(image, tmp_path / "masks/p1_000000.png")
    labels = [tmp_path / "masks", via(tmp_path / "via.json", {"d1_000000.png": [RECT | {"width": 1}]})]
    clear = SMALL._replace(least_defect=10 / 560)
    less = assemble(folders, tmp_path / "less", "melon", wanted=clear, labels=labels).manifest["counts"]
    assert less["frames left out: defect barely in view"] == 2, "4 and 3 pixels; the captures' own masks have 18"

    wanted = SMALL._replace(keep_bad=True, turned_away=True, train=99, test_good=99)
    more = assemble([*folders, tmp_path / "captures/n9"], tmp_path / "more", "melon", wanted=wanted, unfinished=True)
    assert recordings(more.folder / "test/good") >= {"d1", "d2"}, "where the defect is out of view"
    assert {"d1_000006.png", "d2_000001.png"} <= {*names(more.folder / "test/good")}
    assert "n9" in more.manifest["recordings"]
    taken = names(more.folder / "train/good") + names(more.folder / "test/good")
    assert "n1_000003.png" in taken
    assert not sum(n for what, n in more.manifest["counts"].items() if what.startswith("frames left out"))


def test_the_manifest_knows_where_each_picture_comes_from(tmp_path: Path) -> None:
    made = assemble(station(tmp_path), tmp_path / "sets", "melon", wanted=SMALL)
    for key, entry in made.manifest["files"].items():
        content = (made.folder / key).read_bytes()
        assert entry["sha256"] == hashlib.sha256(content).hexdigest()
        assert content == (tmp_path / f"captures/{entry['recording']}/frames/{entry['index']:06d}.png").read_bytes()
        assert entry["source"] == f"{entry['recording']}.mp4" and entry["seconds"] == entry["index"]
    data = mvtec_folder(tmp_path / "sets", "melon", 8)
    found = recordings_of(made.folder, data.train.names)
    assert found == tuple(Path(name).name.rpartition("_")[0] for name in data.train.names)
    inside = mvtec_folder(made.folder, "", 8)
    assert recordings_of(made.folder, inside.train.names) == found, "also where the category is the root itself"


def test_made_again_only_where_something_differs(tmp_path: Path) -> None:
    folders, out = station(tmp_path), tmp_path / "sets"
    made = assemble(folders, out, "melon", wanted=SMALL)
    before = {path: path.stat().st_mtime_ns for path in made.folder.rglob("*")}
    again = assemble(folders, out, "melon", wanted=SMALL)
    assert not again.new and again.manifest == made.manifest
    for other, says in ((SMALL._replace(train=5), "--train"), (SMALL._replace(seed=3), "--seed")):
        with pytest.raises(InputError, match=f"melon: holds a data set made otherwise .{says} differ"):
            assemble(folders, out, "melon", wanted=other)
    with pytest.raises(InputError, match="recordings differ"):
        assemble([f for f in folders if f.name != "p1"], out, "melon", wanted=SMALL)
    with pytest.raises(InputError, match="labels differ"):
        labels = [via(tmp_path / "via.json", {"d1_000001.png": [RECT]})]
        assemble(folders, out, "melon", wanted=SMALL, labels=labels)
    assert before == {path: path.stat().st_mtime_ns for path in made.folder.rglob("*")}
    (made.folder / "test/paint/p1_000000.png").unlink()
    with pytest.raises(InputError, match="test/paint/p1_000000.png differ"):
        assemble(folders, out, "melon", wanted=SMALL)
    (made.folder / "manifest.json").write_text("{")
    with pytest.raises(InputError, match="melon: holds a data set whose .* or remove that folder") as told:
        assemble(folders, out, "melon", wanted=SMALL)
    assert "python -m" not in str(told.value), "not what was just tried"
    save(np.zeros((*SIZE, 3), np.uint8), tmp_path / "mine/melon/train/good/0.png")
    with pytest.raises(InputError, match="is there already, and is no data set made of captures"):
        assemble(folders, tmp_path / "mine", "melon", wanted=SMALL)


def test_it_is_written_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
    folders = station(tmp_path)
    (tmp_path / "captures/p1/masks/000009.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"p1/masks/000009\.png"):
        assemble(folders, tmp_path / "sets", "melon", wanted=SMALL)
    assert not (tmp_path / "sets").exists()


# --- Captures that cannot be used ------------------------------------------------------------------------------


def twins(root: Path) -> None:
    capture(root, "n1", folder="n1 twin", pictures="other")


def masked_normal(root: Path) -> None:
    capture(root, "n4", visible=lambda i: i == 2)


def changed(root: Path) -> None:
    save(np.zeros((*SIZE, 3), np.uint8), root / "captures/p1/frames/000000.png")


def no_capture(root: Path) -> None:
    (root / "captures/notes").mkdir()


def only_defects(root: Path) -> None:
    for name in ("n1", "n2", "n3"):
        (root / "captures" / name).rename(root / name)


@pytest.mark.parametrize(
    ("harm", "product", "says"),
    [
        (lambda r: None, "coffee", "--product=coffee: none of the captures shows it; they show melon"),
        (lambda r: None, "../melon", "--product is '../melon': expected letters"),
        (lambda r: capture(r, "n4", "good"), "melon", "state 'good'; expected normal"),
        (lambda r: capture(r, "n4", "a/b"), "melon", "the state is 'a/b': expected letters"),
        (lambda r: capture(r, "a:b", folder="x"), "melon", "recording's name is 'a:b': expected letters"),
        (lambda r: capture(r, "x", product="late", finished=False), "late", r"Not finished: x .--unfinished"),
        (twins, "melon", "n1 and .*n1 twin are both named 'n1'"),
        (masked_normal, "melon", "n4: its state is 'normal', but its masks show a defect"),
        (changed, "melon", r"p1/frames/000000\.png: was changed after the capture"),
        (no_capture, "melon", "notes: no capture"),
        (only_defects, "melon", "none of its 4 recordings is normal"),
    ],
)
def test_captures_that_cannot_be_used_are_refused(
    tmp_path: Path, harm: Callable[[Path], Any], product: str, says: str
) -> None:
    station(tmp_path)
    harm(tmp_path)
    with pytest.raises(InputError, match=says):
        assemble(captures_of([f"{tmp_path}/captures/*"]), tmp_path / "sets", product, wanted=SMALL)
    assert not (tmp_path / "sets" / "melon").exists()


def test_flags_that_cannot_be_used_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders, sets = station(tmp_path), tmp_path / "sets"
    for pattern, says in (("**bad**", "cannot be used as a pattern"), ("~nobody-of-this-name/*", "no home folder")):
        with pytest.raises(InputError, match=f"--captures.*{says}"):
            captures_of([pattern])
    with pytest.raises(InputError, match="--out: ~nobody-of-this-name: no home folder"):
        assemble(folders, "~nobody-of-this-name", "melon", wanted=SMALL)
    for least in (float("nan"), -1.0, 2.0):
        with pytest.raises(InputError, match="--least_defect"):
            assemble(folders, sets, "melon", wanted=SMALL._replace(least_defect=least))
    for width in (float("nan"), float("inf"), 0.0):
        with pytest.raises(InputError, match="--line_width"):
            assemble(folders, sets, "melon", wanted=SMALL, drawing=Drawing(width))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert len(captures_of(["~/captures/*"])) == len(folders)
    assert assemble(folders, "~/sets", "melon", wanted=SMALL).folder == sets / "melon"


def test_the_program_prints_what_it_made_and_one_line_of_what_is_wrong(quick: Path, tmp_path: Path) -> None:
    station(tmp_path)
    environment = {**os.environ, "GLIBC_TUNABLES": "glibc.malloc.hugetlb=0"}
    flags = [f"--captures={tmp_path}/captures/*", f"--out={tmp_path}/sets", "--train=12", "--per_defect=6"]

    def run(*more: str) -> subprocess.CompletedProcess[str]:
        command = [quick, "-m", "experiments.dataset", *flags, *more]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, env=environment)

    ended = run("--product=melon", "--test_good=4")
    assert ended.returncode == 0, ended.stderr
    assert "train/good: 12" in ended.stdout and f"data set: {tmp_path}/sets/melon" in ended.stdout
    ended = run("--product=melon", "--test_good=4", f"--captures={tmp_path}/nothing*")
    assert ended.returncode == 2 and ended.stderr.startswith("error: --captures=") and "Traceback" not in ended.stderr
