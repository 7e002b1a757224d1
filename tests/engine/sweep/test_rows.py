"""The journal of a sweep: finished points are never computed again, and one bad point costs no other."""

import json
import logging
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
import tiny_runs

from ddad_jax.backbones import feature_fn
from ddad_jax.data.split import subset
from ddad_jax.engine.data.splits import Data
from ddad_jax.engine.methods.ddad import evidence
from ddad_jax.engine.methods.ddad.points import SETTINGS, ddad_plan
from ddad_jax.engine.store.tables import append_jsonl, read_jsonl, write_jsonl
from ddad_jax.engine.sweep.rows import compute_rows
from ddad_jax.engine.sweep.selected import load_selected
from ddad_jax.errors import InputError
from ddad_jax.metrics import METRICS
from ddad_jax.pair_program import PairProgram
from ddad_jax.points import ReconPoint
from ddad_jax.schedule import alpha_bar_table
from ddad_jax.score import anomaly_map, image_score
from ddad_jax.sweep import sweep_distances
from ddad_jax.types import Array

GRID: dict[str, Any] = {
    "sweep__w": (0.0, 2.0),
    "sweep__v": (0.0, 3.0),
    "sweep__layers": (("layer2", "layer3"), ("layer1",)),
}
SCORES = 2 * 2 + 1  # and the selected one
POINTS = (2 + 1) * SCORES
MEASURED = ("ms_per_image",)


def eps_fn(x_t: Array, t: Array) -> Array:
    return jnp.tanh(0.8 * x_t + x_t.mean((1, 2), keepdims=True))


def new_program() -> PairProgram:
    features = feature_fn(tiny_runs.BACKBONE, tiny_runs.variables())
    return PairProgram(lambda _: (eps_fn, features), None, alpha_bar=jnp.asarray(alpha_bar_table()))


@pytest.fixture(scope="module")
def program() -> PairProgram:
    return new_program()


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[ReconPoint]:
    """The points that were reconstructed, in order."""
    points: list[ReconPoint] = []

    def watched(program: Any, images: Any, wanted: Any, **how: Any) -> Iterator[Any]:
        for point, distances in sweep_distances(program, images, wanted, **how):
            points.append(point)
            yield point, distances

    monkeypatch.setattr(evidence, "sweep_distances", watched)
    return points


def swept(
    root: Path, workdir: Path, data: Data, program: PairProgram, *, sweep: bool = True, **changes: Any
) -> list[dict]:
    c = tiny_runs.config(root, **{**GRID, **changes})
    return compute_rows(c, workdir, data, tiny_runs.fitted(c, workdir, program), ddad_plan(c, sweep=sweep))


def bare(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if k not in MEASURED} for row in rows]


def test_a_row_for_every_point_with_every_setting_and_metric(
    root: Path, data: Data, program: PairProgram, tmp_path: Path, computed: list[ReconPoint]
) -> None:
    rows = swept(root, tmp_path, data, program)
    assert len(rows) == len({tuple(row[k] for k in SETTINGS) for row in rows}) == POINTS
    assert len(computed) == 3
    (selected,) = [row for row in rows if row["selected"]]
    assert (selected["w"], selected["v"], selected["layers"]) == (3.0, 1.0, "layer2+layer3")
    for row in rows:
        assert all(0 <= row[name] <= 1 for name in METRICS)
        assert row["unet_calls"] == row["steps"] == 2 and row["ms_per_image"] > 0 and row["ratio"] > 0
        assert row["backbone_name"] == "efficientnet_lite0" and row["test_set"] and row["held_out"]
    assert json.loads(json.dumps(rows)) == rows
    assert {k: v for k, v in rows[0].items() if k != "selected"} in read_jsonl(tmp_path / "journal.jsonl")


