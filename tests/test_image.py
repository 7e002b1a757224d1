import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from ddad_jax.errors import InputError
from ddad_jax.image import between_centres, centre_crop, gaussian_blur, gaussian_kernel, resize, upsample

RNG = np.random.default_rng(0)


def bilinear_aligned(x: np.ndarray, size: int) -> np.ndarray:
    """Output i lies at i (n - 1) / (size - 1) of the input: the formula, one pixel at a time."""
    h, w = x.shape
    out = np.zeros((size, size))
    for i in range(size):
        for j in range(size):
            u, v = (k * (n - 1) / max(size - 1, 1) for k, n in ((i, h), (j, w)))
            top, left = int(u), int(v)
            down, right = min(top + 1, h - 1), min(left + 1, w - 1)
            a, b = u - top, v - left
            upper = (1 - b) * x[top, left] + b * x[top, right]
            lower = (1 - b) * x[down, left] + b * x[down, right]
            out[i, j] = (1 - a) * upper + a * lower
    return out


@pytest.mark.parametrize(("h", "w", "size"), [(4, 4, 16), (3, 7, 10), (1, 2, 5), (8, 8, 8), (9, 5, 4), (6, 6, 1)])
def test_upsample_equals_the_formula(h: int, w: int, size: int) -> None:
    x = RNG.standard_normal((2, h, w, 3)).astype(np.float32)
    got = np.asarray(upsample(jnp.asarray(x), size))
    assert got.shape == (2, size, size, 3) and got.dtype == np.float32
    for b, c in np.ndindex(2, 3):
        np.testing.assert_allclose(got[b, :, :, c], bilinear_aligned(x[b, :, :, c], size), atol=2e-6)


def between(x: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Output i lies at (i + 1/2) n / size - 1/2 of the input, kept inside it: the formula, one pixel at a time."""
    (h, w), out = x.shape, np.zeros(size)
    for i, j in np.ndindex(*size):
        u, v = (min(max((k + 0.5) * n / to - 0.5, 0), n - 1) for k, n, to in ((i, h, size[0]), (j, w, size[1])))
        top, left = int(u), int(v)
        down, right = min(top + 1, h - 1), min(left + 1, w - 1)
        a, b = u - top, v - left
        out[i, j] = (1 - a) * ((1 - b) * x[top, left] + b * x[top, right])
        out[i, j] += a * ((1 - b) * x[down, left] + b * x[down, right])
    return out


@pytest.mark.parametrize(("shape", "size"), [((4, 4), (16, 16)), ((5, 4), (9, 7)), ((1, 2), (3, 5)), ((9, 8), (4, 3))])
def test_between_centres_equals_the_formula_shrinking_too(shape: tuple[int, int], size: tuple[int, int]) -> None:
    x = RNG.standard_normal((2, *shape, 3)).astype(np.float32)
    got = np.asarray(between_centres(jnp.asarray(x), size))
    assert got.shape == (2, *size, 3) and got.dtype == np.float32
    for b, c in np.ndindex(2, 3):
        np.testing.assert_allclose(got[b, :, :, c], between(x[b, :, :, c], size), atol=2e-6)
    same = jnp.asarray(x)
    assert between_centres(same, shape) is same


def test_upsample_keeps_the_corners() -> None:
    x = jnp.asarray(RNG.standard_normal((1, 4, 4, 1)), jnp.float32)
    np.testing.assert_array_equal(upsample(x, 32)[:, ::31, ::31], x[:, ::3, ::3])


@pytest.mark.parametrize(("sigma", "taps"), [(4.0, 33), (1.0, 9), (0.5, 5), (0.1, 1)])
def test_the_kernel_sums_to_one_and_ends_at_four_sigma(sigma: float, taps: int) -> None:
    kernel = gaussian_kernel(sigma)
    assert kernel.shape == (taps,) and kernel.sum() == pytest.approx(1.0, abs=1e-6)
    np.testing.assert_array_equal(kernel, kernel[::-1])


@pytest.mark.parametrize("shape", [(40, 40), (33, 50), (16, 17), (5, 3), (2, 1)])
@pytest.mark.parametrize("sigma", [0.5, 1.0, 4.0])
def test_blur_equals_scipy_whatever_the_size(shape: tuple[int, int], sigma: float) -> None:
    """scipy's "mirror" reflects without repeating the edge pixel, "reflect" with it; below 17 px the kernel is larger
    than the map."""
    maps = RNG.random((2, *shape)).astype(np.float32)
    for mode in ("mirror", "reflect"):
        got = gaussian_blur(jnp.asarray(maps), sigma, repeat_edge=mode == "reflect")
        for one, blurred in zip(maps, got, strict=True):
            expected = gaussian_filter(one.astype(np.float64), sigma, mode=mode, truncate=4)
            np.testing.assert_allclose(blurred, expected, atol=2e-6)


def test_blur_of_nothing_is_nothing_and_of_a_constant_the_constant() -> None:
    maps = jnp.asarray(RNG.random((2, 9, 9)), jnp.float32)
    assert gaussian_blur(maps, 0) is maps
    np.testing.assert_allclose(gaussian_blur(jnp.full((1, 12, 9), 0.7), 4.0), 0.7, rtol=1e-6)


def test_resize_leaves_an_image_of_that_size_alone_and_averages_when_shrinking() -> None:
    x = jnp.asarray(RNG.random((2, 8, 8, 3)), jnp.float32)
    assert resize(x, 8) is x
    assert resize(x, 16).shape == (2, 16, 16, 3)
    checks = jnp.asarray(np.indices((64, 64)).sum(0) % 2, jnp.float32)[None, :, :, None]
    np.testing.assert_allclose(resize(checks, 16), 0.5, atol=0.02)


def test_the_crop_is_central_and_must_fit() -> None:
    maps = jnp.arange(2 * 256 * 256, dtype=jnp.float32).reshape(2, 256, 256)
    np.testing.assert_array_equal(centre_crop(maps, 224), maps[:, 16:240, 16:240])
    np.testing.assert_array_equal(centre_crop(maps, 256), maps)
    with pytest.raises(InputError, match=r"crop = 100.*64"):
        centre_crop(maps[:, :64, :64], 100)


def test_filters_do_not_mix_images() -> None:
    maps = jnp.asarray(RNG.random((3, 20, 20)), jnp.float32)
    np.testing.assert_array_equal(gaussian_blur(maps, 2.0)[1:2], gaussian_blur(maps[1:2], 2.0))
    np.testing.assert_array_equal(upsample(maps[..., None], 50)[1:2], upsample(maps[1:2, ..., None], 50))


def test_filters_keep_full_precision_where_matrices_are_multiplied_coarsely() -> None:
    """Accelerators round float32 factors to 8 or 11 bits unless told not to."""
    for f in (
        lambda m: gaussian_blur(m, 2.0),
        lambda m: upsample(m[..., None], 32),
        lambda m: between_centres(m[..., None], (32, 32)),
    ):
        text = str(jax.make_jaxpr(f)(jnp.zeros((1, 8, 8))))
        assert text.count("dot_general") == text.count("precision=(Precision.HIGHEST") > 0
