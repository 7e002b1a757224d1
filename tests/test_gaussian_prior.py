from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gaussian import ALPHA_BAR

from ddad_jax.conditioning import denoised
from ddad_jax.errors import InputError
from ddad_jax.gaussian_prior import (
    PicturePrior,
    PositionPrior,
    Prior,
    fit_picture,
    fit_positions,
    gaussian_eps,
    no_subspace,
    picture_prior,
    spectral,
    widened_subspace,
)
from ddad_jax.inversion import inverted, norms
from ddad_jax.sampler import trajectory
from ddad_jax.solvers import SOLVERS
from ddad_jax.timesteps import trailing, uniform

RNG = np.random.default_rng(0)
N, H, W, D = 12, 2, 3, 4
SHARE, POOLED = 0.05, 5.0


def pictures(n: int = N) -> np.ndarray:
    """Positions and channels that all depend on each other."""
    mixed = np.random.default_rng(1).standard_normal((H * W * D, H * W * D)) / 4
    return (RNG.standard_normal((n, H * W * D)) @ mixed + 0.5).reshape(n, H, W, D).astype(np.float32)


TRAIN, TEST = pictures(), pictures(3)
FITS: dict[str, Callable[[Any], Prior]] = {
    "position": lambda batches: fit_positions(batches, pooled=POOLED, share=SHARE),
    "picture": lambda batches: fit_picture(batches, rank=5, share=SHARE),
}
eps_of = jax.jit(lambda prior, x_t, t: gaussian_eps(prior, ALPHA_BAR)(x_t, t))
"""One program a kind: each operation by itself would be compiled, too."""
each = pytest.mark.parametrize("kind", FITS)


