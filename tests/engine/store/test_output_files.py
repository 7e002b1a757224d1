"""Every picture has files of its own, below the folder that they belong to, or nothing is written."""

import itertools
from pathlib import Path

import pytest

from ddad_jax.engine.store import output_files
from ddad_jax.engine.store.output_files import inside, output_names, require_told_apart
from ddad_jax.errors import InputError


def test_names_are_those_of_mvtec_where_stems_differ() -> None:
    names = [
        "bolt/test/bent/000.png",
        "bolt/test/bent/001.JPG",
        "bolt/test/rust/000.bmp",
        "bolt/test/rust/1.5.png",
        "x/0000",
    ]
    ours = ["bolt/test/bent/000.tiff", "bolt/test/bent/001.tiff", "bolt/test/rust/000.tiff", "bolt/test/rust/1.5.tiff",
            "x/0000.tiff"]  # fmt: skip
    assert output_names(names, ".tiff") == ours


@pytest.mark.parametrize(
    "names",
    [
        ["a/0.png", "a/0.bmp"],
        ["a/0.png", "a/0.PNG", "a/0.jpg", "b/0.png"],
        ["a/0.png", "a/0.bmp", "a/0.bmp.png"],  # whose stem is what the second keeps
        ["a/0.png", "a/0.bmp", "a/0.bmp.png", "a/0.bmp.png.jpg", "a/0.png.tif"],
        ["a/0", "a/0.png"],
    ],
)
def test_no_two_pictures_have_one_file_in_whatever_order_they_come(names: list[str]) -> None:
    found = dict(zip(names, output_names(names, ".tiff"), strict=True))
    assert len({*found.values()}) == len(names)
    for order in itertools.permutations(names):
        assert output_names(order, ".tiff") == [found[name] for name in order]
    unique = [name for name in names if name.startswith("b/")]
    assert all(found[name] == "b/0.tiff" for name in unique)


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["a/0.png", "../0.png"], r"picture '\.\./0\.png': .*leads out"),
        (["/tmp/0.png"], "leads out"),
        (["a/0.png", "a/0.png"], r"a/0\.png: 2 pictures .* have this name"),
        (["a/0.png", "a//0.png"], "2 pictures .* have this name"),
        (["."], "picture"),
        ([f"a/{'x' * 251}.png"], "256 bytes"),
        ([f"{'ä' * 126}.png", f"{'ä' * 126}.bmp"], "261 bytes"),
    ],
)
def test_what_cannot_have_a_file_of_its_own_is_refused_by_name(names: list[str], told: str) -> None:
    with pytest.raises(InputError, match=told):
        output_names(names, ".tiff")


def test_room_for_what_is_put_around_a_name_counts() -> None:
    assert output_names([f"{'x' * 250}.png"], ".png")
    with pytest.raises(InputError, match="264 bytes"):
        output_names([f"{'x' * 250}.png"], ".png", room=10)


def test_names_that_differ_by_case_are_refused_where_the_file_system_does_not_tell_them_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs = ["A/0.png", "A/1.png", "a/0.png"]
    monkeypatch.setattr(output_files, "_tells_apart", lambda folder, one, other: False)
    with pytest.raises(InputError, match=r"A/0\.png and a/0\.png are one file"):
        require_told_apart(tmp_path, outputs)
    require_told_apart(tmp_path, outputs[:2])
    monkeypatch.undo()
    if output_files._tells_apart(tmp_path, "A/0.png", "a/0.png"):
        require_told_apart(tmp_path, outputs)
    assert not list(tmp_path.iterdir()), "what was tried is gone"


def test_a_file_is_below_its_folder_through_links_too(tmp_path: Path) -> None:
    folder = tmp_path / "maps"
    folder.mkdir()
    assert inside(folder, "a/0.png") == folder / "a/0.png"
    (tmp_path / "elsewhere").mkdir()
    (folder / "a").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="Remove the link"):
        inside(folder, "a/0.png")
    with pytest.raises(InputError, match="leads out"):
        inside(folder, "../0.png")
    (tmp_path / "linked").symlink_to(folder)
    assert inside(tmp_path / "linked", "b/0.png") == tmp_path / "linked/b/0.png"
