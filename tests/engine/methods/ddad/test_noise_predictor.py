"""Training stops in time, and keeps no diverged model."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_runs
from aliasing import written_in_place

from ddad_jax.checkpoint import Checkpoints
from ddad_jax.engine.data.splits import Data, load_data
from ddad_jax.engine.methods import loop, training_pictures, updates
from ddad_jax.engine.methods.ddad import noise_predictor
from ddad_jax.engine.methods.ddad.noise_predictor import trained
from ddad_jax.engine.store.tables import read_jsonl
from ddad_jax.errors import InputError


@pytest.fixture(autouse=True)
def small_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_runs.small_predictor(monkeypatch.setattr)


def assert_equal(left: Any, right: Any) -> None:
    for name in ("gain", "shift"):
        np.testing.assert_array_equal(left[name], right[name])


def restored(workdir: Path, clip_norm: float = 1.0) -> dict[str, Any]:
    """The newest checkpoint."""
    found = Checkpoints(workdir / "train")
    tx = loop.optimiser(clip_norm=clip_norm)
    state = noise_predictor.init_state(tiny_runs.init_params(None, 0), tx)
    return found.restore({"state": state, "seconds": np.zeros(()), "finished": np.zeros((), np.int32)})


def test_a_finished_training_is_not_repeated(
    root: Path, data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    c = tiny_runs.config(root)
    first = trained(c, tmp_path, data)
    monkeypatch.setattr(noise_predictor, "train_step", None)
    journal = (tmp_path / "train.jsonl").read_bytes()
    assert_equal(trained(c, tmp_path, data), first)
    assert (tmp_path / "train.jsonl").read_bytes() == journal


def test_the_average_is_used_where_there_is_one(root: Path, data: Data, tmp_path: Path) -> None:
    averaged = trained(tiny_runs.config(root), tmp_path / "a", data)
    assert_equal(averaged, restored(tmp_path / "a")["state"].ema)
    plain = trained(tiny_runs.config(root, train__ema_decay=0.0), tmp_path / "b", data)
    assert_equal(plain, restored(tmp_path / "b")["state"].params)
    assert np.abs(averaged["gain"] - plain["gain"]).max() > 0


def test_fewer_pictures_than_a_batch_train(root: Path, tmp_path: Path) -> None:
    c = tiny_runs.config(tiny_runs.folder(tmp_path / "few", n_train=3), train__batch_size=16)
    few = load_data(c)
    assert len(few.fit.labels) == 2
    before = tiny_runs.init_params(None, c.seed)
    assert np.abs(trained(c, tmp_path / "w", few)["gain"] - before["gain"]).max() > 0
    assert read_jsonl(tmp_path / "w" / "train.jsonl")[-1]["step"] == 6


class Clock:
    """A minute passes at every look at it."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        self.now += 60.0
        return self.now


def test_the_wall_clock_limit_stops_training_for_good(
    root: Path, data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "time", Clock())
    c = tiny_runs.config(root, train__steps=1000, train__max_minutes=30.0)
    first = trained(c, tmp_path, data)
    rows = read_jsonl(tmp_path / "train.jsonl")
    assert 2 < rows[-1]["step"] < 30 and math.isfinite(rows[-1]["validation_loss"])
    assert 30 * 60 <= rows[-1]["seconds"] < 40 * 60
    monkeypatch.setattr(noise_predictor, "train_step", None)
    assert_equal(trained(c, tmp_path, data), first)


