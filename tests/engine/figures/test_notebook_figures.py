"""The figures that explain: rows of pictures, the blend over time, a sweep beside the paper, bars of stages."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ddad_jax.engine.figures.blend import blend_figure
from ddad_jax.engine.figures.picture_rows import picture_rows
from ddad_jax.engine.figures.stage_bars import stage_bars
from ddad_jax.errors import InputError
from ddad_jax.schedule import alpha_bar_table
from experiments.papers.beside_paper import beside_paper, beside_paper_table
from experiments.papers.numbers import tables

pytestmark = pytest.mark.drawn


def drawn(path: Path | None) -> np.ndarray:
    assert path is not None
    return np.asarray(Image.open(path).convert("RGB"))


def row(value: float, image: float, **more: object) -> dict[str, object]:
    return {"w": value, "seed": 0, "image_auroc": image, "pixel_auroc": 0.5, **more}


def test_pictures_of_the_networks_and_of_files_look_alike(tmp_path: Path) -> None:
    u8 = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), np.uint8)
    as_float = u8.astype(np.float32) / 127.5 - 1
    of_file = drawn(picture_rows({"row": u8}, tmp_path / "a.png", titles=["1", "2", "3"]))
    assert np.array_equal(of_file, drawn(picture_rows({"row": as_float}, tmp_path / "b.png", titles=["1", "2", "3"])))
    # What is beyond the range is cut off, not wrapped around.
    assert np.array_equal(
        drawn(picture_rows({"row": np.full((1, 8, 8, 3), 3.0)}, tmp_path / "c.png")),
        drawn(picture_rows({"row": np.full((1, 8, 8, 3), 255, np.uint8)}, tmp_path / "d.png")),
    )


def test_maps_share_the_scale_that_is_asked_for(tmp_path: Path) -> None:
    low, high = np.linspace(0, 1, 64).reshape(1, 8, 8), np.linspace(0, 9, 64).reshape(1, 8, 8)
    apart = drawn(picture_rows({"": low, " ": high}, tmp_path / "a.png"))
    together = drawn(picture_rows({"": low, " ": high}, tmp_path / "b.png", range_of_maps="all"))
    top = len(apart) // 2
    assert np.abs(apart[:top].astype(int) - apart[-top:]).mean() < 12  # only where the rows begin differs
    assert together[:top].mean() < apart[:top].mean() - 20  # dark beside the other


def test_rows_of_other_lengths_and_none(tmp_path: Path) -> None:
    rows = {"two": np.zeros((2, 8, 8, 3), np.uint8), "one": np.zeros((1, 8, 8, 3), np.uint8)}
    assert picture_rows(rows, tmp_path / "a.png")
    assert picture_rows({}, tmp_path / "b.png") is None
    assert picture_rows({"none": np.zeros((0, 8, 8, 3))}, tmp_path / "b.png") is None
    with pytest.raises(InputError, match=r"grey: \(2, 8, 8, 1\)"):
        picture_rows({"grey": np.zeros((2, 8, 8, 1))}, tmp_path / "b.png")
    with pytest.raises(InputError, match="range_of_maps"):
        picture_rows(rows, tmp_path / "b.png", range_of_maps="column")
    assert not (tmp_path / "b.png").exists()


def test_the_blend_is_drawn_for_times_of_the_table(tmp_path: Path) -> None:
    table = alpha_bar_table()
    some = drawn(blend_figure((0.0, 3.0), (250, 150, 50), table, tmp_path / "a.png"))
    assert not np.array_equal(some, drawn(blend_figure((0.0, 1.0), (250, 150, 50), table, tmp_path / "b.png")))
    for ws, times in (((), (250,)), ((1.0,), ()), ((1.0,), (1000,)), ((1.0,), (-1, 5))):
        with pytest.raises(InputError, match="times from 0"):
            blend_figure(ws, times, table, tmp_path / "c.png")


def test_ours_and_the_papers_numbers_stand_in_one_row() -> None:
    rows = [row(0.0, 0.5), row(3.0, 0.8), row(3.0, 0.9), row(9.0, float("nan")), row(7.5, 0.7)]
    found = {line["w"]: line for line in beside_paper_table(rows, tables()["12"], setting="w")}
    assert list(found) == [0, 1, 2, 3, 4, 5, 6, 7.5, 9]
    assert found[3]["image AUROC"] == pytest.approx(85.0)  # the mean over seeds, in per cent
    assert found[0]["image AUROC, paper"] == pytest.approx(85.74, abs=0.01)  # Table 12 prints none: the mean of w = 0
    assert found[0]["image AUROC, its categories"] == "61.2 to 100.0"
    assert found[7.5]["image AUROC, paper"] is None and found[9]["image AUROC"] is None


def test_a_printed_average_comes_before_a_mean_and_another_network_is_left_out() -> None:
    rows = [{"steps": 10, "image_auroc": 0.9, "pixel_auroc": 0.9}]
    found = beside_paper_table(rows, tables()["6"], setting="steps")
    assert [line["steps"] for line in found] == [5, 10, 25]  # not DDAD-S-10
    assert found[1]["image AUROC, paper"] == 99.8


def test_a_sweep_beside_the_paper_is_drawn(tmp_path: Path) -> None:
    one = drawn(beside_paper([row(0.0, 0.9), row(3.0, 0.95)], tables()["12"], tmp_path / "a.png", setting="w"))
    other = drawn(beside_paper([row(0.0, 0.9), row(3.0, 0.7)], tables()["12"], tmp_path / "b.png", setting="w"))
    assert one.shape == other.shape and not np.array_equal(one, other)
    assert beside_paper([{"w": 0.0}], tables()["12"], tmp_path / "c.png", setting="w") is None
    assert not (tmp_path / "c.png").exists()


def test_bars_grow_with_their_stages(tmp_path: Path) -> None:
    ways = {"one device": {"training": 100.0, "sweep": 300.0}, "eight": {"training": 100.0, "sweep": 40.0}}
    assert drawn(stage_bars(ways, tmp_path / "a.png")).std() > 5
    assert stage_bars({}, tmp_path / "b.png") is None
    assert stage_bars({"one": {"training": 0.0}}, tmp_path / "b.png") is None
    with pytest.raises(InputError, match="one, training: -1"):
        stage_bars({"one": {"training": -1.0}}, tmp_path / "b.png")
