"""A data set out of captures: nothing of a test recording is learned from, nothing is left out unsaid."""

import hashlib
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from trees import save
from written_captures import RECT, SIZE, SMALL, capture, station, via

from ddad_jax.data.captured import recordings_of
from ddad_jax.data.folder import mvtec_folder
from ddad_jax.engine.captures.assembling import assemble, captures_of, print_assembled
from ddad_jax.engine.captures.frame_choice import Wanted, shared
from ddad_jax.engine.captures.labelling import Drawing, read_labels
from ddad_jax.engine.captures.recording import read_capture
from ddad_jax.errors import InputError

ROOT = Path(__file__).parents[3]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def recordings(folder: Path) -> set[str]:
    return {name.rpartition("_")[0] for name in names(folder)}


def test_the_layout_is_what_the_reader_of_folders_reads(tmp_path: Path) -> None:
    made = assemble(station(tmp_path), tmp_path / "sets", "melon", wanted=SMALL)
    data = mvtec_folder(tmp_path / "sets", "melon", 16, require_masks=True)
    assert made.new and len(data.train.names) == 12
    assert {kind: data.test.defects.count(kind) for kind in data.test.defects} == {"good": 4, "dent": 6, "paint": 6}
    assert (data.test.masks.any((1, 2)) == (data.test.labels == 1)).all()
    assert not list((tmp_path / "sets").glob(".*"))


def test_no_recording_stands_on_both_sides_whatever_the_seed(tmp_path: Path) -> None:
    folders, held = station(tmp_path), set()
    for seed in range(6):
        made = assemble(folders, tmp_path / f"{seed}", "melon", wanted=SMALL._replace(seed=seed))
        learned, tested = recordings(made.folder / "train/good"), recordings(made.folder / "test/good")
        assert learned | tested == {"n1", "n2", "n3", "h1"} and not learned & tested
        assert "h1" in tested and len(learned) == 2
        held |= tested - {"h1"}
        told = made.manifest["recordings"]
        assert {name for name, about in told.items() if about["side"] == "train"} == learned
    assert len(held) > 1, "the seed draws them"
    made = assemble(folders, tmp_path / "named", "melon", wanted=SMALL._replace(held_back=("n2", "n3")))
    assert recordings(made.folder / "train/good") == {"n1"}


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


# --- Leaks -----------------------------------------------------------------------------------------------------


def test_one_normal_recording_cannot_serve_both_sides(tmp_path: Path) -> None:
    folders = [capture(tmp_path, "n1"), capture(tmp_path, "d1", "dent", visible=lambda i: True)]
    with pytest.raises(InputError, match="1 normal recording: .* different recordings.*--test_good=0"):
        assemble(folders, tmp_path / "sets", "melon", wanted=SMALL)
    made = assemble(folders, tmp_path / "none", "melon", wanted=SMALL._replace(test_good=0))
    assert not (made.folder / "test/good").exists()
    made = assemble([*folders, capture(tmp_path, "h1", "hard")], tmp_path / "hard", "melon", wanted=SMALL)
    assert recordings(made.folder / "test/good") == {"h1"}


def test_a_video_captured_twice_is_one_recording(tmp_path: Path) -> None:
    defect = capture(tmp_path, "d1", "dent", visible=lambda i: True, source="b.mp4")
    twice = [capture(tmp_path, name, source="a.mp4") for name in ("n1", "n1-again")]
    with pytest.raises(InputError, match="different recordings"):
        assemble([*twice, defect], tmp_path / "sets", "melon", wanted=SMALL)
    live = [capture(tmp_path, name, source="camera:0", kind="camera") for name in ("c1", "c2")]
    made = assemble([*live, defect], tmp_path / "live", "melon", wanted=SMALL)
    assert len(recordings(made.folder / "train/good")) == 1, "a camera never shows a moment twice"
    both = [*live, capture(tmp_path, "n2", source="b.mp4"), defect]
    for seed in range(4):
        made = assemble(both, tmp_path / f"both{seed}", "melon", wanted=SMALL._replace(seed=seed))
        assert "n2" not in recordings(made.folder / "train/good"), "its video is tested on as a dented one"
    with pytest.raises(InputError, match="--held_back: n1-again shows the same source"):
        assemble([*twice, *live, defect], tmp_path / "x", "melon", wanted=SMALL._replace(held_back=("n1",)))
    with pytest.raises(InputError, match="no normal recording is left to train on"):
        assemble([*live, defect], tmp_path / "y", "melon", wanted=SMALL._replace(held_back=("c1", "c2")))
    with pytest.raises(InputError, match="--held_back=c9: no such normal recording; there are c1, c2"):
        assemble([*live, defect], tmp_path / "z", "melon", wanted=SMALL._replace(held_back=("c9",)))


