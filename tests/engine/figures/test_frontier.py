"""The fine teacher, and speed against accuracy."""

from html import unescape
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
import tiny_runs
from PIL import Image

from ddad_jax.backbones import feature_fn
from ddad_jax.engine.figures.frontier import best_spots, best_ways, frontier, frontier_figure, frontier_table
from ddad_jax.engine.methods.ddad.evidence import teacher_of, teacher_x0
from ddad_jax.engine.pipeline import run_all
from ddad_jax.engine.store.tables import read_jsonl
from ddad_jax.errors import InputError
from ddad_jax.pair_program import PairProgram
from ddad_jax.points import recon_grid
from ddad_jax.schedule import alpha_bar_table
from ddad_jax.sweep import sweep_distances
from experiments.configs import fast_sampling

pytestmark = pytest.mark.drawn

POINT: dict[str, Any] = {
    "w": (1.0,),
    "t_prime": (60,),
    "steps": (2,),
    "eta": (1.0,),
    "grid": ("trailing",),
    "seed": (0,),
}


def row(
    steps: int, seed: int, *, solver: str = "ddim", selected: bool = False, auroc: float = 0.9, **how: Any
) -> dict[str, Any]:
    return {
        "w": 3.0, "t_prime": 250, "steps": steps, "eta": 0.0, "grid": "trailing", "seed": seed, "solver": solver,
        "start_noise": 1.0, "fade": 1.0, "blend_max": 0.0, "rise": 0.0, "reuse": 1, "model": "teacher", "v": 7.0,
        "layers": "layer2", "sigma": 1.0,
        "standardise": False, "image_auroc": auroc, "teacher_rmse": 1.0 / steps, "ms_per_image": 2.0 * steps,
        "unet_calls": steps, "selected": selected, **how,
    }  # fmt: skip


def tiny_program() -> PairProgram:
    predictor = tiny_runs.eps_fn(None, tiny_runs.init_params(None, 0))
    features = feature_fn(tiny_runs.BACKBONE, tiny_runs.variables())
    return PairProgram(lambda _: (predictor, features), None, alpha_bar=jnp.asarray(alpha_bar_table()))


def test_a_teacher_keeps_what_a_sampler_cannot_change() -> None:
    (point,) = recon_grid(**{**POINT, "solver": ("unipc2",), "grid": ("log_snr",), "start_noise": (0.0,)})
    teacher = teacher_of(point, 100)
    assert (teacher.steps, teacher.solver, teacher.eta, teacher.grid) == (100, "dpm2m", 0.0, "log_snr_continuous")
    assert (teacher.w, teacher.t_prime, teacher.seed, teacher.start_noise) == (1.0, 60, 0, 0.0)
    assert teacher_of(point._replace(model="student"), 100) == teacher


def test_the_teacher_is_at_no_distance_from_itself_and_more_steps_come_nearer() -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)
    how: dict[str, Any] = {"eta": (0.0,), "solver": ("dpm2m",), "grid": ("log_snr_continuous",)}
    points = recon_grid(**{**POINT, **how, "steps": (1, 5, 60)})
    run = tiny_program()
    teacher = teacher_x0(run, images, points, steps=60, chunk=4)
    found = [
        teacher.columns(point, d.x0)["teacher_rmse"]
        for point, d in sweep_distances(run, images, points, chunk=4, keep_x0=True, timer=lambda: 0.0)
        if d.x0 is not None
    ]
    assert found[2] < 1e-6
    assert found[2] < found[1] < found[0]
    assert 0 < teacher.columns(points[0], teacher.of(points[0]))["teacher_floor"] < found[1]


def test_a_line_of_the_frontier_is_one_way_to_sample_over_its_seeds() -> None:
    rows = [row(k, s, solver=name, auroc=0.8 + 0.01 * s, selected=(k, name) == (2, "ddim"))
            for k in (1, 2) for s in (0, 1, 2) for name in ("ddim", "dpm2m")]  # fmt: skip
    other = row(1, 0, auroc=0.1, w=5.0)
    spots = frontier([*rows, other])
    assert [(s.way, s.calls, len(s.rows)) for s in spots] == [
        ("ddim", 1, 3), ("ddim", 2, 3), ("dpm2m", 1, 3), ("dpm2m", 2, 3),
    ]  # fmt: skip
    mean, low, high = spots[0].values["image_auroc"]
    assert (
        mean == pytest.approx(0.81) and high - mean == pytest.approx(4.303 * 0.01 / np.sqrt(3), rel=1e-3) == mean - low
    )
    assert [r["image_auroc"] for r in frontier_table(rows)] == pytest.approx([0.81] * 4)


