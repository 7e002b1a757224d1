"""A grid in shards: every point once, about equal work, no row lost, and in the end the results of one run."""

import itertools
import json
import multiprocessing
import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
import tiny_runs
from absl import flags
from absl.testing import flagsaver

from ddad_jax.engine import pipeline
from ddad_jax.engine.methods.ddad.calls import Calls
from ddad_jax.engine.methods.ddad.points import ddad_plan
from ddad_jax.engine.pipeline import run_all
from ddad_jax.engine.report import results
from ddad_jax.engine.store.tables import append_jsonl, plain, read_jsonl, write_jsonl
from ddad_jax.engine.sweep import shards
from ddad_jax.engine.sweep.shards import Shard, dealt
from ddad_jax.errors import InputError
from ddad_jax.points import ReconPoint
from experiments import sweep

HOW: dict[str, Any] = {
    "select": "synthetic", "synthetic_defects": 4, "teacher": 3, "train__steps": 4, "adapt__epochs": 1,
    "student__steps": 2, "student__batch_size": 4, "student__validate_every": 2, "student__checkpoint_every": 2,
    "student__teacher_steps": 2, "student__start_noise": 0.0, "sample__eta": 0.0, "sample__start_noise": 0.0,
    "sample__w": 2.0, "sweep__v": (0.0, 1.0), "sweep__rise": (0.0, 0.5),
    "sweep__parts": {
        "plain": {"grid": ("trailing", "optimised")},
        "taught": {"model": ("student",), "rise": (0.0,)},
    },
    "grid__images": 2, "grid__teacher_steps": 6, "grid__rounds": 1,
}  # fmt: skip
"""A student, optimised grids, first passes, fine teachers and a choice by synthetic defects."""


@pytest.fixture(scope="module", autouse=True)
def small() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        tiny_runs.small_predictor(patch.setattr)
        tiny_runs.small_backbone(patch.setattr)
        # Figures and pages take longer than all the rest; tests/launch has shards with their results.csv.
        patch.setattr(results, "write_results", lambda *args, **named: None)
        yield


