"""L3. Conditioning on a target image: EpsFn -> EpsFn.

With f the network's prediction of the clean image from x_t, the conditioned prediction is a blend
towards the target, in closed form:

    x0_hat = f + w (1 - alpha_bar_t) (y - f)

No second network call and no gradient, so any solver can use it, and w may be traced.
"""

import math

import jax.numpy as jnp

from ddad_jax.schedule import T, alpha_bar_at, per_image, perturb
from ddad_jax.types import Array, EpsFn, Image


def denoised(x_t: Array, eps: Array, alpha_bar_t: Array) -> Array:
    """f = (x_t - sqrt(1 - alpha_bar_t) eps) / sqrt(alpha_bar_t). Source: DDAD Eq. 2.

    >>> from ddad_jax.schedule import perturb
    >>> x, eps = jnp.full((1, 1, 1, 1), 0.5), jnp.full((1, 1, 1, 1), -1.0)
    >>> round(denoised(perturb(x, eps, 0.6), eps, 0.6).item(), 6)
    0.5
    """
    a = per_image(alpha_bar_t, x_t)
    return (x_t - jnp.sqrt(1.0 - a) * eps) / jnp.sqrt(a)


def conditioned(
    eps_fn: EpsFn,
    y: Image,
    *,
    w: Array | float,
    alpha_bar: Array,
    fade: Array | float = 1.0,
    blend_max: Array | float = math.inf,
    blend_low: Array | float = 0,
    blend_high: Array | float = T - 1,
) -> EpsFn:
    """eps_hat = eps - w sqrt(1 - alpha_bar_t) (y_t - x_t), where

    y_t = sqrt(alpha_bar_t) y + sqrt(1 - alpha_bar_t) eps is the target noised with the network's own noise.

    Args:
      eps_fn: the network.
      y: target images [b, h, w, c] in [-1, 1]; at test time the input itself.
      w: strength >= 0, scalar or [b]; 0 leaves the network as it is. The blend leaves [0, 1], so the
        prediction goes beyond the target, where w (1 - alpha_bar_t) > 1 (T' = 250: w above about 2.1).
      alpha_bar: table [T].
      fade: Deviation: the blend is w (1 - alpha_bar_t)^fade; published 1. 0 keeps it at w from the first step to the
        last, above 1 it lets go sooner. Scalar or [b].
      blend_max: Deviation: the blend is at most this; published without a limit. 1 ends at the target and never
        beyond it. Scalar or [b].
      blend_low, blend_high: Deviation: the blend acts at times from the one to the other, and at others the
        network is left as it is; published at all times. Scalar or [b]. After Kynkaanniemi et al.
        2024, guidance in an interval.

    Source: DDAD Eq. 6 and Algorithm 1, lines 3 and 4.

    >>> from ddad_jax.schedule import alpha_bar_table
    >>> table = alpha_bar_table()
    >>> x_t, y, t = jnp.zeros((1, 1, 1, 1)), jnp.ones((1, 1, 1, 1)), jnp.asarray(250)
    >>> steered = conditioned(lambda x_t, t: jnp.zeros_like(x_t), y, w=1.0, alpha_bar=table)
    >>> f = denoised(x_t, steered(x_t, t), table[250])  # the network's own prediction is 0, the target 1
    >>> round(f.item(), 4), round(1 - float(table[250]), 4)
    (0.4786, 0.4786)
    """

    def conditioned_eps(x_t: Array, t: Array) -> Array:
        a = alpha_bar_at(alpha_bar, t)
        eps = eps_fn(x_t, t)
        y_t = perturb(y, eps, a)
        # (1 - a) (1 - a)^(fade - 1), so that the published fade leaves the equation as it stands.
        blend_w = jnp.minimum(w * (1.0 - a) ** (jnp.asarray(fade) - 1.0), blend_max / (1.0 - a))
        blend_w = jnp.where((t >= blend_low) & (t <= blend_high), blend_w, 0.0)
        return eps - per_image(blend_w, x_t) * per_image(jnp.sqrt(1.0 - a), x_t) * (y_t - x_t)

    return conditioned_eps
