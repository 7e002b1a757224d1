"""DDAD in feature space behind the seam: what decides its memory, and what each way of scoring is."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_runs

from ddad_jax import gaussian_prior as core
from ddad_jax.empirical_prior import fit_patches, patch_eps
from ddad_jax.engine.data.splits import Data
from ddad_jax.engine.methods.batch_programs import in_batches
from ddad_jax.engine.methods.feature_ddad.method import FeatureDDAD
from ddad_jax.engine.methods.feature_ddad.priors import BANDWIDTH
from ddad_jax.engine.methods.feature_ddad.sections import Diffused
from ddad_jax.engine.methods.padim import Blur
from ddad_jax.engine.sweep.rows import measured_pictures
from ddad_jax.errors import InputError
from ddad_jax.inversion import inverted, norms
from ddad_jax.pair_program import pair_keys
from ddad_jax.sampler import noise_of, reconstruct
from ddad_jax.schedule import alpha_bar_table
from ddad_jax.solvers import SOLVERS
from ddad_jax.timesteps import trailing, uniform
from ddad_jax.types import Array, EpsFn

METHOD = FeatureDDAD()
X = (np.random.default_rng(0).standard_normal((9, 3, 3, 4)) @ np.diag([3.0, 1.0, 0.5, 0.1]) + 2).astype(np.float32)
SEEDS = jnp.arange(len(X), dtype=jnp.uint32)
TABLE = jnp.asarray(alpha_bar_table())
PRIORS: dict[str, Any] = {
    "position": {}, "picture": {"prior": "picture", "rank": 4}, "patches": {"prior": "patches", "bank": 60},
}  # fmt: skip
each = pytest.mark.parametrize("prior", PRIORS)


class Batches:
    """Of X, the last one padded with pictures that do not count; may be gone through again."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __iter__(self) -> Iterator[tuple[Array, np.ndarray]]:
        for first in range(0, len(X), self.size):
            rows = np.arange(first, first + self.size)
            valid = rows < len(X)
            yield jnp.where(valid[:, None, None, None], X[np.minimum(rows, len(X) - 1)], 100.0), valid


def memory_of(point: Diffused, size: int = 9) -> dict[str, Array]:
    return {name: jnp.asarray(array) for name, array in METHOD.remember(point, X.shape, Batches(size)).items()}


def exact(point: Diffused) -> tuple[EpsFn, Array]:
    """The library's noise predictor of all pictures at once, and the pictures in its units."""
    if point.prior == "patches":
        patches, units = fit_patches([X], point.bank)
        y = (jnp.asarray(X) - units.centre[None, None, None]) / units.unit
        return patch_eps(patches, TABLE, bandwidth=point.bandwidth), y
    gaussian, y = exact_gaussian(point)
    return core.gaussian_eps(gaussian, TABLE), y


def exact_gaussian(point: Diffused) -> tuple[core.Prior, Array]:
    if point.prior == "position":
        prior: core.Prior = core.fit_positions([X], pooled=point.pooled, share=point.share)
    else:
        prior = core.fit_picture([X], rank=point.rank, share=point.share)
    prior, units = core.in_units(prior)
    return prior, (jnp.asarray(X) - units.centre[None, None, None]) / units.unit


SAMPLERS: list[dict[str, Any]] = [
    {}, {"w": 0.0, "t_prime": 400, "steps": 5, "solver": "dpm2m"}, {"start_noise": 1.0},
]  # fmt: skip


@pytest.mark.parametrize(
    ("prior", "how"),
    [*itertools.product(("position", "picture"), SAMPLERS), ("patches", {"w": 2.0, "steps": 2})],
)
def test_a_reconstruction_is_that_of_the_library_whatever_the_batches(prior: str, how: dict[str, Any]) -> None:
    point = Diffused(**PRIORS[prior], **how)
    eps_fn, y = exact(point)
    noise_fn = noise_of(pair_keys(jnp.zeros_like(SEEDS), SEEDS), X.shape[1:])
    expected = y - reconstruct(
        eps_fn, y, y, trailing(point.t_prime, point.steps), w=point.w, eta=0.0,
        alpha_bar=TABLE, noise_fn=noise_fn, solver=SOLVERS[point.solver], start_noise=point.start_noise,
    )  # fmt: skip
    for size in (4, 9):
        found = METHOD.compare(point, memory_of(point, size), jnp.asarray(X), SEEDS)
        np.testing.assert_allclose(found, jnp.linalg.norm(expected, axis=-1), rtol=1e-2, atol=1e-3)


