"""L1. The focal loss of pixels: what is marked well hardly counts.

Source: Lin et al. 2017, "Focal Loss for Dense Object Detection"; smoothed as in DRAEM's published code.
"""

import jax
import jax.numpy as jnp

from ddad_jax.types import Array

SMOOTH = 1e-5


def focal_losses(logits: Array, mask: Array, *, gamma: float = 2.0) -> Array:
    """-(1 - p_t)^gamma log p_t of each pixel, [b, h, w], p_t = <one-hot, softmax(logits)> + 1e-5.

    Args:
      logits: [b, h, w, 2]: sound, damaged. mask: [b, h, w], 1 where damaged, else 0. The one-hot target is kept in
        [1e-5, 1 - 1e-5].
      gamma: how little a pixel counts that is marked well; 0 is the cross entropy.
    """
    p = jax.nn.softmax(logits, -1)
    target = jnp.clip(jnp.stack([1.0 - mask, mask], -1), SMOOTH, 1.0 - SMOOTH)
    p_t = (target * p).sum(-1) + SMOOTH
    return -((1.0 - p_t) ** gamma) * jnp.log(p_t)
