"""DiffusionAD behind the seam: what it is given, the rates of its two networks, and that it learns."""

from pathlib import Path
from typing import Any

import golden_methods_files as golden
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tiny_runs

from ddad_jax.engine.data.splits import Data
from ddad_jax.engine.methods.diffusionad import DiffusionAD
from ddad_jax.engine.pipeline import run_all
from ddad_jax.engine.store.tables import read_jsonl
from ddad_jax.engine.sweep.rows import measured_pictures
from ddad_jax.errors import InputError

METHOD = DiffusionAD()


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_runs.small_guided(monkeypatch.setattr)


def test_the_published_rate_of_the_network_that_marks_swings(root: Path) -> None:
    case = golden.cases("diffusionad", "seg_lr")[0][1]
    rates = golden.arrays("diffusionad", case["file"])["seg_lr"]
    c = tiny_runs.config(root, "diffusionad", train__marks=0.1, train__swing=10, train__learning_rate=1e-4)
    scaled = METHOD.scaled(c, "train")
    assert scaled is not None
    params = {
        "params": {"unet": jnp.ones(2), "segmentation": jnp.ones(3)},
        "batch_stats": {"segmentation": jnp.ones(1)},
    }
    masked = optax.masked(scaled, lambda variables: {name: name == "params" for name in variables})
    state = masked.init(params)
    for rate in rates:
        updates, state = masked.update(jax.tree.map(lambda a: -1e-4 * a, params), state)
        np.testing.assert_allclose(updates["params"]["segmentation"], -rate, atol=1e-9)
        np.testing.assert_allclose(updates["params"]["unet"], -1e-4, rtol=1e-6)


def test_by_default_both_networks_have_one_rate(root: Path) -> None:
    assert METHOD.scaled(tiny_runs.config(root, "diffusionad"), "train") is None


def test_the_foreground_goes_along_as_a_fourth_channel(root: Path) -> None:
    image = np.full((1, 64, 64, 3), 20, np.uint8)
    image[0, 20:44, 20:44] = 200
    shown = METHOD.shown(tiny_runs.config(root, "diffusionad"), "train", image)
    np.testing.assert_array_equal(shown[..., :3], image)
    assert shown[0, 32, 32, 3] == 255 and shown[0, 2, 2, 3] == 0
    anywhere = tiny_runs.config(root, "diffusionad", damage__foreground="all")
    assert METHOD.shown(anywhere, "train", image) is image


def test_training_lowers_each_of_its_losses(root: Path, data: Data, tmp_path: Path) -> None:
    how: dict[str, Any] = {"train__steps": 60, "train__learning_rate": 0.02, "train__log_every": 20}
    run_all(tiny_runs.config(root, "diffusionad", **how), tmp_path, sweep=False)
    first, *_, last = [row for row in read_jsonl(tmp_path / "train.jsonl") if "noise" in row]
    assert last["noise"] < first["noise"] and last["smooth_l1"] < first["smooth_l1"]


@pytest.mark.parametrize(
    ("flag", "value", "says"),
    [
        ("diffusionad__t_noisier", 200, "t_noisier=200: expected later than every diffusionad.t, 200"),
        ("sweep__t", (500,), "t_noisier=400: expected later than every diffusionad.t, 500"),
        ("model__heads", 3, "model.heads=3: expected a divisor of every width"),
    ],
)
def test_what_no_training_could_be_made_of_is_refused_before_any(root: Path, flag: str, value: Any, says: str) -> None:
    with pytest.raises(InputError, match=says):
        tiny_runs.config(root, "diffusionad", **{flag: value})


def test_values_of_a_sweep_share_a_program(root: Path, data: Data, tmp_path: Path) -> None:
    c = tiny_runs.config(root, "diffusionad", sweep__w=(0.0, 1.0, 3.0), sweep__t=(100, 200), sweep__sigma=(0.0,))
    fitted = METHOD.fit(c, tmp_path, data, lambda *_: None)
    maps = [
        measured.evidence for measured in fitted.measure(measured_pictures(data), METHOD.plan(c, sweep=True).costly)
    ]
    assert len(maps) == 6 and fitted.compilations == 1
    assert len({np.asarray(of).tobytes() for of in maps}) == 6
