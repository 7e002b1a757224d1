"""RIAD's masks, what is put together of their fillings, and a similarity that has a gradient on plateaus."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ddad_jax.gradient_similarity import median3, multiscale_loss
from ddad_jax.inpainting_unet import InpaintingUNet
from ddad_jax.riad import cell_weights, drawn_masks, inpainted, inpainting_map, scoring_masks, training_masks
from ddad_jax.types import Array

SIZE, CELLS = 24, (2, 4)


def picture(key: Array, b: int = 2) -> Array:
    return jax.random.uniform(key, (b, SIZE, SIZE, 3), minval=-1.0, maxval=1.0)


def blank(variables: Any, x: Array) -> tuple[Array, Any]:
    """Fills in what it sees."""
    return x, variables


def test_every_pixel_is_blanked_once_and_cells_are_whole(key: Array) -> None:
    every = jax.jit(lambda: [drawn_masks(key, SIZE, cell) for cell in CELLS])()
    for cell, masks in zip(CELLS, map(np.asarray, every), strict=True):
        np.testing.assert_array_equal((1 - masks).sum(0), 1)
        corners = masks[:, ::cell, ::cell]
        np.testing.assert_array_equal(corners.repeat(cell, 1).repeat(cell, 2), masks)
        sizes = (1 - corners).sum((1, 2))
        assert sizes.max() == -(-((SIZE // cell) ** 2) // 3)


def test_a_training_step_has_cells_of_one_side(key: Array) -> None:
    every = np.asarray(jax.jit(jax.vmap(lambda of: training_masks(of, SIZE, CELLS)))(jax.random.split(key, 8)))
    coarse = every[:, :, ::4, ::4].repeat(4, 2).repeat(4, 3)
    assert {bool((masks == of).all()) for masks, of in zip(coarse, every, strict=True)} == {True, False}


def test_no_pixel_is_seen_when_it_is_filled_in(key: Array) -> None:
    x = picture(key)

    @jax.jit
    def both() -> tuple[Array, Array]:
        masks = scoring_masks(key, SIZE, CELLS, draws=2)
        lighter = lambda variables, x: (x + 1.0, variables)  # noqa: E731
        through = [inpainted(lighter, {}, x, masks, together=together)[0] for together in (False, True)]
        return inpainted(blank, {}, x, masks)[0], jnp.stack(through)

    filled, through = both()
    assert filled.shape == (2, len(CELLS), *x.shape)
    assert not filled.any()
    np.testing.assert_array_equal(through, 1.0)


def test_a_picture_alone_is_scored_as_among_others(key: Array) -> None:
    x, weights = picture(key), cell_weights(SIZE, CELLS, "mean")
    filled = 0.5 * jnp.stack([jnp.stack([x, -x])])
    maps = jax.jit(lambda x, filled: inpainting_map(x, filled, weights, scales=2))
    np.testing.assert_allclose(maps(x, filled)[1:], maps(x[1:], filled[:, :, 1:]), atol=1e-6)
    np.testing.assert_allclose(maps(x, jnp.stack([jnp.stack([x, x])])), 0.0, atol=1e-6)


def test_the_loss_has_a_gradient_where_nothing_changes() -> None:
    flat = jnp.zeros((1, SIZE, SIZE, 3))
    edge = flat.at[:, : SIZE // 2].set(1.0)
    loss_of = jax.jit(jax.value_and_grad(lambda y, x: multiscale_loss(x, y, scales=2)))
    for x, y in ((flat, flat), (edge, flat), (flat, edge)):
        loss, gradient = loss_of(y, x)
        assert np.isfinite(loss)
        assert np.isfinite(gradient).all()


def test_median(key: Array) -> None:
    x = np.asarray(picture(key)[..., 0])
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(x, ((0, 0), (1, 1), (1, 1))), (3, 3), (1, 2))
    np.testing.assert_array_equal(jax.jit(median3)(x), np.median(windows, (-2, -1)))


def test_the_published_network_has_its_published_size(key: Array) -> None:
    like = jax.eval_shape(InpaintingUNet().init, key, jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32))
    assert round(sum(leaf.size for leaf in jax.tree.leaves(like["params"])) / 1e6, 2) == 28.81