def test_a_picture_on_both_sides_is_found_by_its_pixels(tmp_path: Path) -> None:
    folders = [capture(tmp_path, "n1"), capture(tmp_path, "n2", pictures="n1", packed=9)]
    folders.append(capture(tmp_path, "d1", "dent", visible=lambda i: True))
    with pytest.raises(
        InputError, match=r"train/good/n\d_000000\.png and test/good/n\d_000000\.png are the same picture"
    ):
        assemble(folders, tmp_path / "sets", "melon", wanted=SMALL)


@pytest.mark.parametrize("state", ["normal", "hard", "dent"])
def test_a_frame_on_both_sides_is_found_whether_or_not_it_is_taken(tmp_path: Path, state: str) -> None:
    """The copy of a recording under another name: its other frames are neighbours in time of those trained on."""
    capture(tmp_path, "n1"), capture(tmp_path, "n2")
    capture(tmp_path, "copy", state, pictures="n1", visible=(lambda i: True) if state == "dent" else None)
    capture(tmp_path, "d1", "dent", visible=lambda i: True)
    folders = sorted((tmp_path / "captures").iterdir())
    few = Wanted(train=1, per_defect=1, test_good=1, held_back=("n2",) if state != "normal" else ("copy",))
    with pytest.raises(InputError, match=r"n1/frames/000000\.png and .*copy/frames/000000\.png are the same picture"):
        assemble(folders, tmp_path / "sets", "melon", wanted=few)


def test_pictures_all_black_are_no_leak(tmp_path: Path) -> None:
    capture(tmp_path, "n1", flagged=(0,), flag="under"), capture(tmp_path, "n2", flagged=(0,), flag="under")
    capture(tmp_path, "d1", "dent", visible=lambda i: True)
    for name in ("n1", "n2"):
        blacken(tmp_path / "captures" / name)
    folders = sorted((tmp_path / "captures").iterdir())
    assert assemble(folders, tmp_path / "sets", "melon", wanted=SMALL).new
    with pytest.raises(InputError, match="are the same picture"):
        assemble(folders, tmp_path / "bad", "melon", wanted=SMALL._replace(keep_bad=True))


def blacken(folder: Path) -> None:
    """Its first frame, in picture, table and manifest."""
    picture = folder / "frames/000000.png"
    was = hashlib.sha256(picture.read_bytes()).hexdigest()
    save(np.zeros((*SIZE, 3), np.uint8), picture)
    table = (folder / "frames.csv").read_text().replace(was, hashlib.sha256(picture.read_bytes()).hexdigest())
    (folder / "frames.csv").write_text(table)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["sha256"] = hashlib.sha256(table.encode()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))


# --- Labels ----------------------------------------------------------------------------------------------------


def unlabelled(root: Path) -> list[Path]:
    capture(root, "n1"), capture(root, "n2")
    capture(root, "d1", "dent", 6), capture(root, "d2", "dent", 6)
    return sorted((root / "captures").iterdir())


