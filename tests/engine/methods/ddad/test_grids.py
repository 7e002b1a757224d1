"""Optimised grids are found once for a model, kept with it, and visited by every point that asks for them."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
import tiny_runs

from ddad_jax.engine.data.splits import Data
from ddad_jax.engine.methods.ddad import grids as ddad_grids
from ddad_jax.engine.methods.ddad.grids import load_entries, optimised_grids
from ddad_jax.engine.methods.ddad.points import ddad_plan
from ddad_jax.engine.methods.ddad.sections import DDADSettings
from ddad_jax.engine.pipeline import run_all
from ddad_jax.engine.store.tables import read_jsonl
from ddad_jax.engine.workdir import open_workdir
from ddad_jax.errors import InputError
from ddad_jax.optimised_grid import OptimisedGrid, optimise_grid
from ddad_jax.pair_program import PairProgram
from ddad_jax.points import GridKey, recon_grid, time_grid
from ddad_jax.schedule import alpha_bar_table
from ddad_jax.timesteps import GRIDS, TimeGrid

PARAMS = {"gain": np.full(3, 0.2, np.float32), "shift": np.full(3, 0.1, np.float32)}
SMALL: dict[str, Any] = {
    "sample__grid": "optimised", "sample__t_prime": 60, "sample__w": 0.5, "grid__images": 2, "grid__teacher_steps": 12,
    "grid__rounds": 1, "sweep__steps": (2, 3), "sweep__solver": ("ddim", "dpm2m"),
}  # fmt: skip
ONE: dict[str, Any] = {**SMALL, "sweep__steps": (), "sweep__solver": ()}
KEYS = {GridKey(60, steps, solver) for steps in (2, 3) for solver in ("ddim", "dpm2m")}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_runs.small_predictor(monkeypatch.setattr)
    tiny_runs.small_backbone(monkeypatch.setattr)


@pytest.fixture
def searched(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The steps of every grid that was searched for, in order."""
    steps: list[int] = []

    def watched(costs: Any, t: Any, measure: Any, k: int, **how: Any) -> OptimisedGrid:
        steps.append(k)
        return optimise_grid(costs, t, measure, k, **how)

    monkeypatch.setattr(ddad_grids, "optimise_grid", watched)
    return steps


def fail(*args: Any, **how: Any) -> None:
    raise AssertionError("computed again")


def found(c: DDADSettings, workdir: Path, data: Data, params: Any = PARAMS) -> dict[GridKey, TimeGrid]:
    return optimised_grids(c, workdir, data, params, ddad_plan(c, sweep=True).costly)


def times(grids: dict[GridKey, TimeGrid]) -> dict[GridKey, list[int]]:
    return {key: grid.t.tolist() for key, grid in grids.items()}


@pytest.fixture(scope="module")
def saved(root: Path, data: Data, tmp_path_factory: pytest.TempPathFactory) -> str:
    """What is in the file of one grid."""
    with pytest.MonkeyPatch.context() as patch:
        tiny_runs.small_predictor(patch.setattr)
        workdir = tmp_path_factory.mktemp("saved")
        found(tiny_runs.config(root, **ONE), workdir, data)
    return (workdir / "grids.json").read_text()


def test_what_was_found_is_loaded_as_it_was(root: Path, data: Data, tmp_path: Path, searched: list[int]) -> None:
    c = tiny_runs.config(root, **SMALL)
    fresh = found(c, tmp_path, data)
    assert fresh.keys() == KEYS and sorted(searched) == [2, 2, 3, 3]
    searched.clear()
    again = found(c, tmp_path, data)
    assert not searched
    for key, grid in fresh.items():
        assert grid.start == grid.t[0] == 60 and len(grid.t) == key.steps
        for one, other in zip(grid, again[key], strict=True):
            np.testing.assert_array_equal(one, other)


def test_the_file_says_what_a_grid_was_found_with_and_what_it_gains(root: Path, data: Data, tmp_path: Path) -> None:
    found(tiny_runs.config(root, **SMALL), tmp_path, data)
    saved = json.loads((tmp_path / "grids.json").read_text())
    assert saved["alpha_bar"] and len(saved["grids"]) == 4
    for entry in saved["grids"]:
        assert entry["w"] == 0.5 and entry["teacher_steps"] == 12 and entry["parameters"] and entry["seconds"] > 0
        distance = entry["distance"]
        assert distance.keys() == {"path", "trailing", "uniform", "quadratic", "log_snr", "optimised"}
        assert 0 < entry["floor"] < distance["uniform"]
        assert 0 <= distance["optimised"] == min(distance.values()) < distance["uniform"]


