"""L4. Norm-guided one-step denoising: DDAD's blend towards a prediction from a much noisier time, which has forgotten
the defect, in the place of the target.

With f and r the clean pictures predicted from t and from a later time, and r cut to [-1, 1]:

    x0_hat = clip(f + w (1 - alpha_bar_t) (r - f), -1, 1)

Source: Zhang et al. 2023, "DiffusionAD", and the published code.
"""

from typing import NamedTuple

import jax.numpy as jnp

from ddad_jax.conditioning import conditioned, denoised
from ddad_jax.schedule import alpha_bar_at, perturb
from ddad_jax.types import Array, EpsFn, Image


class NormGuided(NamedTuple):
    """x0: the guided prediction; from_noisier: r, both [b, h, w, c] in [-1, 1]. eps, eps_noisier: of the network at
    both times [b, h, w, c]."""

    x0: Array
    from_noisier: Array
    eps: Array
    eps_noisier: Array


def norm_guided(
    eps_fn: EpsFn,
    x: Image,
    noise: Array,
    noise_noisier: Array,
    t: Array,
    t_noisier: Array,
    *,
    w: Array | float,
    alpha_bar: Array,
) -> NormGuided:
    """One network call on 2 b pictures: those of both times, which no layer mixes.

    Args:
      x, noise, noise_noisier: [b, h, w, c]. t, t_noisier: int [b]. w: strength >= 0. alpha_bar: table [T].
    """
    a, a_noisier = alpha_bar_at(alpha_bar, t), alpha_bar_at(alpha_bar, t_noisier)
    x_t, x_noisier = perturb(x, noise, a), perturb(x, noise_noisier, a_noisier)
    eps, eps_noisier = jnp.split(eps_fn(jnp.concatenate([x_t, x_noisier]), jnp.concatenate([t, t_noisier])), 2)
    r = jnp.clip(denoised(x_noisier, eps_noisier, a_noisier), -1.0, 1.0)
    steered = conditioned(lambda x_t, t: eps, r, w=w, alpha_bar=alpha_bar)
    return NormGuided(jnp.clip(denoised(x_t, steered(x_t, t), a), -1.0, 1.0), r, eps, eps_noisier)
