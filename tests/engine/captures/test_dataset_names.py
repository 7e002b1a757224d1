"""What labels, manifests and tables say becomes folders and files of a data set's own, or nothing is written."""

import csv
import hashlib
import io
import json
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from written_captures import RECT, SMALL, capture, station, via

from ddad_jax.engine.captures.assembling import assemble, captures_of
from ddad_jax.engine.captures.frame_choice import ChosenFrame
from ddad_jax.engine.captures.labelling import Drawing, Label
from ddad_jax.engine.captures.recording import COLUMNS, read_capture
from ddad_jax.engine.captures.set_files import write_files
from ddad_jax.engine.captures.writing import CaptureOptions
from ddad_jax.engine.captures.writing import capture as film
from ddad_jax.errors import InputError
from ddad_jax.sources.open import open_source

KIND = Drawing(attribute="kind")


def made(root: Path, labels: list[Path], drawing: Drawing = KIND) -> list[str]:
    """Names of the folders of test."""
    folders, wanted = captures_of([f"{root}/captures/*"]), SMALL._replace(per_defect=99)
    out = assemble(folders, root / "sets/in", "melon", wanted=wanted, labels=labels, drawing=drawing).folder
    return sorted(path.name for path in (out / "test").iterdir())


def files_beside(root: Path) -> set[str]:
    """Everything below ``root`` that no capture and no label file wrote."""
    return {str(path.relative_to(root)) for path in root.rglob("*")
            if path.is_file() and path.parts[len(root.parts)] not in ("captures", "v.json", "w.json")}  # fmt: skip


@pytest.mark.parametrize(
    "kind",
    ["../../../out", "/tmp/out", "a/b", "..", ".out", "Good", "okay", "defect-free", "CON", "x" * 201, "a\0b", True],
)
def test_a_region_that_names_no_folder_ends_the_program_before_anything_is_written(tmp_path: Path, kind: Any) -> None:
    station(tmp_path)
    labels = via(tmp_path / "v.json", {"d1_000000.png": [RECT], "d1_000001.png": [RECT, RECT]}, kind=kind)
    with pytest.raises(InputError, match=r"v\.json, 'd1_000000\.png', region 0: .*'kind'"):
        made(tmp_path, [labels])
    assert files_beside(tmp_path) == set()


def test_numbers_and_forms_of_unicode_name_one_folder_each(tmp_path: Path) -> None:
    station(tmp_path)
    capture(tmp_path, "p2", "flächig", visible=lambda i: True)
    labels = [
        via(tmp_path / "v.json", {"d1_000000.png": [RECT]}, kind=7),
        via(tmp_path / "w.json", {"d1_000001.png": [RECT]}, kind=unicodedata.normalize("NFD", "flächig")),
    ]
    assert made(tmp_path, labels) == ["7", "dent", "flächig", "good", "paint"]


@pytest.mark.parametrize("other", ["Dent", "DENT"])
def test_a_kind_that_another_differs_from_by_case_alone_is_refused_with_both_places(tmp_path: Path, other: str) -> None:
    station(tmp_path)
    labels = via(tmp_path / "v.json", {"p1_000000.png": [RECT]}, kind=other)
    with pytest.raises(InputError, match=r"v\.json, 'p1_000000\.png', region 0: .*d1/manifest\.json: the state"):
        made(tmp_path, [labels])
    assert files_beside(tmp_path) == set()


def test_several_kinds_are_combined_and_so_is_a_region_that_says_so(tmp_path: Path) -> None:
    station(tmp_path)
    both = {"dent": True, "rust": True}
    labels = [
        via(tmp_path / "v.json", {"d1_000000.png": [RECT]}, kind=both),
        via(tmp_path / "w.json", {"d1_000001.png": [RECT]}, kind="combined"),
    ]
    assert made(tmp_path, labels) == ["combined", "dent", "good", "paint"]
    assert len(list((tmp_path / "sets/in/melon/test/combined").iterdir())) == 2