def test_no_optimised_grid_no_search_and_no_file(root: Path, data: Data, tmp_path: Path) -> None:
    assert found(tiny_runs.config(root, **{**SMALL, "sample__grid": "trailing"}), tmp_path, data) == {}
    assert not (tmp_path / "grids.json").exists()


@pytest.mark.parametrize("changes", [{"sample__w": 2.0}, {"sample__start_noise": 0.0}, {"sample__clip": False},
                                     {"grid__images": 1}, {"grid__teacher_solver": "heun"},
                                     {"grid__teacher_grid": "trailing"}], ids=str)  # fmt: skip
def test_other_settings_have_grids_of_their_own(
    root: Path, data: Data, tmp_path: Path, saved: str, searched: list[int], changes: dict[str, Any]
) -> None:
    (tmp_path / "grids.json").write_text(saved)
    found(tiny_runs.config(root, **{**ONE, **changes}), tmp_path, data)
    assert len(searched) == 1
    (grid,) = times(found(tiny_runs.config(root, **ONE), tmp_path, data)).values()
    assert [grid] == [entry["times"] for entry in json.loads(saved)["grids"]]
    assert len(searched) == 1


def test_every_w_of_a_sweep_shares_the_grid_of_the_selected_one(
    root: Path, data: Data, tmp_path: Path, searched: list[int]
) -> None:
    c = tiny_runs.config(root, **ONE, sweep__w=(0.0, 3.0), sweep__eta=(0.0, 1.0))
    assert len(found(c, tmp_path, data)) == len(searched) == 1


def test_another_model_has_grids_of_its_own(
    root: Path, data: Data, tmp_path: Path, saved: str, searched: list[int]
) -> None:
    (tmp_path / "grids.json").write_text(saved)
    found(tiny_runs.config(root, **ONE), tmp_path, data, {**PARAMS, "gain": np.full(3, 0.3, np.float32)})
    assert len(searched) == 1 and len(load_entries(tmp_path / "grids.json")) == 2


# --- Files that cannot be used


def test_a_grid_saved_for_another_schedule_is_found_anew(
    root: Path, data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, saved: str, searched: list[int]
) -> None:
    (tmp_path / "grids.json").write_text(saved)
    other = alpha_bar_table(np.linspace(1e-4, 0.01, 1000))
    monkeypatch.setattr(ddad_grids, "alpha_bar", lambda: jnp.asarray(other))
    found(tiny_runs.config(root, **ONE), tmp_path, data)
    assert len(searched) == 1 and len(load_entries(tmp_path / "grids.json")) == 1


@pytest.mark.parametrize(
    "bad", [[60], [60, 60], [60, 61], [59, 20], [60, -1], [60, 20, 5], [60, 20.5], [60, "20"], [60, [1]], [], 60, None],
    ids=str,
)  # fmt: skip
def test_times_that_do_not_fit_are_left_out(
    tmp_path: Path, saved: str, bad: Any, caplog: pytest.LogCaptureFixture
) -> None:
    content = json.loads(saved)
    (good,) = content["grids"]
    content["grids"] = [{**good, "times": bad}, good, {}, 1]
    (tmp_path / "grids.json").write_text(json.dumps(content))
    assert load_entries(tmp_path / "grids.json") == [good]
    assert caplog.text.count("expected `steps` whole numbers that fall from T'") == 3


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"alpha_bar": "a", "grids": [1]}', "null", "\udcff"], ids=ascii)
def test_a_file_that_is_not_ours_holds_no_grid(tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "grids.json").write_bytes(text.encode(errors="surrogateescape"))
    with caplog.at_level("INFO"):
        assert load_entries(tmp_path / "grids.json") == []
    assert "grids.json" in caplog.text and "rids are found anew" in caplog.text


def test_a_teacher_that_diverges_is_named_by_its_flag(root: Path, data: Data, tmp_path: Path) -> None:
    c = tiny_runs.config(root, **{**SMALL, "sample__w": 1e38})
    with pytest.raises(InputError, match=r"--config\.sample\.w=1e\+38.*not finite"):
        found(c, tmp_path, data)


# --- Points


