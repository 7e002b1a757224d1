"""What a comparison asks for: its runs, their commands and folders, and what is refused."""

from pathlib import Path
from typing import Any

import pytest

from ddad_jax.engine.comparison.plan import Comparison, comparison_of, picked_runs, planned_runs
from ddad_jax.engine.sweep.shards import Shard
from ddad_jax.errors import InputError
from experiments.config import comparison


def asked(**more: Any) -> dict[str, Any]:
    methods = {
        "b, fast": "folder.py:padim",
        "a": {"config": "{data}.py", "settings": {"score": {"sigma": 2.0}, "data": {"size": 64}}},
    }
    data = {"screw": {"settings": {"data": {"category": "screw", "size": 128}}, "group": "fixed"}, "tile": {}}
    return comparison(methods, data, **more).to_dict()


def test_every_method_is_run_on_every_set_with_every_seed_in_the_order_given(tmp_path: Path) -> None:
    runs = planned_runs(comparison_of(asked(seeds=(0, 3))), tmp_path)
    assert [run.name for run in runs[:4]] == [
        "b_fast/screw/seed0",
        "a/screw/seed0",
        "b_fast/tile/seed0",
        "a/tile/seed0",
    ]
    assert len(runs) == len({run.workdir for run in runs}) == 8 and runs[-1].name == "a/tile/seed3"
    assert all(run.workdir == tmp_path / "runs" / run.name for run in runs)


def test_the_method_speaks_last(tmp_path: Path) -> None:
    run = planned_runs(comparison_of(asked(settings={"data": {"root": "sets", "size": 32}})), tmp_path)[1]
    assert run.command("--models_only")[2:] == [
        "--config=screw.py", f"--workdir={tmp_path}/runs/a/screw/seed0", "--config.data.root=sets",
        "--config.data.size=64", "--config.data.category=screw", "--config.seed=0", "--config.sweep.seed=(0,)",
        "--config.score.sigma=2.0", "--models_only",
    ]  # fmt: skip


def test_shards_are_disjoint_and_complete(tmp_path: Path) -> None:
    runs = planned_runs(comparison_of(asked(seeds=(0, 1, 2))), tmp_path)
    parts = [picked_runs(runs, [], Shard(k, 5)) for k in range(5)]
    assert sorted(run.name for part in parts for run in part) == sorted(run.name for run in runs)
    assert [run.name for run in picked_runs(runs, ["a/tile/seed2"], None)] == ["a/tile/seed2"]
    with pytest.raises(InputError, match="--runs=a/tile: is no run of this comparison; it has b_fast/screw/seed0"):
        picked_runs(runs, ["a/tile"], None)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"methods": {}}, "--config.methods: is empty"),
        ({"methods": {"a": {"config": ""}}}, r"--config.methods.a.config: is empty; expected a config file"),
        (
            {"methods": {"a": {"confg": "x"}}},
            r"--config.methods.a.confg: there is no such field; expected config, sett",
        ),
        ({"methods": {"a b": {"config": "x"}, "a_b": {"config": "y"}}}, "a b and a_b would share a folder"),
        ({"seeds": (0, 0)}, r"--config.seeds=\(0, 0\): expected whole numbers from 0 on, each once"),
        ({"power": {"core": -1.0}}, r"--config.power.core=-1.0: expected a number from 0 on"),
        ({"pictures": 0}, "--config.pictures=0: expected a whole number from 1 on"),
        ({"margin": 1.0}, "--config.margin=1.0: expected a difference"),
        ({"model": {}}, "--config.model: expected a comparison, which has methods, data"),
    ],
)
def test_what_cannot_be_compared_is_refused_by_its_flag(change: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        comparison_of({**asked(), **change})


def test_a_config_without_changes_is_the_default() -> None:
    usual, given = Comparison((), ()), comparison_of(asked())
    assert given._replace(methods=(), data=(), settings={}) == usual and given.settings == {}


def test_an_empty_root_leaves_that_of_the_config_files(tmp_path: Path) -> None:
    for run in planned_runs(comparison_of(asked(settings={"data": {"root": ""}})), tmp_path):
        assert not [flag for flag in run.command() if "data.root" in flag]