def test_a_way_is_among_the_best_where_nothing_of_as_few_calls_beats_it() -> None:
    rows = [row(k, 0, solver="ddim", auroc=0.8, teacher_rmse=0.3, selected=k == 3) for k in (1, 3)]
    rows += [row(3, 0, solver="dpm2m", auroc=0.9, teacher_rmse=0.5), row(1, 0, solver="unipc2", auroc=0.7)]
    assert best_ways(frontier(rows)) == ["ddim", "dpm2m"]
    assert best_ways(frontier(rows), most=1) == ["ddim"]


def test_a_best_way_is_shown_where_it_first_leads_and_the_selected_spot_not_twice() -> None:
    rows = [row(k, 0, auroc=0.8, teacher_rmse=0.3 / k, selected=k == 10) for k in (1, 3, 10)]
    rows += [row(k, 0, solver="dpm2m", auroc=0.9 if k > 1 else 0.1, teacher_rmse=0.4 / k) for k in (1, 3, 5)]
    rows += [row(3, 0, solver="heun", auroc=0.2, teacher_rmse=0.9)]
    assert [(s.way, s.calls) for s in best_spots(frontier(rows), 6)] == [("ddim", 1), ("dpm2m", 3)]
    assert [(s.way, s.calls) for s in best_spots(frontier(rows), 1)] == [("ddim", 1)]
    assert best_spots(frontier(rows[2:3]), 6) == []


def test_whole_calls_stand_beside_the_others_where_they_differ() -> None:
    plain = [row(k, 0, selected=k == 5, whole_calls=k) for k in (2, 5)]
    assert all("whole_calls" not in r for r in frontier_table(plain))
    reused = row(5, 0, reuse=2, whole_calls=3)
    found = {(r["way"], r["steps"]): r["whole_calls"] for r in frontier_table([*plain, reused])}
    assert found == {("ddim", 2): 2, ("ddim", 5): 5, ("reuse 2", 5): 3}


def test_a_way_is_named_by_what_is_not_as_published() -> None:
    rows = [row(2, 0, selected=True), row(2, 0, start_noise=0.0), row(2, 0, solver="heun", rise=0.5, model="teacher")]
    assert {spot.way for spot in frontier(rows)} == {"ddim", "ddim, start noise 0", "heun, rise 0.5"}


def test_the_figure_is_drawn_where_calls_vary_and_only_there(tmp_path: Path) -> None:
    rows = [row(k, s, selected=k == 2) for k in (1, 2, 5) for s in (0, 1)]
    drawn = frontier_figure(rows, tmp_path / "f.png")
    assert drawn is not None and np.asarray(Image.open(drawn)).std() > 5
    assert frontier_figure(rows[:2], tmp_path / "none.png") is None
    assert frontier_figure([row(1, 0), row(2, 0)], tmp_path / "none.png") is None  # nothing is selected
    assert not (tmp_path / "none.png").exists()


@pytest.mark.parametrize("name", ["demo", "folder", "mtd"])
def test_a_study_keeps_the_model_of_what_it_studies(name: str) -> None:
    study, studied = fast_sampling.get_config(name), fast_sampling.STUDIED[name]()
    for section in ("data", "model", "train", "backbone", "adapt", "score"):
        assert study[section].to_dict() == studied[section].to_dict()
    assert study.teacher == 100
    with pytest.raises(InputError, match="demo, folder, mtd"):
        fast_sampling.get_config("cans")


def test_a_run_with_a_teacher_reports_the_frontier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_runs.small_predictor(monkeypatch.setattr)
    tiny_runs.small_backbone(monkeypatch.setattr)
    root = tiny_runs.folder(tmp_path / "data")
    changes: dict[str, Any] = {
        "teacher": 20,
        "sweep__steps": (1, 3),
        "sweep__solver": ("ddim", "dpm2m"),
        "sample__eta": 0.0,
    }
    run_all(tiny_runs.config(root, **changes), tmp_path / "w", sweep=True)
    rows = read_jsonl(tmp_path / "w" / "results.jsonl")
    assert all(r["teacher_rmse"] > r["teacher_floor"] > 0 and r["teacher"] == 20 for r in rows)
    assert {(r["teacher_solver"], r["teacher_grid"]) for r in rows} == {("dpm2m", "log_snr_continuous")}
    by = {(r["solver"], r["steps"]): r["teacher_rmse"] for r in rows}
    assert by["ddim", 3] < by["ddim", 1] == pytest.approx(by["dpm2m", 1], rel=1e-3)
    page = (tmp_path / "w" / "report.html").read_text()
    assert "Speed against accuracy" in page and "redrawn by the selected point's fine teacher" in unescape(page)
    assert len(list((tmp_path / "w" / "side_by_side").iterdir())) == len(rows)