def dense(kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Mean [p] and covariance [p, p] of whole pictures by their definition, float64."""
    x = TRAIN.astype(np.float64)
    mean = x.mean(0)
    scatter = np.cov(x.reshape(N, -1).T)
    if kind == "position":
        own = [np.cov(x[:, i, j].T) for i, j in np.ndindex(H, W)]
        of_all = np.mean(own, 0)
        added = SHARE * np.trace(of_all) / D * np.eye(D)
        found = np.zeros((H * W, D, H * W, D))
        for p, matrix in enumerate(own):
            found[p, :, p] = (N * matrix + POOLED * of_all) / (N + POOLED) + added
        return mean.ravel(), found.reshape(H * W * D, H * W * D)
    values, vectors = np.linalg.eigh(scatter)
    values, vectors = values[::-1], vectors[:, ::-1]
    along = np.where(np.arange(len(values)) < 5, values, values[5:].mean())
    return mean.ravel(), (vectors * (along + SHARE * values.mean())) @ vectors.T


@each
@pytest.mark.parametrize("t", [0, 5, 250, 999])
def test_the_clean_picture_is_the_conditional_mean(kind: str, t: int) -> None:
    prior, (mean, covariance), a = FITS[kind]([TRAIN]), dense(kind), float(ALPHA_BAR[t])
    x_t = TEST.reshape(len(TEST), -1).astype(np.float64)
    noised = a * covariance + (1 - a) * np.eye(len(mean))
    expected = mean + np.sqrt(a) * np.linalg.solve(noised, (x_t - np.sqrt(a) * mean).T).T @ covariance
    eps = eps_of(prior, jnp.asarray(TEST), jnp.asarray(t))
    found = denoised(jnp.asarray(TEST), eps, ALPHA_BAR[t])
    np.testing.assert_allclose(found.reshape(len(TEST), -1), expected, atol=2e-4 * np.abs(expected).max())
    np.testing.assert_allclose(
        eps.reshape(len(TEST), -1),
        np.sqrt(1 - a) * np.linalg.solve(noised, (x_t - np.sqrt(a) * mean).T).T,
        atol=2e-4 * float(jnp.abs(eps).max()),
    )


@each
def test_ddim_in_many_steps_is_the_exact_flow_and_more_steps_are_nearer(kind: str) -> None:
    prior, t = FITS[kind]([TRAIN]), 400
    a = ALPHA_BAR[t]
    start = jnp.sqrt(a) * TEST + jnp.sqrt(1 - a) * RNG.standard_normal(TEST.shape).astype(np.float32)
    exact = prior.mean[None] + spectral(
        prior, start - jnp.sqrt(a) * prior.mean[None], lambda v: jnp.sqrt(v / (a * v + 1 - a))
    )

    def error(solver: str, steps: int) -> float:
        found = trajectory(
            gaussian_eps(prior, ALPHA_BAR), start, trailing(t, steps), eta=0.0, alpha_bar=ALPHA_BAR,
            noise_fn=lambda i: jnp.zeros_like(start), solver=SOLVERS[solver],
        )  # fmt: skip
        return float(jnp.abs(found.x0 - exact).max())

    errors = [error("ddim", steps) for steps in (4, 40, 400)]
    assert errors[0] > 4 * errors[1] > 8 * errors[2] and errors[2] < 0.01
    assert error("dpm2m", 40) < errors[1] / 2


@each
def test_inverted_in_many_steps_pictures_are_as_far_out_as_mahalanobis_says(kind: str) -> None:
    prior = FITS[kind]([TRAIN])
    latent = inverted(gaussian_eps(prior, ALPHA_BAR), jnp.asarray(TEST), uniform(999, 999), alpha_bar=ALPHA_BAR).latent
    whitened = spectral(prior, jnp.asarray(TEST) - prior.mean[None], lambda v: v**-0.5)
    np.testing.assert_allclose(norms(latent), norms(whitened), rtol=0.03)


@each
def test_batches_order_and_padding_change_nothing(kind: str) -> None:
    expected = FITS[kind]([TRAIN])
    for batches in ([TRAIN[:5], TRAIN[5:10], TRAIN[10:]], [TRAIN[::-1]]):
        found = FITS[kind](batches)
        for f in (lambda v: v, lambda v: 1 / v):
            np.testing.assert_allclose(
                spectral(found, jnp.asarray(TEST), f), spectral(expected, jnp.asarray(TEST), f), rtol=1e-3, atol=1e-3
            )
    padded = np.concatenate([TRAIN, np.full((2, H, W, D), np.nan, np.float32)])
    subspace = widened_subspace(no_subspace((H, W, D), 10), jnp.asarray(padded), jnp.arange(N + 2) < N)
    found = picture_prior(subspace, rank=5, share=SHARE)
    np.testing.assert_allclose(found.variance, picture_prior(
        widened_subspace(no_subspace((H, W, D), 10), jnp.asarray(TRAIN), jnp.ones(N, bool)), rank=5, share=SHARE
    ).variance, rtol=1e-5)  # fmt: skip


@each
def test_a_batch_mate_and_a_time_of_another_picture_change_nothing(kind: str) -> None:
    eps_fn = partial(eps_of, FITS[kind]([TRAIN]))
    t = jnp.array([10, 300, 700])
    together = eps_fn(jnp.asarray(TEST), t)
    for i in range(len(TEST)):
        np.testing.assert_allclose(together[i], eps_fn(jnp.asarray(TEST[i : i + 1]), t[i])[0], rtol=1e-4, atol=1e-5)


@each
def test_turned_channels_give_turned_predictions(kind: str) -> None:
    turn, _ = np.linalg.qr(RNG.standard_normal((D, D)))
    turn = turn.astype(np.float32)
    here, there = (partial(eps_of, FITS[kind]([x])) for x in (TRAIN, TRAIN @ turn))
    t = jnp.asarray(200)
    np.testing.assert_allclose(there(jnp.asarray(TEST @ turn), t), here(jnp.asarray(TEST), t) @ turn, atol=1e-3)


def test_directions_left_out_on_the_way_are_the_short_ones() -> None:
    """More pictures than rows: a few strong directions survive whatever the batches."""
    strong = np.linalg.qr(RNG.standard_normal((H * W * D, 2)))[0].T
    x = (RNG.standard_normal((60, 2)) * [5.0, 3.0]) @ strong + 0.05 * RNG.standard_normal((60, H * W * D))
    x = x.reshape(-1, H, W, D).astype(np.float32)
    whole = fit_picture([x], rank=2, share=SHARE)
    parts = fit_picture([x[i : i + 7] for i in range(0, 60, 7)], rank=2, share=SHARE)
    np.testing.assert_allclose(parts.variance, whole.variance, rtol=1e-3)
    np.testing.assert_allclose(parts.rest, whole.rest, rtol=1e-2)
    np.testing.assert_allclose(whole.variance[:2], np.linalg.eigvalsh(np.cov(x.reshape(60, -1).T))[::-1][:2], rtol=0.01)


@pytest.mark.parametrize("n", [1, 2])
@each
def test_one_picture_and_equal_pictures_have_a_gaussian(kind: str, n: int) -> None:
    prior = FITS[kind]([np.repeat(TRAIN[:1], n, 0)])
    eps = eps_of(prior, jnp.asarray(TEST), jnp.asarray(100))
    assert bool(jnp.isfinite(eps).all()) and bool((prior.variance > 0).all())
    np.testing.assert_allclose(prior.mean, TRAIN[0], rtol=1e-6)


def test_what_has_no_gaussian_is_refused() -> None:
    for fit in FITS.values():
        with pytest.raises(InputError, match="no normal pictures"):
            fit([])
        with pytest.raises(InputError, match=r"Gaussian of 12 normal pictures of 2 x 3 x 4 numbers is not finite"):
            fit([np.where(np.arange(N)[:, None, None, None] == 3, np.nan, TRAIN).astype(np.float32)])
    subspace = no_subspace((H, W, D), 4)
    with pytest.raises(InputError, match="no normal pictures"):
        picture_prior(subspace, rank=2)
    subspace = widened_subspace(subspace, jnp.asarray(TRAIN), jnp.ones(N, bool))
    with pytest.raises(InputError, match="rank = 5: expected 1 to 4"):
        picture_prior(subspace, rank=5)


def test_pixels_have_a_gaussian_as_features_do() -> None:
    prior = fit_picture([RNG.uniform(-1, 1, (8, 16, 16, 3)).astype(np.float32)], rank=4)
    assert isinstance(prior, PicturePrior) and prior.basis.shape == (4, 16, 16, 3)
    np.testing.assert_allclose(jnp.einsum("rhwc,shwc->rs", prior.basis, prior.basis), np.eye(4), atol=1e-5)
    assert isinstance(fit_positions([TRAIN]), PositionPrior)


def test_it_is_compiled_and_mapped() -> None:
    prior = FITS["position"]([TRAIN])
    run = jax.jit(lambda prior, x, t: gaussian_eps(prior, ALPHA_BAR)(x, t))
    t = jnp.arange(3) * 100
    np.testing.assert_allclose(
        jax.vmap(run, (None, None, 0))(prior, jnp.asarray(TEST), t)[1], run(prior, jnp.asarray(TEST), t[1]), rtol=1e-4,
        atol=1e-5,
    )  # fmt: skip
