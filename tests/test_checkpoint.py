"""A checkpoint comes back as it went or is refused; a kill leaves the one before."""

import shutil
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest

from ddad_jax.checkpoint import Checkpoints
from ddad_jax.errors import InputError


class State(NamedTuple):
    """As the real ones: a step, parameters, and a tree of optax's named tuples."""

    step: Any
    params: Any
    opt_state: Any


def state(value: float = 1.0, width: int = 3) -> State:
    params = {"down_0_0": {"kernel": jnp.full((2, width), value)}, "out": {"bias": jnp.full((width,), -value)}}
    chain = optax.chain(optax.clip_by_global_norm(1.0), optax.add_decayed_weights(0.1), optax.adam(1e-3))
    return State(jnp.asarray(7, jnp.int32), params, chain.init(params))


def assert_equal(left: Any, right: Any) -> None:
    def same(a: Any, b: Any) -> None:
        assert np.asarray(a).dtype == np.asarray(b).dtype
        np.testing.assert_array_equal(a, b)

    jax.tree.map(same, left, right)  # raises where the structures differ


def test_a_tree_comes_back_as_it_went(tmp_path: Path) -> None:
    tree = {
        "state": state(0.1),
        "seconds": np.asarray(12.5),
        "finished": np.asarray(1, np.int32),
        "half": jnp.full((3,), 0.1, jnp.bfloat16),
    }
    Checkpoints(tmp_path).save(7, tree)
    template = jax.tree.map(np.zeros_like, tree)
    assert_equal(Checkpoints(tmp_path).restore(template), jax.tree.map(np.asarray, tree))


def test_the_newest_stay_and_the_newest_is_the_default(tmp_path: Path) -> None:
    found = Checkpoints(tmp_path / "a" / "b", keep=2)
    assert found.steps() == []
    for step in (0, 5, 10, 100):
        found.save(step, {"x": np.asarray(step)})
    assert found.steps() == [10, 100]
    assert found.restore({"x": np.asarray(0)})["x"] == 100
    assert found.restore({"x": np.asarray(0)}, 10)["x"] == 10


def test_all_can_be_kept_and_a_number_replaced(tmp_path: Path) -> None:
    found = Checkpoints(tmp_path, keep=None)
    for step in (1, 2, 3):
        found.save(step, {"x": np.asarray(step)})
    found.save(2, {"x": np.asarray(20)})
    assert found.steps() == [1, 2, 3]
    assert found.restore({"x": np.asarray(0)}, 2)["x"] == 20
    found.clear()
    found.clear()
    assert found.steps() == []


def test_what_a_kill_left_is_no_checkpoint_and_goes_with_the_next_save(tmp_path: Path) -> None:
    found = Checkpoints(tmp_path)
    found.save(1, {"x": np.asarray(1)})
    torn = tmp_path / "2.orbax-checkpoint-tmp"
    torn.mkdir()
    (torn / "half").write_bytes(b"x" * 100)
    (tmp_path / "notes.txt").write_text("mine")
    assert found.steps() == [1]
    assert found.restore({"x": np.asarray(0)})["x"] == 1
    found.save(3, {"x": np.asarray(3)})
    assert found.steps() == [1, 3] and not torn.exists() and (tmp_path / "notes.txt").exists()


def test_one_that_is_begun_is_of_the_moment_and_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found, going_on, save = Checkpoints(tmp_path), threading.Event(), ocp.StandardCheckpointer.save

    def slow(*args: Any, **how: Any) -> None:
        assert going_on.wait(10)
        save(*args, **how)

    monkeypatch.setattr(ocp.StandardCheckpointer, "save", slow)
    state = {"x": np.arange(3.0)}
    found.begin(1, state)
    state["x"][:] = -1  # as an update writes over the state before it
    assert Checkpoints(tmp_path).steps() == []
    going_on.set()
    assert found.steps() == [1]
    np.testing.assert_array_equal(found.restore({"x": np.zeros(3)})["x"], [0, 1, 2])
    for step in (2, 3, 4):
        found.begin(step, state)
    found.wait()
    assert Checkpoints(tmp_path).steps() == [3, 4]


def test_what_goes_wrong_behind_the_training_is_raised_once_where_it_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = Checkpoints(tmp_path)
    found.save(1, {"x": np.zeros(3)})
    with monkeypatch.context() as patch:
        patch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1))
        found.begin(2, {"x": np.zeros(3)})
        with pytest.raises(InputError, match="2: the checkpoint cannot be written .*No space left"):
            found.wait()
    found.wait()
    assert found.steps() == [1]


def test_a_kill_while_one_is_removed_leaves_no_half_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the next run would take it for a whole one."""
    found = Checkpoints(tmp_path / "c", keep=1)
    found.save(1, {"x": np.asarray(1)})
    rmtree = shutil.rmtree

    def killed(path: Path) -> None:
        if "1" in path.name:
            next(file for file in path.rglob("*") if file.is_file()).unlink()
            raise KeyboardInterrupt
        rmtree(path)

    monkeypatch.setattr(shutil, "rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        found.save(2, {"x": np.asarray(2)})
    assert found.steps() == [2]
    monkeypatch.undo()
    found.save(3, {"x": np.asarray(3)})
    assert [path.name for path in (tmp_path / "c").iterdir()] == ["3"]


def test_nothing_to_restore_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no checkpoint.*found none"):
        Checkpoints(tmp_path / "none").restore({"x": np.asarray(0)})
    Checkpoints(tmp_path).save(4, {"x": np.asarray(0)})
    with pytest.raises(InputError, match=r"no checkpoint 9; found \[4\]"):
        Checkpoints(tmp_path).restore({"x": np.asarray(0)}, 9)


def without_a_leaf() -> State:
    found = state()
    return found._replace(params={"down_0_0": found.params["down_0_0"]})


def with_another_name() -> State:
    found = state()
    return found._replace(params={**found.params, "in": found.params["out"]})


@pytest.mark.parametrize(
    ("template", "named"),
    [
        (state(width=4), "down_0_0/kernel"),
        (without_a_leaf(), "params/out/bias"),
        (with_another_name(), "params/in/bias"),
        (state()._replace(opt_state=optax.sgd(0.1).init({})), "opt_state"),
    ],
    ids=["shape", "missing", "extra", "optimiser"],
)
def test_another_template_is_refused_by_name(tmp_path: Path, template: State, named: str) -> None:
    Checkpoints(tmp_path).save(1, state())
    with pytest.raises(InputError, match=named) as caught:
        Checkpoints(tmp_path).restore(template)
    assert str(tmp_path) in str(caught.value) and "another model" in str(caught.value)


@pytest.mark.parametrize("how", ["half", "empty", "gone"])
@pytest.mark.parametrize("which", ["_METADATA", "manifest.ocdbt", "largest"])
def test_a_damaged_checkpoint_is_named_with_what_to_do(tmp_path: Path, which: str, how: str) -> None:
    tree = {"x": np.random.default_rng(0).normal(size=(64, 64))}
    Checkpoints(tmp_path).save(3, tree)
    folder = tmp_path / "3"
    largest = max((path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    file = largest if which == "largest" else folder / which
    content = file.read_bytes()
    if how == "gone":
        file.unlink()
    else:
        file.write_bytes(content[: len(content) // 2 if how == "half" else 0])
    with pytest.raises(InputError, match=r"/3: the checkpoint is damaged .*delete this folder"):
        Checkpoints(tmp_path).restore(tree)
