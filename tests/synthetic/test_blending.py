"""Damage: exactly where the mask says, as often as asked for, a function of the picture's key alone."""

import jax
import jax.numpy as jnp
import numpy as np

from ddad_jax.synthetic.blending import SIDES, DamageShares, damaged_pictures, rectangle
from ddad_jax.synthetic.recolouring import CHANGES, recoloured

RNG = np.random.default_rng(0)
PICTURES = jnp.asarray(RNG.uniform(0.2, 0.8, (96, 32, 32, 3)), jnp.float32)
TEXTURES = jnp.asarray(RNG.integers(0, 256, (5, 32, 32, 3)), jnp.uint8)
KEYS = jax.random.split(jax.random.key(0), len(PICTURES))
EVERY = DamageShares(perlin=0.4, cutout=0.4, turned=0.0)
program = jax.jit(damaged_pictures, static_argnums=3)
DAMAGED = program(KEYS, PICTURES, TEXTURES, EVERY)


def test_a_picture_is_changed_where_the_mask_says_and_nowhere_else() -> None:
    differs = np.abs(np.asarray(DAMAGED.damaged - DAMAGED.clean)).max(-1) > 0
    assert not differs[~np.asarray(DAMAGED.mask)].any() and differs[np.asarray(DAMAGED.mask)].mean() > 0.99
    np.testing.assert_array_equal(DAMAGED.clean, PICTURES)
    assert float(DAMAGED.damaged.min()) >= 0.0 and float(DAMAGED.damaged.max()) <= 1.0


def test_each_path_is_taken_as_often_as_asked_for() -> None:
    white = np.asarray((DAMAGED.damaged == 1.0).all(-1) & DAMAGED.mask)
    touched, cut = np.asarray(DAMAGED.mask).any((1, 2)), white.any((1, 2))
    assert 0.28 < cut.mean() < 0.52 and 0.55 < touched.mean() < 0.88
    np.testing.assert_array_equal(white[cut], np.asarray(DAMAGED.mask)[cut])


def test_a_turned_picture_is_also_what_should_come_out() -> None:
    found = program(KEYS, PICTURES, TEXTURES, DamageShares(0.0, 0.0, 1.0))
    assert not found.mask.any()
    np.testing.assert_array_equal(found.clean, found.damaged)
    assert (np.abs(np.asarray(found.clean - PICTURES)).max((1, 2, 3)) > 0.1).all()


def test_damage_depends_on_no_batch_mate() -> None:
    reversed_ = program(KEYS[::-1], PICTURES[::-1].at[0].set(0.0), TEXTURES, EVERY)
    for one, whole in zip(reversed_, DAMAGED, strict=True):
        np.testing.assert_array_equal(one[1:], whole[-2::-1])


def test_a_rectangle_lies_inside_and_has_the_sides_it_should() -> None:
    masks = np.asarray(jax.vmap(lambda key: rectangle(key, (40, 60)))(KEYS))
    for extent, n in ((masks.any(2).sum(1), 40), (masks.any(1).sum(1), 60)):
        assert extent.min() >= max(1, SIDES[0] * n - 1) and extent.max() <= SIDES[1] * n + 1
        assert len({*extent.tolist()}) > 5
    np.testing.assert_array_equal(masks.sum((1, 2)), masks.any(2).sum(1) * masks.any(1).sum(1))


def test_every_change_keeps_values_in_range_or_is_cut_to_it() -> None:
    texture = PICTURES[0]
    for change in CHANGES:
        found = change(jax.random.key(3), texture)
        assert found.shape == texture.shape and bool(jnp.isfinite(found).all())
        assert float(jnp.abs(found - texture).max()) > 1e-3
    changed = recoloured(jax.random.key(1), texture)
    assert float(changed.min()) >= 0.0 and float(changed.max()) <= 1.0
