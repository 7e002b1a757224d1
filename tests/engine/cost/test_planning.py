"""What a plan counts is what a run does: calls are compared with those that stand-in networks really received."""

import functools
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
import tiny_runs
from ml_collections import ConfigDict

from ddad_jax.engine.cost import planning
from ddad_jax.engine.cost.planning import assumed_pictures, picture_counts
from ddad_jax.engine.cost.work import Costs, Work, is_estimate, seconds, spent
from ddad_jax.engine.data.splits import load_data
from ddad_jax.engine.methods.ddad import criteria, evidence, extractor, grids, lessons, noise_predictor
from ddad_jax.engine.methods.ddad import student as ddad_student
from ddad_jax.engine.methods.ddad.calls import Calls
from ddad_jax.engine.methods.ddad.points import ddad_plan
from ddad_jax.engine.sweep import rows as sweep_rows
from ddad_jax.engine.sweep.choice import best_on_synthetic
from ddad_jax.points import ReconPoint
from ddad_jax.reuse import Layered

COSTS = Costs(unet=2.0, shallow=1.0, beside=3.0, feature=0.5, update=7.0, feature_update=5.0, program=10.0, row=0.25)


class Counted:
    """How many pictures each network was called with, by name."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()

    def of(self, name: str, network: Callable[..., Any], at: int = 0) -> Callable[..., Any]:
        """``network`` whose argument ``at`` is the pictures."""

        def call(*args: Any) -> Any:
            n = len(args[at])
            # Within a compiled program: once for every time that it is really run.
            jax.debug.callback(lambda: self.calls.update({name: n}))
            return network(*args)

        return call

    def settled(self) -> Counter[str]:
        jax.effects_barrier()
        return self.calls


def counting(monkeypatch: pytest.MonkeyPatch) -> Counted:
    """Small networks that count, in every module that samples."""
    tiny_runs.small_predictor(monkeypatch.setattr)
    tiny_runs.small_backbone(monkeypatch.setattr)
    counted = Counted()

    def eps_fn(name: str) -> Callable[..., Any]:
        return lambda _unet, params: counted.of(name, functools.partial(tiny_runs.predict, params))

    def features(_backbone: Any, variables: Any) -> Any:
        return counted.of("feature", lambda x: tiny_runs.BACKBONE.module.apply(variables, x))

    def layered(_unet: Any, params: Any, plain: Any) -> Layered:
        predict = functools.partial(tiny_runs.predict, params)
        whole = counted.of("sweep", lambda x, t: (predict(x, t), 0.1 * x))
        return Layered(plain, whole, counted.of("shallow", lambda x, t, deep: predict(x, t) + deep))

    for module in (criteria, extractor):
        monkeypatch.setattr(module, "eps_fn", eps_fn("adaptation"))
    for module, name in ((grids, "grids"), (evidence, "sweep"), (lessons, "student")):
        monkeypatch.setattr(module, "eps_fn", eps_fn(name))
    monkeypatch.setattr(noise_predictor, "train_apply", lambda unet: counted.of("training", tiny_runs.predict, 1))
    for module, name in ((ddad_student, "student"), (evidence, "sweep")):
        apply = counted.of(name, tiny_runs.student_predict, 1)
        monkeypatch.setattr(module, "student_apply", lambda student, apply=apply: apply)
    monkeypatch.setattr(evidence, "feature_fn", features)
    monkeypatch.setattr(evidence, "layered", layered)
    return counted


HEUN = ConfigDict({"few": {"solver": ("heun",)}})
KINDS: dict[str, dict[str, Any]] = {
    "scorings": {"sweep__scoring": ("reconstruction", "inversion", "resilience"), "sweep__draws": (1, 2)},
    "parts": {"sweep__w": (0.0, 1.0), "sweep__v": (0.0, 1.0), "sweep__parts": HEUN},
    "reuse": {"sample__steps": 5, "sweep__reuse": (1, 2), "sweep__parts": HEUN},
    "chosen": {"select": "synthetic", "sweep__w": (0.0, 1.0), "synthetic_normals": 6, "synthetic_defects": 6},
    "rise and teacher": {"teacher": 7, "teacher_images": 3, "sweep__w": (0.0, 1.0), "sweep__rise": (0.0, 0.5)},
    "student": {"sweep__model": ("teacher", "student"), "sweep__steps": (1, 2), "sample__t_prime": 250},
}  # fmt: skip
"""Points of several programs in each."""


@pytest.mark.parametrize("kind", KINDS)
def test_the_calls_of_a_sweep_are_those_that_networks_receive(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = counting(monkeypatch)
    c = tiny_runs.config(tiny_runs.folder(tmp_path / "data"), **KINDS[kind])
    data, todo = load_data(c), ddad_plan(c, sweep=True)
    params = jax.tree.map(np.asarray, tiny_runs.init_params(None, 0))
    program = evidence.program_of(c, params, tiny_runs.variables())
    student = None
    if any(point.model == "student" for point in todo.costly):
        taught = tiny_runs.init_student(None, params, jax.random.key(0))
        student = evidence.student_of(c, taught, tiny_runs.variables(), made_with={})
    fitted = tiny_runs.fitted(c, tmp_path, program, student=student)
    rows = sweep_rows.compute_rows(c, tmp_path, data, fitted, todo)
    if todo.selected is None:
        chosen, _ = best_on_synthetic(todo, rows, Calls(1))
        sweep_rows.compute_rows(c, tmp_path, data, fitted, todo._replace(selected=chosen))
    found, calls = planning.sweep(c, picture_counts(data), todo), counted.settled()
    compilations = program.compilations + (student.program.compilations if student else 0)
    assert (found.unet, found.shallow, found.features) == (calls["sweep"], calls["shallow"], calls["feature"])
    assert (found.programs, found.rows) == (compilations, len(rows))


def test_the_calls_of_the_models_before_it_are_those_that_networks_receive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = counting(monkeypatch)
    c = tiny_runs.config(
        tiny_runs.folder(tmp_path / "data"), adapt__epochs=2, adapt__patience=0, sample__grid="optimised",
        sweep__steps=(2, 3), student__steps=5, student__batch_size=2, student__reuse=2, student__teacher_steps=3,
        student__validate_every=2, student__checkpoint_every=5, student__log_every=5, student__defects=4,
        grid__images=2, grid__teacher_steps=5, grid__rounds=1,
    )  # fmt: skip
    data, todo, workdir = load_data(c), ddad_plan(c, sweep=True), tmp_path / "run"
    workdir.mkdir()
    params = noise_predictor.trained(c, workdir, data)
    extractor.adapted(c, workdir, data, params)
    ddad_student.distilled(c, workdir, data, params)
    grids.optimised_grids(c, workdir, data, params, todo.costly)
    calls, have = counted.settled(), picture_counts(data)
    work = {"training": planning.training(c.train, have), "adaptation": planning.adaptation(c, have)}
    for name, found in (work | {"student": planning.student(c.student, have)}).items():
        # A gradient goes through the network once.
        assert found.unet + found.update == calls[name], name
    # The search tries no place twice, so it may need less than there is room for.
    most = planning.grid_search_work(c, have, todo.costly).unet
    assert 0.5 * most <= calls["grids"] <= most


@pytest.mark.parametrize("n", (1, 3, 7))
@pytest.mark.parametrize("chunk", (1, 4, 16))
def test_chunks_are_counted_as_they_are_cut(n: int, chunk: int) -> None:
    """Against the loop: groups of neighbours of one program, each cut into full chunks."""
    points = [
        ReconPoint(w, 100, steps, 0.0, "trailing", 0, solver=solver, reuse=min(reuse, steps))
        for solver in ("ddim", "heun")
        for steps in (1, 4)
        for reuse in (1, 3)
        for w in (0.0, 1.0)
    ]
    points = list(dict.fromkeys(points))
    found = planning._reconstructions(points, n, chunk)
    whole = shallow = pairs = at = 0
    while at < len(points):
        first = points[at]
        group = [p for p in points if (p.solver, p.steps, p.reuse) == (first.solver, first.steps, first.reuse)]
        for _ in range(0, len(group) * n, chunk):
            pairs += chunk
            for step in range(first.steps):
                for call in range(2 if first.solver == "heun" else 1):
                    due = first.reuse == 1 or (call == 0 and step % first.reuse == 0)
                    whole, shallow = whole + due * chunk, shallow + (not due) * chunk
        at += len(group)
    assert (found.unet, found.shallow, found.pairs) == (whole, shallow, pairs)


@pytest.mark.parametrize("select", ("", "synthetic"))
@pytest.mark.parametrize("n_train", (4, 9, 30))
def test_pictures_without_data_are_as_many_as_data_would_give(select: str, n_train: int, tmp_path: Path) -> None:
    c = tiny_runs.config(tiny_runs.folder(tmp_path, n_train=n_train), select=select, synthetic_normals=6)
    found = picture_counts(load_data(c))
    assert assumed_pictures(c, found.test, n_train) == found


def test_shards_have_every_point_once_and_no_more_runs_than_points(tmp_path: Path) -> None:
    c = tiny_runs.config(tmp_path, sweep__w=(0.0, 1.0, 2.0), sweep__steps=(1, 2))
    todo, have = ddad_plan(c, sweep=True), planning.PictureCounts(9, 4, 4, 0, 5)
    for number in (1, 2, 4, 100):
        parts = planning.shards(c, have, todo, number)
        assert len(parts) == min(number, len(todo.costly))
        assert sorted(point for part in parts for point in part.costly) == sorted(todo.costly)


def test_devices_share_the_pairs_and_fill_up_the_chunk(tmp_path: Path) -> None:
    c = tiny_runs.config(tmp_path, sample__batch_size=6)
    todo, have = ddad_plan(c, sweep=True), planning.PictureCounts(9, 4, 4, 0, 5)
    assert planning.sweep(c, have, todo, 1).pairs == 12  # 9 pictures, 6 at a time
    four = planning.sweep(c, have, todo, 4)  # 8 at a time
    assert (four.pairs, four.cut) == (16, 4)
    assert planning.useful(c, have, todo, 4) == 9 / 16
    assert spent(four, COSTS)["beside"] == 3.0 * 16 / 4


def test_time_is_counts_times_costs() -> None:
    work = Work("", unet=3, shallow=5, pairs=2, feature=4, update=1, feature_update=2, programs=2, rows=8, fixed=0.5)
    expected = 3 * 2.0 + 5 * 1.0 + 2 * 3.0 + 4 * 0.5 + 1 * 7.0 + 2 * 5.0 + 2 * 10.0 + 8 * 0.25 + 0.5
    assert seconds(work, COSTS) == pytest.approx(expected)
    assert work.features == 2 * 2 + 4
    # What devices do is shared; compilation and metrics are not.
    assert seconds(work._replace(cut=2), COSTS) == pytest.approx((expected - 22.5) / 2 + 22.5)


def test_a_limit_ends_a_stage_where_it_looks_at_the_clock() -> None:
    training = Work("", update=1000, programs=1, limit=60.0, looks=1000)
    assert seconds(training, COSTS) == pytest.approx(63.0 + 10.0)  # the ninth step of 7 s passes 60 s
    epochs = Work("", update=100, limit=360.0, looks=2)
    assert seconds(epochs, COSTS) == 700.0  # the first epoch ends at 350 s, so there is a second
    assert seconds(epochs._replace(limit=300.0), COSTS) == 350.0
    assert seconds(epochs._replace(limit=800.0), COSTS) == 700.0


def test_what_rests_on_an_estimate_says_so() -> None:
    work = Work("", unet=100, update=1)
    assert not is_estimate(work, COSTS)
    assert is_estimate(work, COSTS._replace(estimated=frozenset({"unet"})))
    assert not is_estimate(work, COSTS._replace(estimated=frozenset({"update"})))  # 7 s of 207
    other = COSTS.scaled(0.5)
    assert (other.unet, other.row) == (1.0, 0.25)
    assert {"unet", "beside", "update", "program"} <= other.estimated and "row" not in other.estimated
