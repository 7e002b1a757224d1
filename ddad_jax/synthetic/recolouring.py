"""L1. Textures made strange: three of eight changes, drawn, in drawn order; within a compiled program.

Deviation: DRAEM's published code takes three of ten of imgaug. Histogram equalisation and sharpness are left out, a
brightness is changed in the picture's own channels, and a hue by turning the colours about grey. Colours are solarised
whenever it is that change's turn (published every second time), 1 to 7 bits are left (1 to 8), and contrast is full
without cutting off up to 20 % of the values first.

Source: the choices and ranges of the published code of DRAEM.
"""

import jax
import jax.numpy as jnp

from ddad_jax.synthetic.turning import turned
from ddad_jax.types import Array

AT_ONCE = 3
"""Changes of one texture."""


def gamma(key: Array, x: Array) -> Array:
    """x^g of each channel, g from 0.5 to 2."""
    g = jax.random.uniform(key, (3,), minval=0.5, maxval=2.0)
    return jnp.maximum(x, 1e-6) ** g[None, None]


def brighter(key: Array, x: Array) -> Array:
    """m x + a, m from 0.8 to 1.2, a from -30 to 30 of 255."""
    mul, add = jax.random.uniform(key, (2,), minval=-1.0)
    return x * (1.0 + 0.2 * mul) + add * 30.0 / 255.0


def hue(key: Array, x: Array) -> Array:
    """Colours turned about grey by up to 70 degrees, and their distance from grey times 0.8 to 1.2."""
    angle, saturation = jax.random.uniform(key, (2,), minval=-1.0)
    a, third = jnp.deg2rad(70.0 * angle), 1.0 / 3.0
    grey = x.mean(-1, keepdims=True)
    near, next_, last = third * (1 + 2 * jnp.cos(a)), third * (1 - jnp.cos(a)), jnp.sin(a) / jnp.sqrt(3.0)
    colour = x - grey
    rolled, back = jnp.roll(colour, 1, -1), jnp.roll(colour, -1, -1)
    turn = near * colour + (next_ + last) * rolled + (next_ - last) * back
    return grey + (1.0 + 0.2 * saturation) * turn


def solarized(key: Array, x: Array) -> Array:
    """1 - x from a threshold on, of 32 to 128 of 255."""
    return jnp.where(x >= jax.random.uniform(key, minval=32.0, maxval=128.0) / 255.0, 1.0 - x, x)


def posterized(key: Array, x: Array) -> Array:
    """1 to 7 of the 8 bits are left."""
    step = 2.0 ** (8 - jax.random.randint(key, (), 1, 8))
    return jnp.floor(x * 255.0 / step) * step / 255.0


def negative(key: Array, x: Array) -> Array:
    return 1.0 - x


def full_contrast(key: Array, x: Array) -> Array:
    """Each channel from its least to its largest value."""
    low, high = x.min((0, 1), keepdims=True), x.max((0, 1), keepdims=True)
    return (x - low) / jnp.maximum(high - low, 1.0 / 255.0)


def turned_a_little(key: Array, x: Array) -> Array:
    """By -45 to 45 degrees, black corners."""
    return turned(x, jax.random.uniform(key, minval=-45.0, maxval=45.0))


CHANGES = (gamma, brighter, hue, solarized, posterized, negative, full_contrast, turned_a_little)


def recoloured(key: Array, texture: Array) -> Array:
    """[h, w, 3] in [0, 1], as it came -> changed by ``AT_ONCE`` different ones of ``CHANGES``, in [0, 1]."""
    order, *keys = jax.random.split(key, AT_ONCE + 1)
    for which, own in zip(jax.random.permutation(order, len(CHANGES))[:AT_ONCE], keys, strict=True):
        texture = jnp.clip(jax.lax.switch(which, CHANGES, own, texture), 0.0, 1.0)
    return texture