def test_the_same_command_again_computes_nothing(
    root: Path, data: Data, program: PairProgram, tmp_path: Path, computed: list[ReconPoint]
) -> None:
    rows = swept(root, tmp_path, data, program)
    kept = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    computed.clear()
    assert swept(root, tmp_path, data, program) == rows
    assert swept(root, tmp_path, data, program, sweep=False) == [row for row in rows if row["selected"]]
    assert computed == []
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == kept


@pytest.mark.parametrize("torn", [False, True])
@pytest.mark.parametrize("left", [0, 1, 7, POINTS - 1])
def test_a_sweep_goes_on_where_its_journal_ends(
    root: Path, data: Data, program: PairProgram, tmp_path: Path, computed: list[ReconPoint], left: int, torn: bool
) -> None:
    rows = swept(root, tmp_path, data, program)
    order = list(computed)
    computed.clear()
    journal = tmp_path / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:left]) + (lines[left][:-20] if torn else b""))
    assert bare(swept(root, tmp_path, data, program)) == bare(rows)
    assert computed == order[left // SCORES :], "finished points are not reconstructed again"
    assert len(read_jsonl(journal)) == POINTS
    assert journal.read_bytes().splitlines(keepends=True)[:left] == lines[:left]


def test_what_the_report_shows_is_made_again_when_it_is_gone(
    root: Path, data: Data, program: PairProgram, tmp_path: Path, computed: list[ReconPoint]
) -> None:
    rows = swept(root, tmp_path, data, program)
    before = load_selected(tmp_path)
    (tmp_path / "selected.npz").unlink()
    computed.clear()
    assert swept(root, tmp_path, data, program) == rows
    assert [point.w for point in computed] == [3.0]
    for name, array in load_selected(tmp_path).items():
        np.testing.assert_array_equal(array, before[name])


def test_new_score_points_of_known_reconstructions_leave_the_known_rows(
    root: Path, data: Data, program: PairProgram, tmp_path: Path, computed: list[ReconPoint]
) -> None:
    rows = swept(root, tmp_path, data, program)
    computed.clear()
    more = swept(root, tmp_path, data, program, sweep__w=(0.0,), sweep__v=(0.0, 9.0))
    assert [point.w for point in computed] == [0.0, 3.0]
    known = {tuple(row[k] for k in SETTINGS): row for row in rows}
    assert sum(tuple(row[k] for k in SETTINGS) in known for row in more) > 4
    assert all(known.get(tuple(row[k] for k in SETTINGS), row) == row for row in more)


@pytest.mark.parametrize(
    "changes",
    [
        {"score__normalise": "batch"},
        {"score__crop": 28},
        {"sample__clip": False},
        {"backbone__name": "resnet50"},
        {"backbone__feature_size": 64},
        {"backbone__weights": "other.pth"},
    ],
    ids=str,
)
def test_rows_made_otherwise_are_not_taken_for_these(
    root: Path, data: Data, program: PairProgram, tmp_path: Path, computed: list[ReconPoint], changes: dict[str, Any]
) -> None:
    swept(root, tmp_path, data, program, sweep=False)
    computed.clear()
    swept(root, tmp_path, data, program, sweep=False, **changes)
    assert len(computed) == 1
    swept(root, tmp_path, data, program, sweep=False)
    assert len(computed) == 2, "selected.npz is of the other run"


def test_the_batch_that_normalises_makes_the_row(
    root: Path, data: Data, program: PairProgram, tmp_path: Path, computed: list[ReconPoint]
) -> None:
    for size in (2, 3):
        swept(root, tmp_path, data, program, sweep=False, score__normalise="batch", score__batch=size)
    assert len(computed) == 2


@pytest.mark.parametrize("changed", ["test", "calibration", "fit"])
def test_other_pictures_make_other_rows(
    root: Path, data: Data, program: PairProgram, tmp_path: Path, computed: list[ReconPoint], changed: str
) -> None:
    swept(root, tmp_path, data, program, sweep=False)
    images = getattr(data, changed).images.copy()
    images[0, 0, 0] ^= 1
    other = data._replace(**{changed: getattr(data, changed)._replace(images=images)})
    swept(root, tmp_path, other, program, sweep=False)
    assert len(computed) == 2


def test_another_epoch_or_more_training_makes_other_rows(
    root: Path, data: Data, program: PairProgram, tmp_path: Path, computed: list[ReconPoint]
) -> None:
    c = tiny_runs.config(root)
    for epoch in (0, 2):
        compute_rows(c, tmp_path, data, tiny_runs.fitted(c, tmp_path, program, epoch=epoch), ddad_plan(c, sweep=False))
    append_jsonl(tmp_path / "train.jsonl", {"step": 700})
    (row,) = compute_rows(c, tmp_path, data, tiny_runs.fitted(c, tmp_path, program, epoch=2), ddad_plan(c, sweep=False))
    assert len(computed) == 3 and row["train_steps"] == 700


def test_the_chunk_and_the_order_of_the_grid_do_not_show(
    root: Path, data: Data, program: PairProgram, tmp_path: Path
) -> None:
    def by_point(rows: list[dict[str, Any]]) -> dict[tuple, dict[str, Any]]:
        return {tuple(row[k] for k in SETTINGS): row for row in rows}

    one = by_point(swept(root, tmp_path / "a", data, program))
    other = by_point(
        swept(root, tmp_path / "b", data, program, sample__batch_size=5, sweep__w=(2.0, 0.0), sweep__v=(3.0, 0.0))
    )
    assert one.keys() == other.keys()
    for point, row in one.items():
        assert [other[point][name] for name in METRICS] == pytest.approx([row[name] for name in METRICS], abs=1e-4)
        assert other[point]["ratio"] == pytest.approx(row["ratio"], rel=1e-4)


def test_a_row_is_the_point_evaluated_by_itself(root: Path, data: Data, program: PairProgram, tmp_path: Path) -> None:
    whole = swept(root, tmp_path / "whole", data, program)
    for row in whole[::4]:
        alone = swept(
            root, tmp_path / f"{row['w']}{row['v']}{row['layers']}", data, program, sweep=False,
            sample__w=row["w"], score__v=row["v"], score__layers=tuple(row["layers"].split("+")),
        )  # fmt: skip
        assert len(alone) == 1
        for name in METRICS:
            assert alone[0][name] == pytest.approx(row[name], abs=1e-4)


def test_maps_are_those_of_the_library(root: Path, data: Data, program: PairProgram, tmp_path: Path) -> None:
    swept(root, tmp_path, data, program, sweep=False, score__v=5.0)
    shown = load_selected(tmp_path)
    (row,) = read_jsonl(tmp_path / "journal.jsonl")
    sharp = [jnp.asarray(shown[name].astype(np.float32)) for name in ("pixel", "feature")]
    expected = anomaly_map(*sharp, v=5.0, ratio=row["ratio"], sigma=0.5)
    np.testing.assert_allclose(shown["maps"], expected, rtol=5e-3, atol=5e-3)  # the distances are kept as float16
    np.testing.assert_array_equal(shown["scores"], image_score(jnp.asarray(shown["maps"])))
    n = len(data.test.labels)
    assert shown["x0"].dtype == np.uint8 and shown["x0"].shape == (n, 32, 32, 3)
    assert len(shown["normal_scores"]) == len(data.calibration.labels)


def test_the_selected_point_counts_with_every_seed(
    root: Path, data: Data, program: PairProgram, tmp_path: Path
) -> None:
    rows = swept(root, tmp_path, data, program, sweep__w=(), sweep__v=(), sweep__layers=(), sweep__seed=(3, 4, 5))
    assert [(row["seed"], row["selected"]) for row in rows] == [(3, True), (4, True), (5, True)]


def test_scores_do_not_depend_on_the_other_test_images(
    root: Path, data: Data, program: PairProgram, tmp_path: Path
) -> None:
    swept(root, tmp_path / "a", data, program, sweep=False)
    images = data.test.images.copy()
    images[1] = 255 - images[1]
    other = data._replace(test=data.test._replace(images=images))
    swept(root, tmp_path / "b", other, program, sweep=False)
    scores = [load_selected(tmp_path / name)["scores"] for name in "ab"]
    np.testing.assert_allclose(np.delete(scores[0], 1), np.delete(scores[1], 1), rtol=1e-5)
    assert scores[0][1] != scores[1][1]


def test_as_published_a_batch_is_its_own_scale(root: Path, data: Data, program: PairProgram, tmp_path: Path) -> None:
    c = tiny_runs.config(root, score__normalise="batch", score__batch=2, score__crop=28)
    (row,) = compute_rows(c, tmp_path, data, tiny_runs.fitted(c, tmp_path, program), ddad_plan(c, sweep=False))
    shown = load_selected(tmp_path)
    assert shown["maps"].shape == (len(data.test.labels), 28, 28)
    ratios = []
    for first in range(0, len(data.test.labels), 2):
        d_p, d_f = (shown[name][first : first + 2].astype(np.float32) for name in ("pixel", "feature"))
        ratios += [d_f.max() / d_p.max()] * len(d_p)
    assert row["ratio"] == pytest.approx(np.mean(ratios), rel=1e-3)
    assert 0 <= row["published_pixel_auroc"] <= 1 and 0 <= row["published_pro"] <= 1


@pytest.mark.parametrize("normalise", ["held_out", "batch"])
def test_a_diverged_point_costs_no_other(
    root: Path, data: Data, program: PairProgram, tmp_path: Path, caplog: pytest.LogCaptureFixture, normalise: str
) -> None:
    with caplog.at_level(logging.WARNING):
        rows = swept(root, tmp_path, data, program, sweep__w=(0.0, 1e38), score__normalise=normalise)
    bad = [row for row in rows if row["w"] == 1e38]
    assert bad and all(row[name] is None for row in bad for name in METRICS)
    assert all(0 <= row[name] <= 1 for row in rows if row["w"] < 1e38 for name in METRICS)
    assert "'w': 1e+38" in caplog.text and "not finite" in caplog.text
    assert bare(swept(root, tmp_path, data, program, sweep__w=(0.0, 1e38), score__normalise=normalise)) == bare(rows)
    assert [row["selected"] for row in rows].count(True) == 1


def test_a_diverged_selected_point_leaves_the_others_and_no_verdict(
    root: Path, data: Data, program: PairProgram, tmp_path: Path
) -> None:
    swept(root, tmp_path, data, program)
    rows = swept(root, tmp_path, data, program, sample__w=1e38)
    assert {row["w"] for row in rows if row["image_auroc"] is not None} == {0.0, 2.0}
    with pytest.raises(InputError, match=r"selected point.*not finite.*sample\.w"):
        load_selected(tmp_path)


def test_rows_come_back_as_they_went_even_where_undefined(
    root: Path, data: Data, program: PairProgram, tmp_path: Path
) -> None:
    good = np.flatnonzero(data.test.labels == 0)
    normal = data._replace(test=subset(data.test, good))
    fresh = swept(root, tmp_path, normal, program, sweep=False)
    assert all(row[name] is None for row in fresh for name in METRICS)
    assert swept(root, tmp_path, normal, program, sweep=False) == fresh


def test_a_journal_torn_in_its_middle_is_named(root: Path, data: Data, program: PairProgram, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "journal.jsonl", [{"w": 1.0}])
    with (tmp_path / "journal.jsonl").open("a") as file:
        file.write('{"w": 2.\n{"w": 3.0}\n')
    with pytest.raises(InputError, match=r"journal\.jsonl, line 2"):
        swept(root, tmp_path, data, program, sweep=False)


def test_rows_of_other_parameters_are_set_aside(root: Path, data: Data, tmp_path: Path, program: PairProgram) -> None:
    """As after a second training in the same workdir: as many steps, other parameters."""
    (row,) = swept(root, tmp_path, data, program, sweep=False)
    features = feature_fn(tiny_runs.BACKBONE, tiny_runs.variables())
    other = PairProgram(
        lambda gain: (lambda x_t, t: gain * eps_fn(x_t, t), features),
        jnp.float32(0.5),
        alpha_bar=jnp.asarray(alpha_bar_table()),
    )
    (new,) = swept(root, tmp_path, data, other, sweep=False)
    assert new["image_auroc"] is not None and (new["ratio"], new["ms_per_image"]) != (row["ratio"], row["ms_per_image"])
    (kept,) = tmp_path.glob("journal-*.jsonl")
    assert len(kept.read_text().splitlines()) == len((tmp_path / "journal.jsonl").read_text().splitlines()) == 1


def test_the_time_of_an_image_is_finite_and_excludes_compilation(root: Path, data: Data, tmp_path: Path) -> None:
    (row,) = swept(root, tmp_path, data, new_program(), sweep=False)
    assert math.isfinite(row["ms_per_image"]) and 0 < row["ms_per_image"] < 500


def test_unusual_pictures_start_later_and_their_first_pass_is_paid_for(
    root: Path, data: Data, program: PairProgram, tmp_path: Path
) -> None:
    how: dict[str, Any] = {"sweep__w": (), "sweep__v": (), "sweep__layers": (), "sweep__rise": (0.0, 1.0)}
    level, risen = swept(root, tmp_path, data, program, **how, teacher=20, teacher_images=3)
    assert (level["rise"], risen["rise"]) == (0.0, 1.0)
    assert (level["unet_calls"], risen["unet_calls"]) == (2, 3)
    assert "t_prime_mean" not in level and risen["t_prime"] < risen["t_prime_mean"] <= 2 * risen["t_prime"]
    assert risen["teacher_rmse"] > 0 and risen["teacher_images"] == 3
    assert risen["image_auroc"] != level["image_auroc"] or risen["pixel_auroc"] != level["pixel_auroc"]
    (tmp_path / "journal.jsonl").unlink()
    assert bare(swept(root, tmp_path, data, program, **how, teacher=20, teacher_images=3)) == bare([level, risen])


def test_ways_to_sample_are_rows_and_rows_from_before_them_are_not_computed_again(
    root: Path, data: Data, program: PairProgram, tmp_path: Path, computed: list[ReconPoint]
) -> None:
    how: dict[str, Any] = {"sweep__w": (), "sweep__v": (), "sweep__layers": (), "sample__eta": 1.0}
    swept(root, tmp_path, data, program, **how, score__upsampling="align_corners")
    (before,) = read_jsonl(tmp_path / "journal.jsonl")
    new = ("start", "draws", "blend_low", "blend_high", "last_blend", "total_blend", "upsampling", "blend_at_end")
    write_jsonl(tmp_path / "journal.jsonl", [{k: v for k, v in before.items() if k not in new}])
    computed.clear()
    parts: dict[str, Any] = {
        "start": {"start": ("inversion",)}, "draws": {"draws": (2,), "solver": ("sde_dpm2m",)},
        "strength": {"total_blend": (0.3,)}, "interval": {"blend_low": (999,)},
    }  # fmt: skip
    rows = swept(root, tmp_path, data, program, **how, sweep__parts=parts, score__upsampling="align_corners")
    assert len(rows) == 5 and len(computed) == 4
    by = {part: next(r for r in rows if all(r[k] == v[0] for k, v in axes.items())) for part, axes in parts.items()}
    plain = before["unet_calls"]
    assert [by[part]["unet_calls"] / plain for part in parts] == [2, 2, 1, 1]
    assert by["strength"]["blend_in_total"] == pytest.approx(0.3) and by["strength"]["w"] != before["w"]
    assert by["interval"]["blend_at_end"] == by["interval"]["blend_in_total"] == 0
