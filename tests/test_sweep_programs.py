"""A sweep compiles one program for each step count, solver and kind of network call, and no more."""

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_sweep import ALPHA_BAR, GRID, LAYERED, alone, eps_fn, features, pictures, reconstructed

from ddad_jax.data import to_float
from ddad_jax.data.batches import image_seed
from ddad_jax.distance_maps import blurred
from ddad_jax.errors import InputError
from ddad_jax.inversion import inverted, norms
from ddad_jax.pair_program import PairProgram, program_key
from ddad_jax.points import ReconPoint, recon_grid
from ddad_jax.resilience import resilience
from ddad_jax.sampler import noise_of
from ddad_jax.sweep import sweep_distances
from ddad_jax.timesteps import TimeGrid, trailing
from ddad_jax.types import Array


def test_one_compilation_a_step_count_whatever_else_varies() -> None:
    one, points = PairProgram(lambda _: (eps_fn, features), None, alpha_bar=ALPHA_BAR), GRID
    for _ in sweep_distances(one, pictures(), points, chunk=4, timer=lambda: 0.0):
        pass
    assert one.compilations == len({point.steps for point in points}) == 2
    others = recon_grid(w=(1.5, 7.0), t_prime=(33, 120), steps=(3,), eta=(0.2,), grid=("trailing",), seed=(5,))
    for _ in sweep_distances(one, pictures(9, seed=3), others, chunk=4, timer=lambda: 0.0):
        pass
    assert one.compilations == 2


def test_one_compilation_for_each_step_count_solver_and_reuse() -> None:
    one = PairProgram(lambda _: (LAYERED, features), None, alpha_bar=ALPHA_BAR)
    points = recon_grid(
        w=(0.0, 2.0), t_prime=(40, 250), steps=(1, 3), eta=(0.0, 1.0), grid=("trailing",), seed=(0,), reuse=(1, 2)
    )
    for _ in sweep_distances(one, pictures(2), points, chunk=4, timer=lambda: 0.0):
        pass
    assert one.compilations == 1 + 2  # no more is reused than there are steps


def test_points_of_whole_and_of_real_times_are_programs_apart() -> None:
    one = PairProgram(lambda _: (eps_fn, features), None, alpha_bar=ALPHA_BAR)
    grids = ("trailing", "log_snr_continuous", "uniform")
    points = recon_grid(w=(0.0, 2.0), t_prime=(250,), steps=(3,), eta=(0.0,), grid=grids, seed=(0,))
    points.sort(key=program_key)
    for point, distances in sweep_distances(one, pictures(2), points, chunk=3, keep_x0=True, timer=lambda: 0.0):
        np.testing.assert_allclose(reconstructed(distances)[1], alone(pictures(2)[1], point)[0], atol=2e-3)
    assert one.compilations == 2


def test_a_network_without_deep_layers_cannot_be_asked_to_reuse_them() -> None:
    one = PairProgram(lambda _: (eps_fn, features), None, alpha_bar=ALPHA_BAR)
    point = ReconPoint(3.0, 250, 3, 0.0, "trailing", 0, reuse=2)
    with pytest.raises(InputError, match="reuse = 2: this network has no layers that could be left out"):
        next(sweep_distances(one, pictures(2), [point], chunk=4, timer=lambda: 0.0))


def test_the_grid_is_the_product_in_groups_of_one_step_count() -> None:
    assert len(GRID) == 2**5
    assert [steps for steps, _ in itertools.groupby(GRID, key=lambda p: p.steps)] == [1, 3]
    repeated = recon_grid(w=(1, 1.0), t_prime=(50, 50), steps=(2,), eta=(0,), grid=("trailing",), seed=(0,))
    assert repeated == [ReconPoint(1.0, 50, 2, 0.0, "trailing", 0)]


def test_scores_without_a_reconstruction_are_each_picture_s_own_and_run_no_feature_network() -> None:
    def blind(x: Array) -> dict[str, Array]:
        raise AssertionError("features are not looked at")

    how: dict[str, Any] = {"w": (1.0,), "eta": (0.0,), "grid": ("trailing",)}
    points = recon_grid(**how, scoring=("inversion",), t_prime=(90, 250), steps=(3,), seed=(0,))
    points += recon_grid(**how, scoring=("resilience",), t_prime=(5, 20), steps=(1,), seed=(4,), draws=(2,))
    images, own = pictures(3), PairProgram(lambda _: (LAYERED, blind), None, alpha_bar=ALPHA_BAR)
    found = dict(sweep_distances(own, images, points, chunk=2, keep_x0=True, timer=itertools.count().__next__))
    assert list(found) == points and own.compilations == 2  # T' is traced
    seeds = [[jax.random.fold_in(jax.random.key(8 + i), image_seed(image)) for image in images] for i in range(2)]
    y, keys = to_float(images), jnp.stack([jnp.stack(of_draw) for of_draw in seeds])
    noise = jnp.stack([noise_of(of_draw, y.shape[1:])(jnp.asarray(0)) for of_draw in keys])

    @jax.jit
    def directly(grid: TimeGrid) -> tuple[Array, Array]:
        latent = inverted(eps_fn, y, grid, alpha_bar=ALPHA_BAR).latent
        return norms(latent), resilience(eps_fn, y, grid.start, noise, alpha_bar=ALPHA_BAR, antithetic=True)

    for point, distances in found.items():
        assert distances.x0 is None and distances.features == {}
        expected = directly(trailing(point.t_prime, 3))[point.scoring == "resilience"]
        np.testing.assert_allclose(distances.pixel, expected, rtol=2e-4, atol=1e-5)
        d_p, d_f = blurred(distances, (), 1.0)
        assert not d_f.any() and d_p.shape == d_f.shape == distances.pixel.shape
