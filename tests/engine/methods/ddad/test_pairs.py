"""What adaptation learns from are pairs: a reconstruction shows its target, or adaptation does not begin."""

import json
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
import tiny_runs

from ddad_jax.adapt import PairShares, pair_shares, self_pairs
from ddad_jax.engine.data.splits import Data
from ddad_jax.engine.methods.ddad import extractor
from ddad_jax.engine.methods.ddad.extractor import adaptation_record, adapted
from ddad_jax.engine.methods.ddad.points import adaptation_point, config_point
from ddad_jax.engine.setting_doubts import doubts
from ddad_jax.errors import InputError
from ddad_jax.schedule import alpha_bar_at, alpha_bar_table
from experiments.configs import demo, folder, mtd, mvtec, station

TABLE = jnp.asarray(alpha_bar_table())


def clear_eps(x_t: Any, t: Any) -> Any:
    """Of a network that takes every image for clean: it holds on to where the reconstruction began."""
    a = alpha_bar_at(TABLE, t)
    return x_t * (1 - jnp.sqrt(a)) / jnp.sqrt(1 - a)


@pytest.fixture(autouse=True)
def small_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_runs.small_backbone(monkeypatch.setattr)
    monkeypatch.setattr(extractor, "eps_fn", lambda unet, params: clear_eps)


@pytest.mark.parametrize(("target", "other"), [(1.0, 0.0), (0.0, 1.0), (0.83, 0.15), (0.4, -0.1)])
def test_the_parts_of_a_mixture_are_found(target: float, other: float) -> None:
    rng = np.random.default_rng(0)
    y, x, noise = rng.normal(size=(3, 6, 8, 8, 3))
    mean = rng.normal(size=(8, 8, 3))
    found = pair_shares(mean + target * (y - mean) + other * (x - mean) + 0.1 * noise, y, x, mean)
    np.testing.assert_allclose(found, (target, other), atol=0.02)
    assert found.share == pytest.approx(target / (target + abs(other)), abs=0.05)


def test_pictures_that_are_alike_make_pairs_and_nothing_shown_is_no_share() -> None:
    y = np.random.default_rng(0).normal(size=(4, 8, 8, 3))
    assert pair_shares(0.3 * y, y, y, np.zeros((8, 8, 3))).share == 1.0
    assert PairShares(0.0, 0.0).share == PairShares(-0.5, 0.5).share == 0.0


def test_in_self_pairs_every_picture_comes_once_in_an_epoch() -> None:
    for n, batch in ((9, 4), (3, 8), (1, 2)):
        found = self_pairs(n, batch, epoch=1, seed=0)
        assert len(set(found.ravel())) == found.size == n // min(batch, n) * min(batch, n)
    assert (self_pairs(9, 4, epoch=1, seed=0) != self_pairs(9, 4, epoch=2, seed=0)).any()


WEAK = {"adapt__epochs": 1, "adapt__least_share": 0.8, "adapt__w": 0.2, "adapt__t_prime": 100, "adapt__eta": 0.0}


def test_reconstructions_of_other_pictures_that_show_these_are_refused(root: Path, data: Data, tmp_path: Path) -> None:
    c = tiny_runs.config(root, **WEAK)
    with pytest.raises(
        InputError, match=r"--config\.adapt\.w=0\.2 --config\.adapt\.t_prime=100.*pairs=self.*as publ"
    ) as error:
        adapted(c, tmp_path, data, None)
    # Nothing was begun, so the flags may be changed in the same workdir.
    assert "share of" in str(error.value) and not (tmp_path / "adapt").exists()
    adapted(tiny_runs.config(root, **{**WEAK, "adapt__least_share": 0.0}), tmp_path, data, None)
    told = adaptation_record(tmp_path)
    assert told["pairs"] == "other" and told["of_other"] > 0.8 > 0.3 > told["of_target"] and told["share"] < 0.3


def test_a_picture_and_its_own_reconstruction_are_a_pair(root: Path, data: Data, tmp_path: Path) -> None:
    c = tiny_runs.config(root, **WEAK, adapt__pairs="self")
    adapted(c, tmp_path, data, None)
    told = json.loads((tmp_path / "adapt" / "chosen.json").read_text())
    assert told["pairs"] == "self" and told["share"] > 0.95 and told["of_target"] > 0.5


def test_self_pairs_that_show_nothing_of_their_target_are_refused(
    root: Path, data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extractor, "reconstruct", lambda network, x, y, grid, **how: jnp.roll(y, 1, axis=0))
    c = tiny_runs.config(root, **WEAK, adapt__pairs="self")
    with pytest.raises(InputError, match=r"--config\.adapt\.pairs=self --config\.sample\.w=.*of an unrelated picture"):
        adapted(c, tmp_path, data, None)


def test_self_pairs_are_reconstructed_as_scoring_does(root: Path) -> None:
    how: dict[str, Any] = {"sample__solver": "dpm2m", "sample__eta": 0.0, "sample__start_noise": 0.0, "sample__w": 0.5}
    c = tiny_runs.config(root, adapt__pairs="self", **how)
    assert adaptation_point(c) == config_point(c).costly
    later = tiny_runs.config(root, adapt__pairs="self", **how, sample__grid="optimised", sample__rise=0.5)
    assert adaptation_point(later) == config_point(c).costly
    taught = adaptation_point(tiny_runs.config(root, adapt__pairs="self", sample__model="student"))
    assert (taught.model, taught.solver, taught.steps) == ("teacher", "dpm2m", 20)
    other = adaptation_point(tiny_runs.config(root, adapt__w=2.0, **how))
    assert (other.w, other.t_prime, other.solver, other.start_noise) == (2.0, 250, "ddim", 1.0)
    said = doubts(tiny_runs.config(root, adapt__pairs="self", adapt__w=2.0))
    assert any(sentence.startswith("--config.adapt.w=2.0: has no effect") for sentence in said)


def test_small_configs_learn_from_self_pairs_and_the_published_behaviour_as_published() -> None:
    assert {
        config().adapt.pairs for config in (demo.get_config, station.get_config, folder.get_config, mtd.get_config)
    } == {"self"}
    for argument in ("screw", "screw,reference"):
        a = mvtec.get_config(argument).adapt
        assert (a.pairs, a.w, a.t_prime, a.steps, a.eta) == ("other", 3.0, 250, 10, 1.0)
    assert mvtec.get_config("screw,reference").adapt.least_share == 0.0