@pytest.mark.parametrize(
    ("manifest", "says"),
    [
        ({"state": "OK"}, "state 'OK'; expected normal, hard"), ({"state": "Normal"}, "state 'Normal'; expected"),
        ({"state": "HARD"}, "state 'HARD'"), ({"state": "no_defect"}, "state 'no_defect'"),
        ({"state": "aux"}, "the state is 'aux': is a device of Windows"), ({"state": "x" * 250}, "250 bytes"),
        ({"state": "../x"}, "the state is '../x'"), ({"state": ""}, "the state is ''"),
        ({"recording": "N1"}, "'N1' and 'n1' .*differ by case"), ({"recording": "com7"}, "name is 'com7': is a device"),
        ({"recording": "x" * 250}, "250 bytes"), ({"recording": "../x"}, r"name is '\.\./x'"),
    ],
)  # fmt: skip
def test_a_manifest_written_by_hand_names_no_folder_outside(
    tmp_path: Path, manifest: dict[str, str], says: str
) -> None:
    station(tmp_path)
    file = tmp_path / "captures/p1/manifest.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | manifest))
    with pytest.raises(InputError, match=rf"manifest\.json: .*{says}"):
        made(tmp_path, [], Drawing())
    assert files_beside(tmp_path) == set()


@pytest.mark.parametrize(
    ("column", "cell"),
    [
        ("file", "frames/../../p1/frames/000001.png"), ("file", "/etc/hosts"), ("file", "frames/.."),
        ("file", "frames"),
        ("file", "frames/000002.png"), ("file", "masks/000001.png"), ("file", "frames/000001_mask.png"),
        ("mask", "../../secret.png"), ("mask", "masks/000002.png"), ("depth", "depth//etc/hosts"),
        ("depth", "frames/000001.png"),
        ("index", "2"),
    ],
)  # fmt: skip
def test_a_row_written_by_hand_names_the_files_of_its_own_frame_only(tmp_path: Path, column: str, cell: str) -> None:
    folder = capture(tmp_path, "p1", "paint", visible=lambda i: True)
    rows = list(csv.DictReader((folder / "frames.csv").open(newline="")))
    rows[1][column] = cell
    rewritten(folder, rows)
    with pytest.raises(InputError, match=r"frames\.csv, line 3: not a row of a capture"):
        read_capture(folder)


def test_a_frame_has_one_row(tmp_path: Path) -> None:
    folder = capture(tmp_path, "p1", "paint", visible=lambda i: True)
    rows = list(csv.DictReader((folder / "frames.csv").open(newline="")))
    rewritten(folder, [*rows[:-1], rows[0]])
    with pytest.raises(InputError, match=r"frames\.csv: frame 0 has more than one row"):
        read_capture(folder)


def rewritten(folder: Path, rows: list[dict[str, str]]) -> None:
    """frames.csv, and its digest as if the capture had written it."""
    table = io.StringIO(newline="")
    writer = csv.DictWriter(table, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    (folder / "frames.csv").write_text(table.getvalue())
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["sha256"] = hashlib.sha256(table.getvalue().encode()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_two_pictures_that_would_be_one_file_are_refused_by_the_writer(tmp_path: Path) -> None:
    captures = [read_capture(capture(tmp_path, name, "paint", folder=f"{i}")) for i, name in enumerate(("p1", "P1"))]
    chosen = [ChosenFrame(one, one.frames[0], "test", "paint", Label("", None, "")) for one in captures]
    with pytest.raises(InputError, match=r"test/paint/P1_000000\.png and test/paint/p1_000000\.png would be one file"):
        write_files(tmp_path / "set", chosen, Drawing())


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"state": "Normal"}, "--state=Normal: cannot be used; say normal"), ({"state": "ok"}, "say normal"),
        ({"state": "Defect-free"}, "say normal"), ({"state": "Hard"}, "say normal"), ({"state": "nul"}, "device"),
        ({"product": "..", "state": "dent"}, "--product"), ({"product": "prn.x"}, "--product=prn.x: .*device"),
        ({"recording": "x" * 201}, "--recording=.*201 bytes"), ({"recording": "a/../b"}, "--recording"),
    ],
)  # fmt: skip
def test_flags_of_a_capture_are_judged_alike(tmp_path: Path, asked: dict[str, str], says: str) -> None:
    capture(tmp_path, "p1")
    source = str(tmp_path / "captures/p1/frames")
    with pytest.raises(InputError, match=says):
        film(CaptureOptions(source, tmp_path / "a", **{"product": "melon", "state": "dent", **asked}), open=open_source)
    assert not (tmp_path / "a").exists()


def test_a_set_whose_manifest_names_other_files_is_not_taken_for_the_one_made_before(tmp_path: Path) -> None:
    station(tmp_path)
    made(tmp_path, [], Drawing())
    file = tmp_path / "sets/in/melon/manifest.json"
    manifest = json.loads(file.read_text())
    manifest["files"]["../../../captures/p1/frames/000000.png"] = next(iter(manifest["files"].values()))
    file.write_text(json.dumps(manifest))
    with pytest.raises(InputError, match=r"manifest\.json cannot be used"):
        made(tmp_path, [], Drawing())
