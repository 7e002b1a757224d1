"""Labels of captured frames, as regions or as mask images: which frame they name, and which of them counts."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from trees import save
from written_captures import RECT, SIZE, SMALL, capture, names, via

from ddad_jax.data.folder import mvtec_folder
from ddad_jax.engine.captures.assembling import assemble
from ddad_jax.engine.captures.labelling import Drawing, read_labels
from ddad_jax.engine.captures.recording import read_capture
from ddad_jax.errors import InputError


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
