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

from ddad_jax.checkpoint import Checkpoints
from ddad_jax.engine.data.splits import Data, load_data
from ddad_jax.engine.methods import loop
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
    c, batch = tiny_runs.config(root, train__steps=1000, train__max_minutes=30.0), noise_predictor.batch_indices

    def batch_indices(at: int, *how: Any) -> np.ndarray:
        if at == 5:
            raise KeyboardInterrupt
        return batch(at, *how)

    with monkeypatch.context() as patch:
        patch.setattr(noise_predictor, "batch_indices", batch_indices)
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


def test_flips_are_a_function_of_seed_and_step() -> None:
    images = np.random.default_rng(0).integers(0, 256, (64, 4, 4, 3), np.uint8)
    kept = images.copy()
    assert noise_predictor._flipped(images, "", 0, 3) is images
    for flips, mirrors in (("h", 2), ("v", 2), ("hv", 4)):
        found = noise_predictor._flipped(images, flips, 0, 3)
        np.testing.assert_array_equal(found, noise_predictor._flipped(images, flips, 0, 3))
        views = [
            images[:, a, b] for a in (slice(None), slice(None, None, -1)) for b in (slice(None), slice(None, None, -1))
        ]
        which = np.array([[(image == view[i]).all() for view in views] for i, image in enumerate(found)])
        assert which.any(1).all() and which.any(0).sum() == mirrors
        assert (found != noise_predictor._flipped(images, flips, 0, 4)).any()
    np.testing.assert_array_equal(images, kept)
