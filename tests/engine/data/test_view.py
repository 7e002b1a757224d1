"""A run on tiles and under a mask: whole pictures are judged, and what is masked out is not."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_runs
from trees import save, square_mask

from ddad_jax.data.load import Picture
from ddad_jax.data.read import read_image
from ddad_jax.engine.data.splits import load_data
from ddad_jax.engine.data.view import reference_picture
from ddad_jax.engine.pipeline import run_all
from ddad_jax.engine.settings.section import changed
from ddad_jax.engine.settings.sections import Settings
from ddad_jax.engine.sweep.selected import load_selected
from ddad_jax.errors import InputError
from ddad_jax.vision.tiles import cut

SIDES = (48, 64)
MASK = {"format": 1, "size": [20, 28], "views": {"bolt": {"ignore": [[[0, 0], [14, 0], [14, 20], [0, 20]]]}}}


@pytest.fixture(autouse=True)
def small_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_runs.small_predictor(monkeypatch.setattr)
    tiny_runs.small_backbone(monkeypatch.setattr)


def masked(root: Path, **changes: Any) -> Any:
    (root / "masks.json").write_text(json.dumps(MASK))
    return tiny_runs.config(root, view__mask=str(root / "masks.json"), **changes)


def test_tiles_are_trained_on_and_whole_pictures_are_judged(root: Path, tmp_path: Path) -> None:
    c = tiny_runs.config(root, data__picture=SIDES, data__overlap=8)
    data = load_data(c)
    assert data.view.tiling is not None and data.view.tiles == 6
    assert (data.n_fit, data.n_held_out) == (5, 4)
    assert data.fit.images.shape == (5 * 6, 32, 32, 3) and data.test.images.shape == (5, *SIDES, 3)
    assert data.shown.shape == ((4 + 5) * 6, 32, 32, 3)
    np.testing.assert_array_equal(data.shown[4 * 6 :], cut(data.test.images, data.view.tiling))
    (row,) = run_all(c, tmp_path / "w", sweep=False)
    found = load_selected(tmp_path / "w")
    assert found["maps"].shape == found["pixel"].shape == (5, *SIDES) and found["x0"].shape == (5, *SIDES, 3)
    np.testing.assert_allclose(found["scores"], found["maps"].max((1, 2)))
    assert 0 <= row["pixel_auroc"] <= 1 and row["unet_calls"] == 6 * 2 and row["tiles"] == "2 x 3 of 32 px"


def test_fewer_tiles_are_trained_on_where_that_is_asked(root: Path) -> None:
    data = load_data(tiny_runs.config(root, data__picture=SIDES, data__overlap=8, data__train_tiles=7))
    assert len(data.fit.names) == 7 and data.fit.names[0].endswith("_y0000_x0000.png")
    stem, row, column = re.fullmatch(r"(.*)_y(\d+)_x(\d+).png", data.fit.names[3]).groups()
    row, column, whole = int(row), int(column), read_image(root / f"{stem}.png", SIDES)
    np.testing.assert_array_equal(data.fit.images[3], whole[row : row + 32, column : column + 32])


def test_a_mask_reaches_distances_or_maps_as_asked(root: Path, tmp_path: Path) -> None:
    c = masked(root, sweep__mask_before=(False, True), sweep__mask_after=(False, True), at_threshold=True)
    rows = run_all(c, tmp_path / "w", sweep=True)
    assert [(r["mask_before"], r["mask_after"]) for r in rows] == [(b, a) for b in (False, True) for a in (False, True)]
    assert len({r["mask"] for r in rows}) == 1
    plain, after, before, both = rows
    assert plain["ratio"] == after["ratio"] != before["ratio"] == both["ratio"]  # a mask before changes the scale
    assert all(0 <= r["accuracy"] <= 1 for r in rows)


@pytest.mark.parametrize("flag", ["sample__mask_before", "score__mask_after"])
def test_nothing_that_is_masked_out_is_found(root: Path, tmp_path: Path, flag: str) -> None:
    run_all(masked(root, **{flag: True}), tmp_path / "w", sweep=False)
    found = load_selected(tmp_path / "w")
    watched = np.zeros((32, 32), bool)
    watched[:, 16:] = True
    outside, inside = found["maps"][:, ~watched], found["maps"][:, watched]
    if flag == "score__mask_after":
        assert (outside == 0).all()
    else:
        assert (found["pixel"][:, ~watched] == 0).all()
    assert (found["scores"] == inside.max(1)).all() or flag == "sample__mask_before"


def test_tiles_and_a_mask_before_go_together(root: Path, tmp_path: Path) -> None:
    c = masked(root, data__picture=SIDES, data__overlap=8, sample__mask_before=True)
    run_all(c, tmp_path / "w", sweep=False)
    found = load_selected(tmp_path / "w")
    assert (found["pixel"][:, :, :31] == 0).all() and (found["pixel"][:, :, 32:] > 0).any()


def test_a_mask_of_another_size_is_refused(root: Path, tmp_path: Path) -> None:
    save(square_mask(40, 56), tmp_path / "mask.png")
    with pytest.raises(InputError, match="is for pictures of 40 x 56.*are 20 x 28"):
        load_data(tiny_runs.config(root, view__mask=str(tmp_path / "mask.png")))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"sample__mask_before": True}, "sample.mask_before=True: expected False, or the mask of the view"),
        ({"sweep__mask_after": (False, True)}, "sweep.mask_after=.*expected False, or the mask"),
        ({"data__picture": (16, 64)}, "data.picture=.*sides of at least data.size = 32"),
        ({"data__picture": (64,)}, r"data.picture=.*expected \(\) or \(height, width\)"),
        ({"data__picture": SIDES, "data__overlap": 32}, "data.overlap=32: expected 0 up to below"),
        ({"data__picture": SIDES, "data__overlap": 8, "sample__rise": 0.5}, "sample.rise=0.5: expected 0"),
        ({"view__register": "yes"}, "view.register='yes': expected one of '', scored, all"),
    ],
)
def test_settings_that_cannot_be_are_refused(root: Path, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        tiny_runs.config(root, **changes)


def test_a_reference_that_cannot_serve_is_named_with_its_flag(tmp_path: Path) -> None:
    flat = tmp_path / "flat.png"
    save(np.full((64, 64, 3), 90, np.uint8), flat)
    c = changed(Settings(), {"view.reference": str(flat)})
    with pytest.raises(InputError, match=r"--config.view.reference: .*flat.png: .*too little texture"):
        reference_picture(c, [])
    c = changed(c, {"view.reference": ""})
    with pytest.raises(InputError, match=r"--config.view.reference: .*flat.png \(where it names none, the first"):
        reference_picture(c, [Picture(flat, "flat.png", "good")])
    c = changed(c, {"view.reference": "~nobodyhere/a.png"})
    with pytest.raises(InputError, match=r"--config.view.reference: ~nobodyhere/a.png: no home folder"):
        reference_picture(c, [])
