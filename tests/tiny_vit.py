"""A vision transformer as small as one can be: its stages are blocks, all of one stride, and no size but multiples of
a patch's can enter it. With the parts of DINOv2 that ask something of what is around it: a class token, a register, a
position table of another grid than the picture's, layer scales, no BatchNorm."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from ddad_jax.backbones import Backbone, Stage
from ddad_jax.types import Array, Variables

PATCH, WIDTH, TRAINED = 14, 8, 3
"""Side of a patch in pixels; of every token; patches a side that the position table is for."""
STAGES = {"block0": Stage(PATCH, WIDTH), "block2": Stage(PATCH, WIDTH)}


class Scale(nn.Module):
    @nn.compact
    def __call__(self, x: Array) -> Array:
        return x * self.param("gamma", nn.initializers.ones, (WIDTH,))[None, None]


class Block(nn.Module):
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        h = nn.LayerNorm(dtype=self.dtype, name="norm1")(x)
        q, k, v = jnp.split(nn.Dense(3 * WIDTH, dtype=self.dtype, name="qkv")(h), 3, -1)
        weights = jax.nn.softmax(q @ k.transpose(0, 2, 1) / np.sqrt(WIDTH), axis=-1)
        return x + Scale(name="ls1")(weights @ v)


class TinyViT(nn.Module):
    """images [b, h, w, 3] -> {"block0", "block2"}, the patches behind these blocks, [b, h/14, w/14, 8] each."""

    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> dict[str, Array]:
        window = (PATCH, PATCH)
        x = nn.Conv(WIDTH, window, window, padding="VALID", dtype=self.dtype, name="patch_embed_proj")(x)
        b, h, w, c = x.shape
        first = self.param("cls_token", nn.initializers.normal(), (1, 1, c))
        register = self.param("register_tokens", nn.initializers.normal(), (1, 1, c))
        table = self.param("pos_embed", nn.initializers.normal(), (1, TRAINED**2, c))
        places = jax.image.resize(table.reshape(1, TRAINED, TRAINED, c), (1, h, w, c), "linear")
        patches = (x + places.astype(x.dtype)).reshape(b, h * w, c)
        ahead = [jnp.broadcast_to(token, (b, 1, c)).astype(x.dtype) for token in (first, register)]
        tokens = jnp.concatenate([*ahead, patches], 1)
        outputs = {}
        for i in range(3):
            tokens = Block(self.dtype, name=f"blocks_{i}")(tokens)
            outputs[f"block{i}"] = tokens[:, 2:].reshape(b, h, w, c)
        return {name: outputs[name] for name in STAGES}


VIT = Backbone("tiny_vit", TinyViT(), lambda x: x, PATCH, STAGES, PATCH)


@functools.cache
def variables() -> Variables:
    """Weights of ``VIT``; there are no statistics among them."""
    return jax.tree.map(np.asarray, jax.jit(TinyViT().init)(jax.random.key(0), jnp.zeros((1, 28, 28, 3))))