@pytest.fixture(scope="module")
def alone(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workdir of one run, and its rows in rows.jsonl."""
    workdir = tmp_path_factory.mktemp("alone") / "w"
    write_jsonl(workdir / "rows.jsonl", run_all(tiny_runs.config(root, **HOW), workdir, sweep=True))
    return workdir


def timeless(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in plain(row).items() if name != "ms_per_image"} for row in rows]


def point(steps: int = 2, **changes: Any) -> ReconPoint:
    return ReconPoint(1.0, 250, steps, 0.0, "trailing", 0)._replace(**changes)


# --- Who computes what ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 3, 7, 24])
@pytest.mark.parametrize("teacher", [0, 50])
def test_every_point_is_dealt_once_and_the_work_is_about_equal(count: int, teacher: int) -> None:
    points = [point(steps, w=float(w)) for steps in (1, 2, 5, 10) for w in range(6)]
    cost = Calls(10, teacher, 5)
    found = dealt(points, count, cost)
    assert len(found) == count and all(found)
    assert sorted(p for shard in found for p in shard) == sorted(points)
    # No shard is dearer than an equal share and one more point, with a fine teacher of its own.
    fine = teacher + teacher // 2
    share = (10 * sum(p.calls for p in points) + 5 * 6 * fine) / count
    assert max(map(cost, found)) <= share + 10 * 10 + 2 * 5 * fine
    if not teacher:
        programs = [{p.steps for p in shard} for shard in found]
        assert sum(map(len, programs)) <= 4 + count - 1, "a border between shards costs at most one more compilation"


def test_equal_points_are_dealt_evenly() -> None:
    points = [point(w=float(w)) for w in range(10)]
    assert sorted(map(len, dealt(points, 4, Calls(3)))) == [2, 2, 3, 3]


def test_a_run_of_neighbours_costs_an_equal_part_and_one_point_at_most() -> None:
    random, cost = np.random.default_rng(0), Calls(3)
    for _ in range(50):
        n = int(random.integers(1, 40))
        points = [point(int(random.choice([1, 2, 5, 250])), w=float(i)) for i in range(n)]
        count = int(random.integers(1, n + 1))
        runs = dealt(points, count, cost)
        assert len(runs) == count and all(runs) and list(itertools.chain(*runs)) == points
        assert max(map(cost, runs)) <= cost(points) / count + max(cost([one]) for one in points)
        assert runs == dealt(list(points), count, cost)


@pytest.mark.parametrize("dear", [0, 5, 9])
def test_beside_one_point_dearer_than_all_others_no_shard_is_empty(dear: int) -> None:
    points = [point(250 if i == dear else 1, w=float(i)) for i in range(10)]
    for count in range(1, 11):
        assert all(dealt(points, count, Calls(3)))


@pytest.mark.parametrize(
    ("cost", "of_one", "own", "shared"),
    [
        (Calls(7), [point(2, rise=0.5), point(2, rise=1.0)], 7 * (2 + 2), 7),
        (Calls(7, 50, 3), [point(2), point(5)], 7 * (2 + 5), 3 * (50 + 25)),
    ],
    ids=["first pass", "fine teacher"],
)
def test_what_points_share_is_paid_once_a_shard(cost: Calls, of_one: list[ReconPoint], own: int, shared: int) -> None:
    others = [one._replace(w=9.0) for one in of_one]
    assert cost(of_one) == own + shared
    assert cost([*of_one, *of_one]) == 2 * own + shared
    assert cost([*of_one, *others]) == cost(of_one) + cost(others) == 2 * (own + shared)


def test_points_of_one_fine_teacher_stay_together_where_it_costs_more_than_they_do() -> None:
    points = [point(steps, w=float(w)) for steps in (1, 2) for w in range(4)]
    together = dealt(points, 4, Calls(1, 100, 10))
    assert [{p.w for p in shard} for shard in together] == [{0.0}, {1.0}, {2.0}, {3.0}]


def test_more_shards_than_points_are_refused_with_the_largest_number(root: Path, tmp_path: Path) -> None:
    c = tiny_runs.config(root, sweep__w=(0.0, 1.0, 3.0), sweep__v=(0.0, 1.0))
    with pytest.raises(InputError, match="^--shard=0/4: 4 shards for 3 points to reconstruct; expected at most 3"):
        pipeline.run_shard(c, tmp_path, Shard(0, 4))


@pytest.mark.parametrize("text", ["", "1", "2/2", "-1/2", "0/0", "a/b", "1/2/3", "1 / 2"])
def test_what_is_no_shard_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError, match="expected K/N"):
        shards.parse_shard(text)
    assert shards.parse_shard("1/4") == Shard(1, 4)
    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()
    with flagsaver.flagsaver(shard=text), pytest.raises(InputError, match="expected K/N"):
        sweep.main(tiny_runs.config(tmp_path), tmp_path)  # and is no plain sweep


# --- What they leave -----------------------------------------------------------------------------------------------


def test_shards_give_what_one_run_gives(root: Path, tmp_path: Path, alone: Path) -> None:
    c, workdir = tiny_runs.config(root, **HOW), tmp_path / "w"
    assert run_all(c, workdir, sweep=True, models_only=True) == []
    assert not (workdir / "journal.jsonl").exists()
    for k in (1, 0):
        pipeline.run_shard(c, workdir, Shard(k, 2))
    assert not (workdir / "journal.jsonl").exists()
    each = [read_jsonl(path) for path in sorted((workdir / "shards").glob("*/*.jsonl"))]
    assert len(each) == 2 and all(each)
    points = ddad_plan(c, sweep=True)
    assert sum(map(len, each)) == len(points.costly) * len(points.cheap)

    rows = run_all(c, workdir, sweep=True)
    assert len(read_jsonl(workdir / "journal.jsonl")) == sum(map(len, each)), "nothing was computed twice"
    assert timeless(rows) == timeless(read_jsonl(alone / "rows.jsonl"))
    chosen, pictures = (
        [json.loads((w / "chosen.json").read_text())["point"] for w in (workdir, alone)],
        [sorted(path.name for path in (w / "side_by_side").iterdir()) for w in (workdir, alone)],
    )
    assert chosen[0] == chosen[1] and pictures[0] == pictures[1]


def test_a_shard_computes_nothing_that_any_journal_holds(root: Path, tmp_path: Path) -> None:
    few, workdir = {"sweep__w": (0.0, 3.0)}, tmp_path / "w"
    run_all(tiny_runs.config(root, **few), workdir, sweep=True)
    more = tiny_runs.config(root, sweep__w=(0.0, 1.0, 3.0, 5.0))
    for shard in (Shard(0, 2), Shard(1, 2), Shard(0, 2), Shard(2, 4)):
        pipeline.run_shard(more, workdir, shard)
    rows = [row["w"] for path in (workdir / "shards").glob("*/*.jsonl") for row in read_jsonl(path)]
    assert sorted(rows) == [1.0, 5.0]


MISSING = {
    "adapt/chosen.json": r"adapt: holds no adaptation that has ended",
    "grids.json": r"holds no grid for T' = \d+, 2 steps of ddim",
    "student": r"holds no student whose distillation has ended",
}


def test_without_models_a_shard_names_the_command_that_makes_them(root: Path, tmp_path: Path, alone: Path) -> None:
    c = tiny_runs.config(root, **HOW)
    with pytest.raises(InputError, match="holds no models yet.*--models_only in the place of --shard=1/2"):
        pipeline.run_shard(c, tmp_path / "none", Shard(1, 2))
    assert not (tmp_path / "none").exists()
    for part, says in MISSING.items():
        workdir = tmp_path / part.partition("/")[0]
        shutil.copytree(alone, workdir)
        shutil.rmtree(workdir / part) if (workdir / part).is_dir() else (workdir / part).unlink()
        with pytest.raises(InputError, match=f"{says}.*--models_only"):
            # A grid of one shard asks for everything.
            pipeline.run_shard(c, workdir, Shard(0, 1))


def test_rows_of_other_parameters_are_never_taken_in(tmp_path: Path) -> None:
    mine, others = {"a": jnp.zeros(3)}, {"a": jnp.ones(3)}
    row = {"w": 1.0, "image_auroc": None, "layers": "layer1"}
    append_jsonl(shards.journal_of(tmp_path, mine, Shard(0, 2)), row)
    append_jsonl(shards.journal_of(tmp_path, others, Shard(1, 2)), {"w": 2.0})
    for _ in range(2):
        shards.take_in(tmp_path / "journal.jsonl", mine)
        assert read_jsonl(tmp_path / "journal.jsonl") == [row]
    shards.take_in(tmp_path / "other.jsonl", others)
    assert read_jsonl(tmp_path / "other.jsonl") == [{"w": 2.0}]


def test_a_shard_refuses_a_journal_that_is_of_other_parameters(root: Path, tmp_path: Path) -> None:
    c = tiny_runs.config(root, sweep__w=(0.0, 3.0))
    run_all(c, tmp_path, sweep=True, models_only=True)
    (tmp_path / "journal_of.json").write_text(json.dumps({"weights": "0" * 16}))
    with pytest.raises(InputError, match=r"journal_of\.json: does not say .*--models_only"):
        pipeline.run_shard(c, tmp_path, Shard(1, 2))


# --- Who may run at the same time ----------------------------------------------------------------------------------


def _hold(workdir: Path, shard: Shard, ready: Any) -> None:
    with shards.shard_lock(workdir, shard):
        ready.set()
        time.sleep(60)


def test_a_shard_is_computed_by_one_process_and_free_again_when_that_is_killed(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    ready = context.Event()
    other = context.Process(target=_hold, args=(tmp_path, Shard(1, 2), ready), daemon=True)
    other.start()
    assert ready.wait(60)
    says = f"process {other.pid} of .* computes"
    with (
        pytest.raises(InputError, match=f"--shard=1/2: {says} this shard already"),
        shards.shard_lock(tmp_path, Shard(1, 2)),
    ):
        pass
    with (
        pytest.raises(InputError, match=f"--shard=0/3: {says} 1-of-2 at the same"),
        shards.shard_lock(tmp_path, Shard(0, 3)),
    ):
        pass
    with pytest.raises(InputError, match=rf"process {other.pid} of .* still computes shard 1-of-2"):
        shards.require_idle(tmp_path)
    with shards.shard_lock(tmp_path, Shard(0, 2)):
        pass
    assert other.pid
    os.kill(other.pid, signal.SIGKILL)
    other.join()
    with shards.shard_lock(tmp_path, Shard(1, 2)):
        pass
    shards.require_idle(tmp_path)


def test_where_nothing_can_be_locked_a_shard_is_computed_nevertheless(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_locks(file: Any, how: int) -> None:
        raise OSError(shards.NO_LOCKS[0], "no locks available")

    monkeypatch.setattr(shards.fcntl, "flock", no_locks)
    with shards.shard_lock(tmp_path, Shard(0, 2)), shards.shard_lock(tmp_path, Shard(0, 2)):
        shards.require_idle(tmp_path)
    assert "cannot be locked" in caplog.text
