"""Nothing of a test recording is learned from, whatever the seed and whatever its copies are called."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from trees import save
from written_captures import SIZE, SMALL, capture, recordings, station

from ddad_jax.engine.captures.assembling import assemble
from ddad_jax.engine.captures.frame_choice import Wanted
from ddad_jax.errors import InputError


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