@each
def test_an_inversion_is_that_of_the_library(prior: str) -> None:
    point = Diffused(**PRIORS[prior], scoring="inversion", t_prime=500, grid="uniform")
    eps_fn, y = exact(point)
    latent = inverted(eps_fn, y, uniform(500, 3), alpha_bar=TABLE).latent
    found = METHOD.compare(point, memory_of(point), jnp.asarray(X), SEEDS)
    np.testing.assert_allclose(found, norms(latent), rtol=1e-3)


@each
@pytest.mark.parametrize("scoring", ["reconstruction", "inversion", "resilience"])
def test_what_no_normal_picture_has_stands_out(prior: str, scoring: str) -> None:
    point = Diffused(**PRIORS[prior], scoring=scoring)
    strange = X.copy()
    strange[:, 1, 1] += [0.0, 0.0, 0.0, 20.0]  # where normal pictures hardly differ
    memory = memory_of(point)
    normal, found = (METHOD.compare(point, memory, jnp.asarray(x), SEEDS) for x in (X, strange))
    assert bool((found[:, 1, 1] > normal.max()).all())


def test_features_in_units_have_the_variance_that_a_schedule_is_made_for() -> None:
    for name in ("position", "picture"):
        prior, y = exact_gaussian(Diffused(**PRIORS[name], share=1e-3, pooled=0.0))
        np.testing.assert_allclose(y.mean((0, 1, 2)), 0, atol=1e-4)
        np.testing.assert_allclose(jnp.square(y - prior.mean[None]).mean() * 9 / 8, 1, rtol=0.01)


def test_residuals_are_measured_in_the_spread_of_training_pictures() -> None:
    point = Diffused(residual="mahalanobis")
    memory = memory_of(point, 4)
    residual = METHOD._residual(point, memory, jnp.asarray(X), SEEDS) - memory["residual_mean"][None, None, None]
    white = (residual @ memory["residual_whiten"].T).reshape(-1, 4)
    np.testing.assert_allclose(np.cov(white.T), np.eye(4), atol=0.05)
    np.testing.assert_allclose(
        METHOD.compare(point, memory, jnp.asarray(X), SEEDS),
        jnp.linalg.norm(white, axis=-1).reshape(9, 3, 3),
        rtol=1e-4,
    )


def test_another_seed_counts_where_noise_is_drawn() -> None:
    for how, drawn in (
        ({}, False), ({"eta": 1.0}, True), ({"eta": 1.0, "solver": "dpm2m"}, False), ({"start_noise": 0.5}, True),
        ({"scoring": "inversion", "start_noise": 1.0}, False), ({"scoring": "resilience"}, True),
    ):  # fmt: skip
        point = Diffused(**how)  # type: ignore[arg-type]
        memory = memory_of(point)
        here, there = (METHOD.compare(point._replace(seed=s), memory, jnp.asarray(X), SEEDS) for s in (0, 1))
        assert METHOD.random(point) == drawn == bool(jnp.abs(here - there).max() > 1e-4)
        assert METHOD.memory_point(point) == METHOD.memory_point(point._replace(seed=1))
    assert METHOD.random(Diffused(channels=2))
    assert METHOD.memory_point(Diffused(channels=2)) != METHOD.memory_point(Diffused(channels=2, seed=1))


