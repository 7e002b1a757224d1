"""Which point synthetic defects choose."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_runs
from ml_collections import ConfigDict

from ddad_jax.engine.methods.ddad.calls import Calls
from ddad_jax.engine.methods.ddad.points import config_point, ddad_plan, ddad_point_of
from ddad_jax.engine.methods.point import Plan, point_settings
from ddad_jax.engine.sweep.choice import best_on_synthetic
from ddad_jax.errors import InputError


def rows_of(todo: Plan, worth: Any) -> list[dict[str, Any]]:
    """A row for every point; ``worth``: (point, score) -> the metric on synthetic defects."""
    return [
        {**point_settings(p, s), "synthetic_image_auroc": float(worth(p, s)), "synthetic_aupro_30": float(worth(p, s))}
        for p in todo.costly
        for s in todo.cheap
    ]


def a_plan(tmp_path: Path, **changes: Any) -> Plan:
    return ddad_plan(tiny_runs.config(tmp_path, select="synthetic", **changes), sweep=True)


def test_the_best_over_all_seeds_is_chosen(tmp_path: Path) -> None:
    todo = a_plan(tmp_path, sweep__w=(0.0, 1.0), sweep__v=(0.0, 2.0), sweep__seed=(0, 1), sample__w=0.0)
    # The luckiest single seed belongs to w = 0, the best mean to w = 1, v = 2.
    value = {(0.0, 0): 0.9, (0.0, 1): 0.1, (1.0, 0): 0.6, (1.0, 1): 0.7}
    (point, score), worth = best_on_synthetic(
        todo, rows_of(todo, lambda p, s: value[p.w, p.seed] + 0.01 * s.v), Calls(1)
    )
    assert (point.w, score.v) == (1.0, 2.0) and worth == pytest.approx(0.67)


def test_the_chosen_point_is_one_that_was_computed(tmp_path: Path) -> None:
    """The config's own point exists with the first seed of the sweep alone, whichever number that is."""
    todo = a_plan(tmp_path, sweep__w=(0.0, 1.0), sweep__seed=(1, 0), sample__w=3.0)
    (point, _), _ = best_on_synthetic(todo, rows_of(todo, lambda p, s: p.w), Calls(1))
    assert point.w == 3.0 and point in todo.costly


def test_a_point_that_diverged_for_one_seed_is_not_chosen(tmp_path: Path) -> None:
    todo = a_plan(tmp_path, sweep__w=(0.0, 1.0), sweep__seed=(0, 1), sample__w=0.0)
    rows = rows_of(todo, lambda p, s: np.nan if (p.w, p.seed) == (1.0, 1) else p.w + 0.1)
    assert best_on_synthetic(todo, rows, Calls(1))[0][0].w == 0.0
    with pytest.raises(InputError, match="no point"):
        best_on_synthetic(todo, rows_of(todo, lambda p, s: np.nan), Calls(1))


def test_of_equals_the_one_with_fewest_calls(tmp_path: Path) -> None:
    todo = a_plan(tmp_path, sweep__steps=(1, 2), sample__steps=2)
    assert best_on_synthetic(todo, rows_of(todo, lambda p, s: 0.5), Calls(1))[0][0].steps == 1


def test_parts_of_a_sweep_are_more_sweeps_and_not_its_product(tmp_path: Path) -> None:
    parts = ConfigDict({"solvers": {"solver": ("dpm2m", "heun"), "steps": (1, 2)}, "starts": {"rise": (0.5, 1.0)}})
    c = tiny_runs.config(tmp_path, sweep__parts=parts, sweep__seed=(3, 4), sample__steps=2, sweep__w=(1.0,))
    todo = ddad_plan(c, sweep=True)
    assert len(set(todo.costly)) == len(todo.costly)
    own = {(p.solver, p.steps, p.rise, p.w, p.seed) for p in todo.costly}
    w = todo.selected[0].w  # type: ignore[index]
    seeds = [(*way, seed) for seed in (3, 4) for way in (
        ("ddim", 2, 0.0, 1.0),
        ("dpm2m", 1, 0.0, w), ("dpm2m", 2, 0.0, w), ("heun", 1, 0.0, w), ("heun", 2, 0.0, w),
        ("ddim", 2, 0.5, w), ("ddim", 2, 1.0, w),
    )]  # fmt: skip
    assert own == {*seeds, ("ddim", 2, 0.0, w, 3)}


def test_of_equal_verdicts_the_better_outline_is_chosen(tmp_path: Path) -> None:
    todo = a_plan(tmp_path, sweep__v=(0.0, 2.0, 5.0))
    rows = [
        {**row, "synthetic_image_auroc": 0.9 if row["v"] else 0.8} for row in rows_of(todo, lambda p, s: 1 - 0.1 * s.v)
    ]
    assert best_on_synthetic(todo, rows, Calls(1))[0][1].v == 1.0  # the config's own


def test_a_point_is_read_back_from_its_row(tmp_path: Path) -> None:
    todo = a_plan(tmp_path, sweep__w=(0.0, 2.5), sweep__layers=(("layer1", "layer3"),), sweep__standardise=(True,))
    for point in todo.costly:
        for score in todo.cheap:
            assert ddad_point_of(point_settings(point, score)) == (point, score)


@pytest.mark.parametrize(
    "changed",
    [{"solver": "x"}, {"steps": "3"}, {"layers": "layer9"}, {"w": -1.0}, {"layers": 3}, {"v": "high"}],
    ids=str,
)
def test_a_row_that_is_no_point_is_refused(tmp_path: Path, changed: dict[str, Any]) -> None:
    todo = a_plan(tmp_path)
    row = {**point_settings(todo.costly[0], todo.cheap[0]), **changed}
    with pytest.raises((InputError, ValueError, TypeError, AttributeError)):
        ddad_point_of(row)


def test_a_part_that_cannot_be_is_refused_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--config\.sweep\.parts\.late\.w=\(1\.0, -1\.0\)"):
        tiny_runs.config(tmp_path, sweep__parts=ConfigDict({"late": {"w": (1.0, -1.0)}}))
    c = tiny_runs.config(tmp_path, sweep__parts=ConfigDict({"late": {"steps": (300,)}}))
    with pytest.raises(InputError, match=r"--config\.sweep\.parts\.late: steps = 300"):
        ddad_plan(c, sweep=True)


def test_a_row_of_before_features_had_a_weight_is_of_weight_1(tmp_path: Path) -> None:
    point, score = config_point(tiny_runs.config(tmp_path))
    row = point_settings(point, score)
    del row["feature_weight"]
    assert ddad_point_of(row) == (point, score) and score.feature_weight == 1.0


def test_a_sweep_of_both_weights_leaves_out_the_map_of_nothing(tmp_path: Path) -> None:
    c = tiny_runs.config(tmp_path, sweep__v=(0.0, 1.0), sweep__feature_weight=(0.0, 1.0))
    weights = [(score.v, score.feature_weight) for score in ddad_plan(c, sweep=True).cheap]
    assert sorted(weights) == [(0.0, 1.0), (1.0, 0.0), (1.0, 1.0)]
    with pytest.raises(InputError, match=r"--config\.score\.v=0.0: expected above 0 where score.feature_weight is 0"):
        tiny_runs.config(tmp_path, score__v=0.0, score__feature_weight=0.0)
