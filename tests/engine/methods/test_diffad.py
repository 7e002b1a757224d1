"""DiffAD behind the seam: three trainings, each with what the earlier ones learnt; its grid and its latents' unit."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_runs

from ddad_jax.engine.data.splits import Data
from ddad_jax.engine.methods.diffad.method import DiffAD
from ddad_jax.engine.pipeline import run_all
from ddad_jax.engine.store.tables import read_jsonl
from ddad_jax.errors import InputError
from experiments.config import engine_settings
from experiments.configs.compare.diffad import ROWS

METHOD = DiffAD()


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_runs.small_latent(monkeypatch.setattr)


def test_each_stage_learns(root: Path, data: Data, tmp_path: Path) -> None:
    how: dict[str, Any] = {}
    for stage in METHOD.stages:
        how |= {f"{stage}__steps": 60, f"{stage}__learning_rate": 0.02, f"{stage}__log_every": 20}
    run_all(tiny_runs.config(root, "diffad", **how), tmp_path, sweep=False)
    for stage in METHOD.stages:
        first, *_, last = [row["loss"] for row in read_jsonl(tmp_path / f"{stage}.jsonl") if "loss" in row]
        assert last < first, stage


@pytest.mark.parametrize("normalise", [True, False])
def test_latents_are_measured_in_their_deviation_or_as_they_are(
    root: Path, data: Data, tmp_path: Path, normalise: bool
) -> None:
    c = tiny_runs.config(root, "diffad", latent__normalise=normalise, latent__ema_decay=0.0)
    variance = METHOD.fit(c, tmp_path, data, lambda *_: None).variables["latent"]["batch_stats"]["variance"]
    assert bool(variance != 1.0) == normalise
    if normalise:
        # Of 1, and by a hundredth each time of what latents have: pictures' variance and exp(-4).
        assert 0.99**4 < float(variance) < 1.0


@pytest.mark.parametrize("normalise", [True, False])
def test_no_gradient_reaches_the_unit_of_latents_or_its_average(
    root: Path, data: Data, tmp_path: Path, normalise: bool
) -> None:
    how: dict[str, Any] = {"latent__normalise": normalise, "latent__ema_decay": 0.9, "latent__learning_rate": 0.1}
    c = tiny_runs.config(root, "diffad", latent__steps=20, **how)
    variance = METHOD.fit(c, tmp_path, data, lambda *_: None).variables["latent"]["batch_stats"]["variance"]
    # Of 1 and what runs along, which lies between exp(-4) and 1.
    assert 0.99**20 < float(variance) <= 1.0 and (float(variance) == 1.0) == (not normalise)


@pytest.mark.parametrize(
    ("flag", "value", "says"),
    [
        ("model__unet_mult", (), "model.unet_mult=.*a level or more"),
        ("model__autoencoder_mult", (), "model.autoencoder_mult=.*a level or more"),
        ("model__unet", 100, "model.unet=100.*heads of 32 channels divide"),
        ("sweep__t_prime", (500,), "diffad.steps=.*published.*expected 999"),
        ("diffad__steps", 600, "diffad.steps=600.*at most 500"),
    ],
)
def test_what_no_training_could_be_made_of_is_refused_before_any(root: Path, flag: str, value: Any, says: str) -> None:
    with pytest.raises(InputError, match=says):
        tiny_runs.config(root, "diffad", **{flag: value})


def test_a_folder_of_textures_that_is_missing_is_refused_before_the_first_stage(
    root: Path, data: Data, tmp_path: Path
) -> None:
    c = tiny_runs.config(root, "diffad", damage__textures=str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match="nowhere"):
        METHOD.fit(c, tmp_path / "w", data, lambda *_: None)
    assert not (tmp_path / "w").exists()


def test_the_share_of_the_pictures_own_latent_decides_what_lies_between(root: Path, data: Data, tmp_path: Path) -> None:
    fitted = METHOD.fit(tiny_runs.config(root, "diffad"), tmp_path, data, lambda *_: None)
    x = np.linspace(-1, 1, 2 * 32 * 32 * 3, dtype=np.float32).reshape(2, 32, 32, 3)
    point, seeds = METHOD.point(fitted.c).costly, np.arange(2, dtype=np.uint32)
    maps = [METHOD.compare(fitted.c, point._replace(share=share), fitted.variables, x, seeds) for share in (0.0, 1.0)]
    assert float(np.abs(maps[0] - maps[1]).max()) > 1e-6


@pytest.mark.parametrize(
    "row", ["DiffAD f&r", *(pytest.param(row, marks=pytest.mark.slow) for row in ROWS if row != "DiffAD f&r")]
)
def test_every_row_of_the_papers_ablation_is_a_run(root: Path, tmp_path: Path, row: str) -> None:
    c = tiny_runs.config_dict(root, "diffad")
    for section, values in ROWS[row].items():
        c[section].update(values)
    (found,) = run_all(engine_settings(c), tmp_path, sweep=False)
    assert 0.0 <= found["image_auroc"] <= 1.0


def test_a_grid_says_what_it_does_not_take(root: Path) -> None:
    with pytest.raises(InputError, match=r"--config.diffad.steps=7.*reference"):
        tiny_runs.config(root, "diffad", diffad__grid="reference", diffad__steps=7)
