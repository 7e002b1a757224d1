import jax.numpy as jnp
import numpy as np
import pytest

from ddad_jax.conditioning import conditioned, denoised
from ddad_jax.schedule import alpha_bar_at, alpha_bar_table, perturb
from ddad_jax.types import Array

ALPHA_BAR = jnp.asarray(alpha_bar_table())


def eps_fn(x_t: Array, t: Array) -> Array:
    """Any function of both arguments will do."""
    return jnp.tanh(x_t[..., ::-1] + 0.3) * jnp.cos(0.01 * jnp.broadcast_to(t, x_t.shape[:1]))[:, None, None, None]


@pytest.fixture
def images() -> tuple[Array, Array]:
    x_t, y = jnp.asarray(np.random.default_rng(0).standard_normal((2, 4, 6, 6, 3), np.float32))
    return x_t, y


def algorithm_1(x_t: Array, y: Array, eps: Array, a: float, w: float) -> np.ndarray:
    """Lines 3 to 5 of Algorithm 1 as they stand, in float64."""
    x64, y64, e64 = (np.asarray(v, np.float64) for v in (x_t, y, eps))
    y_t = np.sqrt(a) * y64 + np.sqrt(1 - a) * e64
    eps_hat = e64 - w * np.sqrt(1 - a) * (y_t - x64)
    return (x64 - np.sqrt(1 - a) * eps_hat) / np.sqrt(a)


@pytest.mark.parametrize("t", [0, 25, 225, 250, 500])
@pytest.mark.parametrize("w", [0.0, 1.0, 3.0, 11.0])
def test_the_closed_form_equals_algorithm_1(images: tuple[Array, Array], t: int, w: float) -> None:
    """x0_hat = f + w (1 - alpha_bar_t) (y - f)."""
    x_t, y = images
    time, a = jnp.asarray(t), float(ALPHA_BAR[t])
    eps = eps_fn(x_t, time)
    expected = algorithm_1(x_t, y, eps, a, w)
    f = np.asarray(denoised(x_t, eps, jnp.asarray(a)), np.float64)
    closed = f + w * (1 - a) * (np.asarray(y, np.float64) - f)
    limit = 1e-5 * np.abs(expected).max()
    np.testing.assert_allclose(closed, expected, rtol=0, atol=limit)

    eps_hat = conditioned(eps_fn, y, w=w, alpha_bar=ALPHA_BAR)(x_t, time)
    np.testing.assert_allclose(denoised(x_t, eps_hat, jnp.asarray(a)), expected, rtol=0, atol=limit)


def test_w_zero_is_the_network_itself(images: tuple[Array, Array]) -> None:
    x_t, y = images
    t = jnp.asarray(225)
    np.testing.assert_array_equal(conditioned(eps_fn, y, w=0.0, alpha_bar=ALPHA_BAR)(x_t, t), eps_fn(x_t, t))


def test_the_prediction_is_the_target_where_the_blend_is_one_and_passes_it_beyond(
    images: tuple[Array, Array],
) -> None:
    x_t, y = images
    t, a = jnp.asarray(250), jnp.asarray(ALPHA_BAR[250])
    f = denoised(x_t, eps_fn(x_t, t), a)

    def x0_hat(w: float) -> Array:
        return denoised(x_t, conditioned(eps_fn, y, w=w, alpha_bar=ALPHA_BAR)(x_t, t), a)

    np.testing.assert_allclose(x0_hat(1 / (1 - float(a))), y, atol=1e-5)
    np.testing.assert_allclose(x0_hat(2 / (1 - float(a))), 2 * y - f, atol=2e-5)


def test_w_and_t_may_differ_between_images(images: tuple[Array, Array]) -> None:
    x_t, y = images
    w, t = jnp.array([0.0, 1.0, 3.0, 11.0]), jnp.array([250, 100, 20, 0])
    together = conditioned(eps_fn, y, w=w, alpha_bar=ALPHA_BAR)(x_t, t)
    for i in range(4):
        alone = conditioned(eps_fn, y[i : i + 1], w=w[i], alpha_bar=ALPHA_BAR)(x_t[i : i + 1], t[i])
        np.testing.assert_allclose(together[i], alone[0], rtol=1e-5, atol=1e-6)


