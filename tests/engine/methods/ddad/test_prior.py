"""A Gaussian of the training pictures in a run of DDAD: alone, below a network, kept, and in use."""

import csv
from pathlib import Path
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_runs

import ddad_jax
from ddad_jax.data import to_float
from ddad_jax.data.read import read_full
from ddad_jax.engine.data.splits import Data
from ddad_jax.engine.methods.ddad import noise_predictor, prior, student
from ddad_jax.engine.methods.ddad.networks import alpha_bar, build_unet, eps_fn, layered
from ddad_jax.engine.methods.ddad.noise_predictor import restored_params, trained
from ddad_jax.engine.pipeline import run_all
from ddad_jax.engine.setting_doubts import doubts
from ddad_jax.errors import InputError
from ddad_jax.gaussian_prior import fit_picture, gaussian_eps
from ddad_jax.types import Array
from ddad_jax.unet import UNet

ALONE: dict[str, Any] = {"model__prior": "gaussian", "train__steps": 0, "model__rank": 3}
TIMES = jnp.array([5, 200])


def test_without_steps_it_is_the_gaussian_of_the_training_pictures_and_their_mirror_images(
    root: Path, data: Data, tmp_path: Path
) -> None:
    c = tiny_runs.config(root, **ALONE, data__flips="h")
    x = np.asarray(to_float(data.fit.images))
    expected = fit_picture([np.concatenate([x, x[:, :, ::-1]])], rank=3)
    x_t = jnp.asarray(x[:2])
    found = jax.jit(eps_fn(build_unet(c.model, 32), trained(c, tmp_path, data)))(x_t, TIMES)
    np.testing.assert_allclose(found, jax.jit(gaussian_eps(expected, alpha_bar()))(x_t, TIMES), rtol=1e-3, atol=1e-4)
    assert not (tmp_path / "train").exists()


def test_it_is_fitted_once_and_anew_for_another_rank(
    root: Path, data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    c = tiny_runs.config(root, **ALONE)
    first = trained(c, tmp_path, data)
    with monkeypatch.context() as patch:
        patch.setattr(prior, "_fit", None)
        again = (trained(c, tmp_path, data), restored_params(c, tmp_path))
    for params in again:
        jax.tree.map(np.testing.assert_array_equal, params, first)
    trained(tiny_runs.config(root, **{**ALONE, "model__rank": 2}), tmp_path, data)
    assert len(restored_params(c, tmp_path)["gaussian_prior"]["variance"]) == 2


class Linear:
    """In the place of the U-Net: its output is linear in what it is given, its deep feature a mean."""

    def apply(self, variables: Any, x: Array, t: Array, deep: Array | None = None, **how: Any) -> Any:
        out = tiny_runs.predict(variables["params"], x, t, None)
        return (out, x.mean() if deep is None else deep) if how else out


def test_a_training_begins_at_the_gaussian_and_its_deep_layers_can_be_reused(
    root: Path, data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    c = tiny_runs.config(root, **{**ALONE, "train__steps": 1, "train__error": "output"}, train__validate_every=1)
    x_t = to_float(data.fit.images[:2])
    gaussian = gaussian_eps(prior.fitted_prior(c, tmp_path, data), alpha_bar())  # type: ignore[arg-type]
    began: list[float] = []
    train_step = noise_predictor.train_step

    def seen(state: Any, x: Any, key: Any, **how: Any) -> Any:
        away = how["apply"](state.params, x_t, TIMES, None) - gaussian(x_t, TIMES)
        jax.debug.callback(lambda most: began.append(float(most)), jnp.abs(away).max())
        return train_step(state, x, key, **how)

    tiny_runs.small_predictor(monkeypatch.setattr)
    silent = {name: jnp.zeros(3) for name in ("gain", "shift")}
    monkeypatch.setattr(noise_predictor, "init_params", lambda unet, seed: silent)
    monkeypatch.setattr(noise_predictor, "train_step", seen)
    unet, params = cast("UNet", Linear()), trained(c, tmp_path, data)
    jax.tree.map(np.testing.assert_array_equal, restored_params(c, tmp_path), params)
    plain = eps_fn(unet, params)
    away = jnp.abs(plain(x_t, TIMES) - gaussian(x_t, TIMES)).max()
    assert began[0] < 1e-6 < float(away)
    whole, deep = layered(unet, params, plain).whole(x_t, TIMES)
    np.testing.assert_array_equal(whole, plain(x_t, TIMES))
    np.testing.assert_array_equal(layered(unet, params, plain).shallow(x_t, TIMES, deep), whole)


def test_a_run_without_a_network_is_used_as_any_other(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_runs.small_backbone(monkeypatch.setattr)
    (row,) = run_all(tiny_runs.config(root, **ALONE, sample__start_noise=0.0), tmp_path / "w", sweep=False)
    assert row["train_steps"] == 0 and np.isfinite(row["image_auroc"])
    with (tmp_path / "w" / "scores.csv").open(newline="") as file:
        scores = {row["name"]: float(row["score"]) for row in csv.DictReader(file)}
    found = ddad_jax.load(tmp_path / "w", batch=3)([read_full(root / name) for name in scores])
    np.testing.assert_allclose([one.score for one in found], list(scores.values()), rtol=1e-4)
    report = (tmp_path / "w" / "report.html").read_text()
    assert "nothing was trained" in report and "Training was very short" not in report


def test_what_does_not_go_together_is_refused(root: Path, tmp_path: Path, data: Data) -> None:
    with pytest.raises(InputError, match=r"--config\.train\.steps=0: expected 1 or more, or .*prior=gaussian"):
        tiny_runs.config(root, train__steps=0)
    with pytest.raises(InputError, match=r"--config\.model\.prior='gaussian'.*expected none where a student"):
        tiny_runs.config(root, model__prior="gaussian", sample__model="student", sample__steps=1)
    with pytest.raises(InputError, match="a student learns from a network alone"):
        student.distilled(tiny_runs.config(root, **ALONE), tmp_path, data, None)
    with pytest.raises(InputError, match=r"prior\.npz: is missing"):
        restored_params(tiny_runs.config(root, **ALONE), tmp_path)
    assert "--config.model.rank=3: has no effect without --config.model.prior=gaussian" in " ".join(
        doubts(tiny_runs.config(root, model__rank=3))
    )