def test_points_of_one_memory_are_measured_by_one_look_at_a_batch(
    root: Path, data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_runs.small_backbone(monkeypatch.setattr)
    looks: list[Any] = []

    def counted(compiled: Any, what: Any, *args: Any, **named: Any) -> Any:
        looks.append(what)
        return in_batches(compiled, what, *args, **named)

    monkeypatch.setattr("ddad_jax.engine.methods.memory.fitted.in_batches", counted)
    c = tiny_runs.config(root, "feature_ddad", sweep__w=(0.0, 2.0), sweep__scoring=("reconstruction", "inversion"))
    points = METHOD.plan(c, sweep=True).costly
    assert len(points) == 5  # the config's own among them
    fitted = METHOD.restored(c, tmp_path).ready(points, data)
    assert len({*fitted.memories}) == 1 and len(looks) == 1
    together = [*fitted.measure(measured_pictures(data), points)]
    assert len(looks) == 2 and [found.costly for found in together] == points
    for found in together:
        (alone,) = fitted.measure(measured_pictures(data), [found.costly])
        np.testing.assert_array_equal(alone.evidence, found.evidence)


def test_settings_that_cannot_be_used_are_refused_by_their_flag(root: Path) -> None:
    with pytest.raises(InputError, match=r"--config\.feature_ddad\.steps=300: expected other steps, T' or grid"):
        tiny_runs.config(root, "feature_ddad", feature_ddad__steps=300)
    with pytest.raises(InputError, match=r"--config\.sweep\.steps=\(300,\): expected other steps, T' or grid"):
        tiny_runs.config(root, "feature_ddad", sweep__steps=(300,))
    tiny_runs.config(root, "feature_ddad", sweep__steps=(300,), sweep__t_prime=(500,))
    with pytest.raises(InputError, match=r"--config\.feature_ddad\.channels=0: .*takes 9\.2 GiB"):
        METHOD.remember(Diffused(), (9, 40, 40, 1240), Batches(9))
    with pytest.raises(InputError, match=r"--config\.feature_ddad\.rank=4000: .*keep fewer directions"):
        METHOD.remember(Diffused(prior="picture", rank=4000), (5000, 32, 32, 1792), Batches(9))
    features = {name: jnp.ones((1, 4, 4, 3)) for name in ("layer2", "layer3")}
    with pytest.raises(InputError, match=r"--config\.feature_ddad\.channels=7: .*expected 1 to 6"):
        METHOD.embed(Diffused(channels=7), features)


def test_a_sweep_measures_nothing_twice(root: Path) -> None:
    swept: dict[str, Any] = {
        "sweep__prior": ("position", "picture", "patches"),
        "sweep__rank": (2, 3),
        "sweep__pooled": (0.0, 9.0),
        "sweep__bandwidth": (0.0, 0.1),
    }
    points = METHOD.plan(tiny_runs.config(root, "feature_ddad", **swept), sweep=True).costly
    found = [(point.prior, point.rank, point.pooled, point.bandwidth) for point in points]
    assert len(found) == len({*found}) == 7  # the config's own among them
    assert {*found} == {
        ("position", core.RANK, 0.0, BANDWIDTH), ("position", core.RANK, 9.0, BANDWIDTH),
        ("position", core.RANK, core.POOLED, BANDWIDTH), ("picture", 2, core.POOLED, BANDWIDTH),
        ("picture", 3, core.POOLED, BANDWIDTH), ("patches", core.RANK, core.POOLED, 0.0),
        ("patches", core.RANK, core.POOLED, 0.1),
    }  # fmt: skip
    assert len({METHOD.memory_point(point) for point in points if point.prior == "patches"}) == 1


def test_settings_that_nothing_looks_at_are_doubted(root: Path) -> None:
    def doubts(**changes: Any) -> list[str]:
        return METHOD.doubts(tiny_runs.config(root, "feature_ddad", **changes))

    assert not doubts()
    (told,) = doubts(feature_ddad__scoring="inversion", feature_ddad__w=2.0)
    assert told == "--config.feature_ddad.w=2.0: has no effect without scoring = reconstruction"
    (told,) = doubts(feature_ddad__rank=3)
    assert "without prior = picture" in told
    (told,) = doubts(feature_ddad__bank=3)
    assert "without prior = patches" in told
    (told,) = doubts(data__picture=(48, 64), data__overlap=8)
    assert "one Gaussian for the same place of all tiles" in told
    assert not doubts(data__picture=(48, 64), data__overlap=8, feature_ddad__prior="patches")


def test_what_no_older_version_knew_is_not_named_while_it_is_at_its_default() -> None:
    assert not {"pool", "bank", "choice", "bandwidth"} & {*METHOD.named(Diffused())}
    assert METHOD.named(Diffused(pool=2)) == {**METHOD.named(Diffused()), "pool": 2}


def test_positions_are_pooled_to_a_coarser_grid_whose_map_is_as_large() -> None:
    features = {"layer2": jnp.arange(50.0).reshape(1, 5, 5, 2), "layer3": jnp.zeros((1, 3, 3, 1))}
    whole, pooled = (METHOD.embed(Diffused(patch=1, pool=side), features) for side in (1, 2))
    assert whole.shape == (1, 5, 5, 3) and pooled.shape == (1, 3, 3, 3)
    np.testing.assert_allclose(pooled[0, 0, 0, :2], whole[0, :2, :2, :2].mean((0, 1)))
    np.testing.assert_allclose(pooled[0, 2, 2, :2], whole[0, 3:, 3:, :2].mean((0, 1)))
    maps, _ = METHOD.judge(pooled[..., 0], Blur(), (20, 20))
    assert maps.shape == (1, 20, 20)


def test_it_is_one_program_of_any_batch() -> None:
    point = Diffused(scoring="resilience", draws=2)
    memory = memory_of(point)
    run = jax.jit(lambda memory, x, seeds: METHOD.compare(point, memory, x, seeds))
    whole = run(memory, jnp.asarray(X), SEEDS)
    np.testing.assert_allclose(run(memory, jnp.asarray(X[3:5]), SEEDS[3:5]), whole[3:5], rtol=1e-4, atol=1e-5)