def test_a_point_visits_the_grid_that_was_found_for_it() -> None:
    (point,) = recon_grid(w=(3.0,), t_prime=(60,), steps=(2,), eta=(0.0,), grid=("optimised",), seed=(0,))
    grid = GRIDS["quadratic"](60, 2)
    assert time_grid(point, {GridKey(60, 2, "ddim"): grid}) is grid
    for grids in (None, {}, {GridKey(60, 2, "dpm2m"): grid}, {GridKey(61, 2, "ddim"): grid}):
        with pytest.raises(InputError, match="'optimised': none was found for 2 steps of ddim from T' = 60"):
            time_grid(point, grids)


@pytest.mark.parametrize(
    "changes", [{"t_prime": (1000,)}, {"t_prime": (0,)}, {"steps": (0,)}, {"steps": (61,)}], ids=str
)
def test_an_optimised_grid_has_the_limits_of_the_others(changes: dict[str, Any]) -> None:
    point: dict[str, Any] = {"w": (3.0,), "t_prime": (60,), "steps": (2,), "eta": (0.0,), "seed": (0,)}
    with pytest.raises(InputError, match="expected"):
        recon_grid(**{**point, "grid": ("optimised",), **changes})


@pytest.mark.parametrize(
    ("name", "value"),
    [("teacher_steps", 2), ("teacher_steps", 1000), ("teacher_solver", "euler"), ("images", 0), ("rounds", -1)],
)
def test_settings_out_of_range_are_refused_by_their_flag(root: Path, name: str, value: Any) -> None:
    with pytest.raises(InputError, match=rf"--config\.grid\.{name}.*expected"):
        tiny_runs.config(root, **{**SMALL, f"grid__{name}": value})


# --- The whole run


def table(workdir: Path) -> list[dict[str, str]]:
    with (workdir / "results.csv").open(newline="") as file:
        return [{k: v for k, v in row.items() if k != "ms_per_image"} for row in csv.DictReader(file)]


def test_a_run_finds_its_grids_once_and_its_rows_say_the_times(
    root: Path, data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = {**ONE, "sweep__grid": ("optimised", "trailing"), "adapt__epochs": 1, "adapt__t_prime": 40}
    c = tiny_runs.config(root, **changes)
    run_all(c, tmp_path, sweep=True)
    rows = read_jsonl(tmp_path / "results.jsonl")
    assert len(rows) == 2
    visited = {GridKey(*(e[k] for k in GridKey._fields)): e["times"] for e in load_entries(tmp_path / "grids.json")}
    for row in rows:
        key = GridKey(row["t_prime"], row["steps"], row["solver"])
        expected = visited[key] if row["grid"] == "optimised" else GRIDS["trailing"](60, row["steps"]).t
        assert row["times"] == "-".join(str(t) for t in expected)
    (selected,) = [row for row in rows if row["selected"]]
    assert selected["grid"] == "optimised"
    assert json.loads((tmp_path / "calibration.json").read_text())["times"] == selected["times"]

    before = table(tmp_path)
    monkeypatch.setattr(ddad_grids, "optimise_grid", fail)
    monkeypatch.setattr(PairProgram, "compiled", fail)
    run_all(c, tmp_path, sweep=True)
    assert table(tmp_path) == before
    # Adaptation took the trailing grid: for it nothing changes where the sampler takes that, too.
    open_workdir(tmp_path, tiny_runs.config(root, **{**changes, "sample__grid": "trailing"}), data)
    with pytest.raises(InputError, match=r"sample\.grid: there 'trailing', now 'uniform'"):
        open_workdir(tmp_path, tiny_runs.config(root, **{**changes, "sample__grid": "uniform"}), data)


def test_rows_of_times_that_are_no_longer_those_of_the_grid_are_computed_again(root: Path, tmp_path: Path) -> None:
    changes = {**ONE, "grid__rounds": 0}
    run_all(tiny_runs.config(root, **changes), tmp_path, sweep=False)
    (first,) = read_jsonl(tmp_path / "results.jsonl")
    path = tmp_path / "grids.json"
    saved = json.loads(path.read_text())
    saved["grids"][0]["times"] = [60, 1] if first["times"] != "60-1" else [60, 2]
    path.write_text(json.dumps(saved))
    shown = shutil.copy(tmp_path / "selected.npz", tmp_path / "before.npz")
    run_all(tiny_runs.config(root, **changes), tmp_path, sweep=False)
    (second,) = read_jsonl(tmp_path / "results.jsonl")
    assert second["times"] == "-".join(map(str, saved["grids"][0]["times"])) != first["times"]
    assert Path(shown).read_bytes() != (tmp_path / "selected.npz").read_bytes()