def test_conditioning_may_be_stacked(images: tuple[Array, Array]) -> None:
    """An EpsFn in, an EpsFn out: two targets leave (1 - k1) (1 - k2) of the network's own prediction."""
    x_t, y = images
    t, a = jnp.asarray(200), jnp.asarray(ALPHA_BAR[200])
    k1, k2 = 0.5 * (1 - a), 1.5 * (1 - a)
    inner = conditioned(eps_fn, y, w=0.5, alpha_bar=ALPHA_BAR)
    both = conditioned(inner, -y, w=1.5, alpha_bar=ALPHA_BAR)
    f = denoised(x_t, eps_fn(x_t, t), a)
    expected = (1 - k1) * (1 - k2) * f + k1 * (1 - k2) * y + k2 * -y
    np.testing.assert_allclose(denoised(x_t, both(x_t, t), a), expected, rtol=1e-4, atol=1e-5)


def test_denoising_undoes_perturbing(images: tuple[Array, Array]) -> None:
    x, noise = images
    for t in (0, 250, 700):
        a = alpha_bar_at(ALPHA_BAR, jnp.asarray(t))
        np.testing.assert_allclose(denoised(perturb(x, noise, a), noise, a), x, atol=1e-5)


def blend(x_t: Array, y: Array, t: int, **how: float) -> np.ndarray:
    """How far the prediction is moved from f towards y, measured."""
    a = ALPHA_BAR[t]
    f = denoised(x_t, eps_fn(x_t, jnp.asarray(t)), a)
    eps_hat = conditioned(eps_fn, y, alpha_bar=ALPHA_BAR, **how)(x_t, jnp.asarray(t))
    x0_hat = denoised(x_t, eps_hat, a)
    return np.asarray(((x0_hat - f) * (y - f)).sum() / ((y - f) ** 2).sum())


@pytest.mark.parametrize("t", [25, 250, 400])
@pytest.mark.parametrize("fade", [0.0, 0.5, 1.0, 2.0])
def test_the_blend_fades_with_the_noise(images: tuple[Array, Array], t: int, fade: float) -> None:
    """Deviation: fade. w (1 - alpha_bar_t)^fade; 1 is the published blend, 0 a constant one."""
    expected = 0.7 * (1 - float(ALPHA_BAR[t])) ** fade
    assert blend(*images, t, w=0.7, fade=fade) == pytest.approx(expected, rel=2e-3)


def test_a_limited_blend_ends_at_the_target(images: tuple[Array, Array]) -> None:
    """Deviation: blend_max. Where the published blend stays below the limit nothing changes."""
    assert blend(*images, 400, w=5.0) > 2
    assert blend(*images, 400, w=5.0, blend_max=1.0) == pytest.approx(1.0, rel=1e-4)
    assert blend(*images, 100, w=5.0, blend_max=1.0) == pytest.approx(blend(*images, 100, w=5.0), rel=1e-4)


def test_steering_may_differ_between_images(images: tuple[Array, Array]) -> None:
    x_t, y = (jnp.concatenate([v, v[::-1] + 0.1]) for v in images)
    x_t, y = x_t[:2], y[:2]
    t, how = jnp.array([100, 400]), {"w": [1.0, 5.0], "fade": [0.0, 1.0], "blend_max": [2.0, 1.0]}
    together = conditioned(eps_fn, y, alpha_bar=ALPHA_BAR, **{k: jnp.array(v) for k, v in how.items()})(x_t, t)
    for i in range(2):
        one = np.s_[i : i + 1]
        alone = conditioned(eps_fn, y[one], alpha_bar=ALPHA_BAR, **{k: v[i] for k, v in how.items()})(x_t[one], t[i])
        np.testing.assert_allclose(together[one], alone, rtol=1e-4, atol=1e-5)


def test_the_blend_acts_in_its_interval_and_the_network_alone_outside(images: tuple[Array, Array]) -> None:
    """Deviation: blend_low, blend_high, each image by its own."""
    x_t, y = images
    t, low, high = jnp.array([100, 99, 200, 201]), jnp.array([100] * 4), jnp.array([200] * 4)
    inside = conditioned(eps_fn, y, w=3.0, alpha_bar=ALPHA_BAR)(x_t, t)
    found = conditioned(eps_fn, y, w=3.0, alpha_bar=ALPHA_BAR, blend_low=low, blend_high=high)(x_t, t)
    for i, steered in enumerate([True, False, True, False]):
        np.testing.assert_allclose(found[i], inside[i] if steered else eps_fn(x_t, t)[i], rtol=1e-6)
    everywhere = conditioned(eps_fn, y, w=3.0, alpha_bar=ALPHA_BAR, blend_low=0, blend_high=999)(x_t, t)
    np.testing.assert_array_equal(everywhere, inside)
