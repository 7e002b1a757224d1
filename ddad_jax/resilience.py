"""L3. An anomaly map from one small push: how much of a little noise a noise predictor does not see."""

import jax
import jax.numpy as jnp

from ddad_jax.schedule import alpha_bar_at, perturb
from ddad_jax.types import Array, EpsFn


def resilience(
    eps_fn: EpsFn, x: Array, t: Array | int, noise: Array, *, alpha_bar: Array, antithetic: bool = False
) -> Array:
    """R = mean over draws and channels of (eps - eps_theta(x_t, t))^2,   x_t = sqrt(a) x + sqrt(1 - a) eps.

    Where 0 the noise is known, and with it the way back to the picture; where 1 nothing of it is known. It takes one
    call of the network a draw. Published, it is multiplied with the variance of the noise, (1 - a) / a, which orders no
    two pictures otherwise.

    Args:
      x: pictures [b, h, w, c].
      t: a small time, scalar or [b]. Published sqrt((1 - a) / a) = 0.0317, between 5 and 6 of the linear schedule.
      noise: standard normal, [m, b, h, w, c], published m = 3; of a picture from its own key, for its map to be its
        own.
      alpha_bar: table [T].
      antithetic: each draw is used once more with the other sign. Deviation: published without; what the two have of
        the other sign cancels.

    Returns:
      [b, h, w], >= 0.

    Source: Shin et al. 2023, "Anomaly Detection using Score-based Perturbation Resilience", and the published code.

    >>> from ddad_jax.schedule import alpha_bar_table
    >>> blind = lambda x_t, t: jnp.zeros_like(x_t)
    >>> x = jnp.zeros((1, 2, 2, 3))
    >>> print(resilience(blind, x, 5, jnp.ones((4, 1, 2, 2, 3)), alpha_bar=alpha_bar_table())[0, 0])
    [1. 1.]
    """
    a = alpha_bar_at(alpha_bar, jnp.asarray(t))
    draws = jnp.concatenate([noise, -noise]) if antithetic else noise

    def unknown(eps: Array) -> Array:
        return jnp.square(eps - eps_fn(perturb(x, eps, a), jnp.asarray(t))).mean(-1)

    # One draw after another: memory is that of one call.
    return jax.lax.map(unknown, draws).mean(0)
