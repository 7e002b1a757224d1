"""A training of any method of the room ends alike however often it is killed; stages follow each other."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_runs

from ddad_jax.engine.data.splits import Data
from ddad_jax.engine.methods import training_pictures
from ddad_jax.engine.methods.draem import DRAEM, DRAEMSettings
from ddad_jax.engine.methods.loop import learning_rate, optimiser_of
from ddad_jax.engine.methods.trained import training
from ddad_jax.engine.methods.trained.sections import NetworkTrainingSettings
from ddad_jax.engine.settings.section import changed
from ddad_jax.engine.store.tables import read_jsonl
from ddad_jax.engine.tracking import silent
from ddad_jax.engine.workdir import open_workdir
from ddad_jax.errors import InputError
from ddad_jax.types import Array, Variables

METHOD = DRAEM()


@pytest.fixture(scope="module", autouse=True)
def small() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        tiny_runs.small_pair(patch.setattr)
        yield


def config(root: Path, **changes: Any) -> Any:
    how: dict[str, Any] = {"train__steps": 7, "train__drop_at": (0.5,), "data__flips": "hv", **changes}
    return tiny_runs.config(root, "draem", **how)


def networks(c: Any, workdir: Path, data: Data) -> Any:
    return METHOD.fit(c, workdir, data, silent).variables


def test_a_killed_training_ends_as_an_unbroken_one(
    root: Path, data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    c, batch = config(root), training_pictures.batch_indices
    unbroken = networks(c, tmp_path / "unbroken", data)

    def batch_indices(at: int, *how: Any) -> np.ndarray:
        if at == 5:
            raise KeyboardInterrupt
        return batch(at, *how)

    with monkeypatch.context() as patch:
        patch.setattr(training_pictures, "batch_indices", batch_indices)
        with pytest.raises(KeyboardInterrupt):
            networks(c, tmp_path / "killed", data)
    with pytest.raises(InputError, match="holds no training that has ended"):
        METHOD.restored(c, tmp_path / "killed")
    assert 0 < read_jsonl(tmp_path / "killed" / "train.jsonl")[-1]["step"] < 7
    resumed = networks(c, tmp_path / "killed", data)
    jax.tree.map(np.testing.assert_array_equal, resumed, unbroken)
    jax.tree.map(np.testing.assert_array_equal, METHOD.restored(c, tmp_path / "killed").variables, unbroken)


def test_the_history_says_what_was_minimised_and_at_which_rate(root: Path, data: Data, tmp_path: Path) -> None:
    networks(config(root, train__learning_rate=0.01, train__drop=0.1), tmp_path, data)
    rows = read_jsonl(tmp_path / "train.jsonl")
    assert [row["step"] for row in rows] == [2, 4, 6, 7] and "validation_loss" in rows[-1]
    assert [row["learning_rate"] for row in rows] == pytest.approx([0.01, 0.01, 0.001, 0.001])
    assert all(np.isfinite([row[name] for name in METHOD.figures["train"]]).all() for row in rows)


def test_the_rate_that_is_told_is_the_optimisers() -> None:
    s = NetworkTrainingSettings(steps=10, learning_rate=0.1, drop_at=(0.5, 0.8), drop=0.5, warmup_steps=2)
    tx, ones = optimiser_of(s), jnp.ones(3)
    state, sizes = tx.init(ones), []
    for _ in range(10):
        update, state = tx.update(ones, state, ones)
        sizes.append(-float(update[0]))
    assert sizes == pytest.approx([learning_rate(s, step) for step in range(10)], rel=1e-4)
    assert sizes[-1] == pytest.approx(0.025, rel=1e-4)


def test_other_damage_is_another_training(root: Path, data: Data, tmp_path: Path) -> None:
    c = config(root)
    open_workdir(tmp_path, c, data)
    networks(c, tmp_path, data)
    open_workdir(tmp_path, changed(c, {"score.window": 5}), data)
    with pytest.raises(InputError, match=r"damage\.cutout: there 0\.0, now 0\.25"):
        open_workdir(tmp_path, changed(c, {"damage.cutout": 0.25}), data)


@dataclass(frozen=True)
class TwoStageSettings(DRAEMSettings):
    colour: NetworkTrainingSettings = NetworkTrainingSettings(steps=25, batch_size=4, learning_rate=0.1)


class TwoStages(DRAEM):
    """The mean colour of all pictures, then that colour times two."""

    stages = ("colour", "train")
    figures: Mapping[str, tuple[str, ...]] = {}

    def init(self, c: Any, stage: str, key: Array) -> Variables:
        return {"params": jnp.zeros(3)}

    def materials(self, c: Any, stage: str, data: Data) -> dict[str, Any]:
        return {"factor": np.float32(2.0)} if stage == "train" else {}

    def _target(self, given: Mapping[str, Any], x: Array) -> Array:
        return given["factor"] * given["colour"]["params"] if "colour" in given else x.mean((0, 1, 2))

    def loss(
        self, c: Any, stage: str, variables: Variables, given: Mapping[str, Any], x: Array, key: Array
    ) -> tuple[Array, tuple[dict[str, Array], dict[str, Any]]]:
        params: Any = variables["params"]
        return jnp.square(params - self._target(given, x)).sum(), ({}, {})

    def validation(
        self, c: Any, stage: str, variables: Variables, given: Mapping[str, Any], x: Array, keys: Array
    ) -> Array:
        params: Any = variables["params"]
        return jnp.square(params - self._target(given, x)).sum() * jnp.ones(len(x))


def test_a_stage_is_given_what_those_before_it_learnt(root: Path, data: Data, tmp_path: Path) -> None:
    c = TwoStageSettings.of({**config(root).to_dict(), "colour": TwoStageSettings().colour.to_dict()})
    c = changed(
        c,
        {
            "train.steps": 40,
            "train.learning_rate": 0.2,
            "train.drop_at": (0.6,),
            "train.ema_decay": 0.0,
            "colour.ema_decay": 0.0,
        },
    )
    method = TwoStages()
    found: Any = method.fit(c, tmp_path, data, silent).variables
    colour = (data.fit.images / 127.5 - 1).mean((0, 1, 2))
    np.testing.assert_allclose(found["colour"]["params"], colour, atol=0.1)
    np.testing.assert_allclose(found["train"]["params"], 2 * found["colour"]["params"], atol=0.05)
    assert {"colour.jsonl", "train.jsonl", "colour", "train"} <= {path.name for path in tmp_path.iterdir()}
    assert [*method.bound(tmp_path, c.to_dict())] == ["colour", "train"]
    jax.tree.map(np.testing.assert_array_equal, method.restored(c, tmp_path).variables, found)


def test_a_training_that_diverges_names_its_flag(
    root: Path, data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def loss(c: Any, stage: str, variables: Any, given: Any, x: Array, key: Array) -> Any:
        of, (figures, stats) = DRAEM.loss(METHOD, c, stage, variables, given, x, key)
        return of * jnp.nan, (figures, stats)

    method = DRAEM()
    monkeypatch.setattr(method, "loss", loss)
    c = config(root)
    with pytest.raises(InputError, match=r"Lower --config\.train\.learning_rate \(now 0\.001\)"):
        method.fit(c, tmp_path, data, silent)
    fresh = training._fresh(method, c, "train", training.only_parameters(optimiser_of(c.train)))
    saved = training.begun(fresh, training.Checkpoints(tmp_path / "train")).state
    jax.tree.map(np.testing.assert_array_equal, saved.params, fresh.params)


def test_materials_lie_on_the_device_before_the_first_step(
    root: Path, data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    make = training._task

    def task(method: Any, c: Any, stage: str, data: Data, given: Any, *more: Any) -> Any:
        seen.extend(jax.tree.leaves(given))
        return make(method, c, stage, data, given, *more)

    monkeypatch.setattr(training, "_task", task)
    networks(config(root, train__steps=1), tmp_path, data)
    assert seen and all(isinstance(leaf, jax.Array) for leaf in seen)