def test_a_frame_that_nobody_labelled_is_kept_without_a_mask_and_counted(tmp_path: Path) -> None:
    labels = via(tmp_path / "via.json", {"d1_000000.png": [RECT], "d1_000001.png": [], "d2_000000.png": [RECT]})
    made = assemble(
        unlabelled(tmp_path), tmp_path / "sets", "melon", wanted=SMALL._replace(per_defect=99), labels=[labels]
    )
    counts = made.manifest["counts"]
    assert (counts["test/dent"], counts["masks: via"], counts["masks: not known"]) == (12, 2, 10)
    data = mvtec_folder(tmp_path / "sets", "melon", SIZE[0])
    assert sum(data.test.has_mask[data.test.labels == 1]) == 2
    looked = assemble(
        sorted((tmp_path / "captures").iterdir()), tmp_path / "looked", "melon", labels=[labels],
        wanted=SMALL._replace(per_defect=99), drawing=Drawing(listed_is_looked_at=True),
    )  # fmt: skip
    assert looked.manifest["counts"]["frames left out: defect turned away"] == 1


def test_labels_come_before_the_truth_of_the_capture_and_images_before_regions(tmp_path: Path) -> None:
    folders = [*unlabelled(tmp_path), capture(tmp_path, "p1", "paint", 4, visible=lambda i: i < 3)]
    regions = {
        "p1_000000.png": [RECT | {"x": 20, "width": 99}],
        "p1_000001.png": [RECT],
        "p1/frames/000003.png": [RECT],
    }
    point = {"name": "point", "cx": 3, "cy": 3}
    drawn = via(tmp_path / "via.json", regions | {"p1_000002.png": [point]})
    image = np.zeros(SIZE, np.uint8)
    image[0, 0] = 255
    save(image, tmp_path / "masks/p1_000001_mask.png")
    made = assemble(
        folders, tmp_path / "sets", "melon", wanted=SMALL._replace(per_defect=99), labels=[drawn, tmp_path / "masks"]
    )
    origins = {key[-10:-4]: e["mask"] for key, e in made.manifest["files"].items() if "/paint/" in key}
    assert origins == {"000000": "via", "000001": "image", "000002": "capture", "000003": "via"}
    counts = made.manifest["counts"]
    assert counts["regions cut off at the picture's edge"] == 1 and counts["points of VIA, which mark no area"] == 1
    data = mvtec_folder(tmp_path / "sets", "melon", 28)
    masks = {name[-10:-4]: mask for name, mask in zip(data.test.names, data.test.masks, strict=True) if "p1" in name}
    assert masks["000000"][:, 20:].any() and not masks["000000"][:, :20].any()
    assert masks["000001"][0, 0] and masks["000001"].sum() <= 2


def test_a_label_may_name_its_frame_in_several_ways(tmp_path: Path) -> None:
    folders = unlabelled(tmp_path)
    (tmp_path / "captures/d2").rename(tmp_path / "captures/other-name")
    (tmp_path / "labels").mkdir()
    via(tmp_path / "labels/d1.json", {"000000.png": [RECT], "C:\\x\\d1\\frames\\000001.png": [RECT]})
    via(tmp_path / "labels/all.json", {"d1_000002": [RECT], "file:///a%20b/other-name/frames/000003.png": [RECT]})
    mask = np.full(SIZE, 255, np.uint8)
    save(mask, tmp_path / "labels/d2/000004_mask.png"), save(mask, tmp_path / "labels/d2/000005.png")
    made = assemble(
        sorted((tmp_path / "captures").iterdir()), tmp_path / "sets", "melon", labels=[tmp_path / "labels"],
        wanted=SMALL._replace(per_defect=99),
    )  # fmt: skip
    assert names(made.folder / "ground_truth/dent") == [
        f"{name}_mask.png" for name in ("d1_000000", "d1_000001", "d1_000002", "d2_000003", "d2_000004", "d2_000005")
    ]
    assert folders