def test_minutes_before_the_first_update_do_not_count(
    root: Path, data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, step = Clock(), noise_predictor.train_step

    def slow_at_first(*args: Any, **how: Any) -> Any:
        clock.now += 3600.0 * (clock.now < 3600.0)
        return step(*args, **how)

    monkeypatch.setattr(loop, "time", clock)
    monkeypatch.setattr(noise_predictor, "train_step", slow_at_first)
    trained(tiny_runs.config(root, train__steps=1000, train__max_minutes=30.0), tmp_path, data)
    last = read_jsonl(tmp_path / "train.jsonl")[-1]
    assert last["step"] > 2 and 30 * 60 <= last["seconds"] < 40 * 60 and clock.now > 3600


def test_minutes_before_a_kill_count(root: Path, data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "time", Clock())
    c, batch = tiny_runs.config(root, train__steps=1000, train__max_minutes=30.0), training_pictures.batch_indices

    def batch_indices(at: int, *how: Any) -> np.ndarray:
        if at == 5:
            raise KeyboardInterrupt
        return batch(at, *how)

    with monkeypatch.context() as patch:
        patch.setattr(training_pictures, "batch_indices", batch_indices)
        with pytest.raises(KeyboardInterrupt):
            trained(c, tmp_path, data)
    saved = float(restored(tmp_path)["seconds"])
    assert 5 * 60 < saved < 30 * 60
    trained(c, tmp_path, data)
    rows = read_jsonl(tmp_path / "train.jsonl")
    assert all(a["step"] < b["step"] and a["seconds"] < b["seconds"] for a, b in zip(rows, rows[1:], strict=False))
    assert rows[-1]["seconds"] < 40 * 60


def test_an_absurd_learning_rate_stops_and_leaves_good_parameters(root: Path, data: Data, tmp_path: Path) -> None:
    c = tiny_runs.config(root, train__learning_rate=1e30, train__clip_norm=0.0)
    for _ in range(2):  # the same command again meets the same end
        with pytest.raises(
            InputError, match=r"stopped at step \d+.*loss is.*train\.learning_rate \(now 1e\+30\)"
        ) as caught:
            trained(c, tmp_path, data)
        step = Checkpoints(tmp_path / "train").steps()[-1]
        assert f"of step {step}" in str(caught.value)
        saved = restored(tmp_path, clip_norm=0.0)
        assert not saved["finished"]
        assert np.abs(saved["state"].params["gain"]).max() < 10


def test_a_last_step_that_diverges_is_not_taken_for_a_model(root: Path, data: Data, tmp_path: Path) -> None:
    c = tiny_runs.config(root, train__learning_rate=1e30, train__clip_norm=0.0, train__steps=1)
    with pytest.raises(InputError, match="validation loss is"):
        trained(c, tmp_path, data)
    assert not restored(tmp_path, clip_norm=0.0)["finished"]


def not_finite_at(step: int, name: str) -> Callable[..., Any]:
    real = noise_predictor.train_step

    def train_step(state: Any, *args: Any, **how: Any) -> Any:
        new, metrics = real(state, *args, **how)
        bad = state.step == step
        # As the real one does: what is not finite leaves the state as it was.
        new = jax.tree.map(lambda a, b: jnp.where(bad, b, a), new, state)
        return new, {**metrics, name: jnp.where(bad, jnp.nan, metrics[name])}

    return train_step


@pytest.mark.parametrize("name", ["loss", "grad_norm"])
def test_not_a_number_stops_with_the_parameters_before_it(
    root: Path, data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    c = tiny_runs.config(root, train__steps=20)
    monkeypatch.setattr(noise_predictor, "train_step", not_finite_at(5, name))
    with pytest.raises(InputError, match=r"stopped at step 5.*of step 5, are saved"):
        trained(c, tmp_path, data)
    assert Checkpoints(tmp_path / "train").steps()[-1] == 5
    assert int(restored(tmp_path)["state"].step) == 5


# --- Many updates at once


def test_however_many_updates_are_asked_for_at_once_the_model_is_the_same(
    root: Path, data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bit for bit, as is one whose pictures are streamed; the history, too."""
    monkeypatch.setattr(loop, "AT_ONCE_S", 1e9)
    how: dict[str, Any] = {
        "train__steps": 12, "train__log_every": 6, "train__validate_every": 6, "train__checkpoint_every": 6,
        "data__flips": "hv",
    }  # fmt: skip
    asked: list[int] = []
    real = noise_predictor._task

    def task(*args: Any) -> Any:
        made = real(*args)

        def updates(state: Any, first: int, count: int) -> Any:
            asked.append(count)
            return made.updates(state, first, count)

        return made._replace(updates=updates)

    monkeypatch.setattr(noise_predictor, "_task", task)
    found, counts = {}, {}
    ways: dict[str, dict[str, Any]] = {
        "one by one": {"device__dispatch": 1},
        "at once": {},
        "looped": {},
        "streamed": {},
    }
    for name, device in ways.items():
        monkeypatch.setattr(updates, "loops", lambda name=name: name == "looped")
        if name == "streamed":
            monkeypatch.setattr(training_pictures, "fits", lambda images, allowed: False)
        c = tiny_runs.config(root, **how, **device)
        found[name] = trained(c, tmp_path / name, data)
        counts[name], asked[:] = list(asked), []
    assert counts == {"one by one": [1] * 12, **dict.fromkeys(("at once", "looped", "streamed"), [1, 1, 4, 6])}
    looped = found.pop("looped")  # another program, which rounds elsewhere
    for params in found.values():
        assert_equal(params, found["one by one"])
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), params, looped)
    rows = [
        [{k: v for k, v in row.items() if k not in ("seconds", "images_per_s")} for row in read_jsonl(file)]
        for file in (tmp_path / name / "train.jsonl" for name in found)
    ]
    assert all(each == rows[0] for each in rows) and len(rows[0]) == 2


def test_an_update_is_written_over_the_state_before_it(root: Path) -> None:
    c, tx = tiny_runs.config(root), loop.optimiser()
    images = jnp.zeros((5, 32, 32, 3), jnp.uint8)
    batches = training_pictures.Batches(images, jnp.zeros((2, 4), jnp.int32), jnp.zeros((2, 2, 4), bool))
    state = noise_predictor.init_state(tiny_runs.init_params(None, 0), tx)
    one = updates.training_program(noise_predictor.update_fn(c, tiny_runs.predict, tx))
    assert written_in_place(one, state, np.asarray(True), None, batches, 0) == 1
    many = updates.looped_program(noise_predictor.update_fn(c, tiny_runs.predict, tx), 2, ("loss", "mse", "grad_norm"))
    assert written_in_place(many, state, None, batches, 2) == 1
