"""Adaptation stops by its rules, and scores with the epoch it chose."""

import json
import logging
import math
import signal
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_runs
from aliasing import written_in_place

from ddad_jax.adapt import adaptation_optimiser, init_adapt
from ddad_jax.backbones import feature_fn
from ddad_jax.checkpoint import Checkpoints
from ddad_jax.engine import stopping
from ddad_jax.engine.data.splits import Data, load_data
from ddad_jax.engine.methods.ddad import criteria, extractor
from ddad_jax.engine.methods.ddad.extractor import adapted
from ddad_jax.engine.methods.ddad.points import config_point
from ddad_jax.engine.methods.point import Plan
from ddad_jax.engine.store.tables import read_jsonl
from ddad_jax.engine.sweep import rows as sweep_rows
from ddad_jax.errors import InputError
from ddad_jax.pair_program import PairProgram
from ddad_jax.reuse import Layered
from ddad_jax.schedule import alpha_bar_table

ORIGINAL = tiny_runs.variables()


@pytest.fixture(autouse=True)
def small_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_runs.small_backbone(monkeypatch.setattr)
    for module in (criteria, extractor):
        monkeypatch.setattr(module, "eps_fn", lambda unet, params: lambda x_t, t: 0.5 * x_t)


@pytest.fixture
def contrasts(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What ``contrast`` will say, measure by measure; empty: what it really says."""
    values: list[float] = []
    real = criteria.contrast

    def contrast(*args: Any) -> float:
        return values.pop(0) if values else real(*args)

    monkeypatch.setattr(criteria, "contrast", contrast)
    return values


def assert_equal(left: Any, right: Any) -> None:
    jax.tree.map(np.testing.assert_array_equal, left, right)


def differ(left: Any, right: Any) -> bool:
    return any(jax.tree.leaves(jax.tree.map(lambda a, b: bool(np.abs(a - b).max() > 0), left, right)))


def epochs(workdir: Path) -> list[int]:
    return [row["epoch"] for row in read_jsonl(workdir / "adapt.jsonl")]


def test_an_update_is_written_over_the_state_before_it(root: Path) -> None:
    tx, images = adaptation_optimiser(), jnp.zeros((2, 32, 32, 3))
    program = extractor.adaptation_program(tiny_runs.config(root), tx)
    assert written_in_place(program, init_adapt(ORIGINAL, tx), images, images, ORIGINAL) == 1


def test_synthetic_defects_decide_where_asked_to(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The recorded worth is that of a whole sweep at the config's point with that epoch's extractor."""
    network = Layered(
        lambda x_t, t: 0.5 * x_t, lambda x_t, t: (0.5 * x_t, x_t), lambda x_t, t, deep: 0.4 * x_t + 0.1 * deep
    )
    monkeypatch.setattr(criteria, "layered", lambda *of: network)
    how: dict[str, Any] = {
        "select": "synthetic", "synthetic_normals": 6, "synthetic_defects": 12, "adapt__choose": "synthetic",
        "adapt__epochs": 2, "adapt__patience": 0, "score__standardise": True, "sample__solver": "dpm2m",
        "sample__reuse": 2,
    }  # fmt: skip
    c = tiny_runs.config(root, **how)
    asked = load_data(c)
    data = asked._replace(choice=None)
    _, epoch = adapted(c, tmp_path, data, None)  # which paints the defects itself
    rows = read_jsonl(tmp_path / "adapt.jsonl")
    worth = [row["synthetic_image_auroc"] for row in rows]
    assert len(rows) == 3 and epoch == int(np.argmax(worth)) and all("contrast" in row for row in rows)
    saved = Checkpoints(tmp_path / "adapt" / "epochs", keep=None).restore(ORIGINAL, 2)
    networks = network, feature_fn(tiny_runs.BACKBONE, saved)
    program = PairProgram(lambda _: networks, None, alpha_bar=jnp.asarray(alpha_bar_table()))
    fitted = tiny_runs.fitted(c, tmp_path / "sweep", program, epoch=2)
    (row,) = sweep_rows.compute_rows(c, tmp_path / "sweep", asked, fitted, Plan(*([p] for p in config_point(c)), None))
    assert row["synthetic_image_auroc"] == pytest.approx(worth[2], abs=0.03)

    # Epochs judged at another point do not compare with these.
    (tmp_path / "adapt" / "chosen.json").unlink()
    with caplog.at_level(logging.WARNING):
        adapted(tiny_runs.config(root, **{**how, "sample__w": 0.5}), tmp_path, data, None)
    assert any("judged at another point" in message for message in caplog.messages)
    assert epochs(tmp_path) == [0, 1, 2]


def test_no_epochs_leave_the_extractor_as_it_came(root: Path, data: Data, tmp_path: Path) -> None:
    variables, epoch = adapted(tiny_runs.config(root), tmp_path, data, None)
    assert epoch == 0 and variables is ORIGINAL and not (tmp_path / "adapt").exists()


@pytest.mark.parametrize(
    ("measured", "choose", "patience", "expected", "run"),
    [
        ([0.1, 0.2, 0.3, 0.2], "contrast", 3, 2, 3),
        ([0.5, 0.2, 0.3, 0.2], "contrast", 3, 0, 3),
        ([0.5, 0.2, 0.3, 0.2], "contrast", 1, 0, 1),
        ([0.1, 0.2, 0.1, 0.9], "contrast", 1, 1, 2),
        ([0.1, math.nan, 0.2, math.nan], "contrast", 3, 2, 3),
        ([0.5, 0.2, 0.3, 0.2], "last", 0, 3, 3),
    ],
)
def test_the_epoch_is_chosen_by_its_rule(
    root: Path, data: Data, tmp_path: Path, contrasts: list[float],
    measured: list[float], choose: str, patience: int, expected: int, run: int,
) -> None:  # fmt: skip
    contrasts += measured
    c = tiny_runs.config(root, adapt__epochs=3, adapt__choose=choose, adapt__patience=patience)
    variables, epoch = adapted(c, tmp_path, data, None)
    assert epoch == expected and epochs(tmp_path) == list(range(run + 1))
    saved = Checkpoints(tmp_path / "adapt" / "epochs", keep=None)
    assert saved.steps() == list(range(1, run + 1)), "every epoch is kept"
    assert differ(variables, ORIGINAL) == (expected > 0)
    if expected:
        assert_equal(variables, saved.restore(ORIGINAL, expected))
    contrasts.clear()
    again, same = adapted(c, tmp_path, data, None)
    assert same == epoch and epochs(tmp_path) == list(range(run + 1))
    assert_equal(again, variables)


def test_finished_epochs_are_not_run_again(
    root: Path, data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    c = tiny_runs.config(root, adapt__epochs=3, adapt__choose="last")
    adapted(c, tmp_path, data, None)
    (tmp_path / "adapt" / "chosen.json").unlink()
    monkeypatch.setattr(extractor, "append_jsonl", None)  # the row of another epoch
    assert adapted(c, tmp_path, data, None)[1] == 3


@pytest.mark.parametrize("said", ["", "{", "[]", "{}", '{"epoch": "x"}'])
def test_a_choice_that_cannot_be_read_is_refused_by_its_file(root: Path, data: Data, tmp_path: Path, said: str) -> None:
    (tmp_path / "adapt").mkdir()
    (tmp_path / "adapt" / "chosen.json").write_text(said)
    with pytest.raises(InputError, match=r"adapt/chosen\.json: .*Delete it to choose again"):
        adapted(tiny_runs.config(root, adapt__epochs=1), tmp_path, data, None)


def test_a_signal_says_up_to_which_epoch_it_is_saved(
    root: Path, data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = extractor.pairs

    def struck(*args: Any, epoch: int, **how: Any) -> Any:
        if epoch == 2:
            raise stopping.Stopped(signal.SIGTERM)
        return real(*args, epoch=epoch, **how)

    monkeypatch.setattr(extractor, "pairs", struck)
    with pytest.raises(stopping.Stopped, match=r"saved up to epoch 1 in .*adapt; epoch 2 begins anew\. The same"):
        adapted(tiny_runs.config(root, adapt__epochs=2), tmp_path, data, None)


def test_a_stop_decided_before_the_kill_stays_decided(
    root: Path, data: Data, tmp_path: Path, contrasts: list[float]
) -> None:
    contrasts += [0.5, 0.2]
    c = tiny_runs.config(root, adapt__epochs=5, adapt__patience=1)
    assert adapted(c, tmp_path, data, None)[1] == 0
    (tmp_path / "adapt" / "chosen.json").unlink()
    assert adapted(c, tmp_path, data, None)[1] == 0
    assert epochs(tmp_path) == [0, 1]


@pytest.mark.parametrize("left", ["none", "gap", "torn"])
def test_without_its_journal_adaptation_starts_again(root: Path, data: Data, tmp_path: Path, left: str) -> None:
    c = tiny_runs.config(root, adapt__epochs=2, adapt__choose="last")
    first, _ = adapted(c, tmp_path, data, None)
    (tmp_path / "adapt" / "chosen.json").unlink()
    journal = tmp_path / "adapt.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text({"none": "", "gap": lines[0] + lines[2], "torn": "".join(lines)[:-9]}[left])
    again, epoch = adapted(c, tmp_path, data, None)
    assert epoch == 2 and epochs(tmp_path) == [0, 1, 2]
    assert_equal(again, first)


def test_the_wall_clock_limit_ends_it_after_an_epoch(
    root: Path, data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = iter(range(0, 10**6, 60))
    monkeypatch.setattr(extractor.time, "perf_counter", lambda: float(next(now)))
    c = tiny_runs.config(root, adapt__epochs=500, adapt__patience=0, adapt__max_minutes=10.0)
    adapted(c, tmp_path, data, None)
    assert 1 < epochs(tmp_path)[-1] < 12
    assert json.loads((tmp_path / "adapt" / "chosen.json").read_text())["epochs_run"] == epochs(tmp_path)[-1]


@pytest.mark.parametrize("name", ["loss", "grad_norm"])
def test_not_a_number_stops_and_keeps_the_epochs_before(
    root: Path, data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    real = extractor.adapt_step
    per_epoch = len(extractor.pairs(len(data.fit.labels), 4, epoch=1, seed=0)[0])

    def adapt_step(state: Any, *args: Any, **how: Any) -> Any:
        new, metrics = real(state, *args, **how)
        return new, {**metrics, name: jnp.where(state.step >= per_epoch, jnp.nan, metrics[name])}

    monkeypatch.setattr(extractor, "adapt_step", adapt_step)
    c = tiny_runs.config(root, adapt__epochs=3)
    with pytest.raises(InputError, match=r"stopped in epoch 2.*Epochs up to 1 are saved.*adapt\.learning_rate"):
        adapted(c, tmp_path, data, None)
    assert Checkpoints(tmp_path / "adapt" / "epochs", keep=None).steps() == [1]
    assert not (tmp_path / "adapt" / "chosen.json").exists()