def test_an_attribute_names_the_defect_where_a_recording_has_several(tmp_path: Path) -> None:
    folders = unlabelled(tmp_path)
    regions = [{"shape_attributes": RECT, "region_attributes": {"kind": kind}} for kind in ("dent", "rust")]
    pictures = json.loads(via(tmp_path / "a.json", {"d1_000000.png": [RECT]}, kind="dent").read_text())
    pictures |= json.loads(via(tmp_path / "a.json", {"d1_000001.png": [RECT]}, kind="rust").read_text())
    pictures["both"] = {"filename": "d1_000002.png", "regions": regions}
    (tmp_path / "a.json").write_text(json.dumps(pictures))
    made = assemble(
        folders, tmp_path / "sets", "melon", wanted=SMALL._replace(per_defect=99), labels=[tmp_path / "a.json"],
        drawing=Drawing(attribute="kind"),
    )  # fmt: skip
    assert names(made.folder / "test/rust") == ["d1_000001.png"]
    assert names(made.folder / "test/combined") == ["d1_000002.png"]
    assert len(names(made.folder / "test/dent")) == 10


def masks(root: Path, name: str, size: tuple[int, int] = SIZE) -> Path:
    save(np.full(size, 255, np.uint8), root / "masks" / name)
    return root / "masks"


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        (lambda r: r / "nowhere", "--labels=.*nowhere: does not exist"),
        (lambda r: save(np.zeros(SIZE, np.uint8), r / "mask.png"), r"mask\.png: expected a VIA file"),
        (lambda r: (r / "empty").mkdir() or r / "empty", "empty: holds no VIA file and no mask image"),
        (lambda r: via(r / "v.json", {"d7_000000.png": [RECT]}), r"'d7_000000\.png' is a label .* no capture has.*d1"),
        (lambda r: via(r / "v.json", {"d1_000077.png": [RECT]}), r"'d1_000077\.png' is a label .* no capture has"),
        (lambda r: via(r / "v.json", {"000000.png": [RECT]}), r"'000000\.png' could be a frame of 4 recordings"),
        (
            lambda r: via(r / "v.json", {"d1_000000.png": [RECT | {"x": 90}]}),
            r"v\.json, 'd1_000000\.png', region 0: .*outside its picture",
        ),
        (lambda r: via(r / "v.json", {"n1_000000.png": [RECT]}), "marks a defect in frame 000000 of n1.*'normal'"),
        (lambda r: via(r / "v.json", {"d1_000000.png": [RECT], "d1_000000": [RECT]}), "labelled already"),
        (lambda r: masks(r, "d9_000000.png"), r"d9_000000\.png.* no capture has"),
        (lambda r: masks(r, "n2_000000_mask.png"), "marks a defect in frame 000000 of n2"),
        (lambda r: masks(r, "d1_000000.png", (20, 27)), r"d1_000000\.png is 20 x 27 .*frames/000000\.png is 20 x 28"),
    ],
)
def test_labels_that_cannot_be_used_are_refused(tmp_path: Path, labels: Callable[[Path], Path], says: str) -> None:
    with pytest.raises(InputError, match=says):
        given = [labels(tmp_path)]
        assemble(unlabelled(tmp_path), tmp_path / "sets", "melon", wanted=SMALL._replace(per_defect=99), labels=given)
    assert not (tmp_path / "sets/melon").exists()


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


def test_what_lies_among_labels_and_is_not_read_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    one, labels = read_capture(capture(tmp_path, "s1", "scratch")), tmp_path / "labels"
    mask = np.zeros(SIZE, np.uint8)
    mask[3:9, 3:9], mask[3:9, 9:15] = 85, 170
    for path in ("s1/000000.png", "s1/more/000001.png"):
        (labels / path).parent.mkdir(parents=True, exist_ok=True)
        save(mask, labels / path)
    (labels / "notes.docx").write_text("x")
    known = read_labels([labels], [one], Drawing())
    assert [label.area for label in known.of.values()] == [72]  # every class counts
    told = caplog.text
    assert "s1/more/000001.png" in told and "notes.docx" in told and "taken for classes" in told
