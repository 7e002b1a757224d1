"""L2. Batch normalisation whose running statistics move as PyTorch's do."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from ddad_jax.types import Array


class TorchBatchNorm(nn.Module):
    """y = scale (x - m) / sqrt(s2 + eps) + bias, per channel over everything but the last axis.

    use_running_average: (m, s2) are the stored ("batch_stats", "mean") and ("batch_stats", "var").
    Otherwise they are the batch's own (s2 the biased variance), and the stored ones move by
    stored <- momentum stored + (1 - momentum) batch, where the variance that is stored is the unbiased
    one (n / (n - 1) times the biased). Flax's BatchNorm stores the biased one, hence this module.
    Statistics and affine map are computed in float32 (float64 for float64 input); the result has
    the type of x.

    Attributes:
      eps: added to the variance; 1e-5 in torchvision's ResNets, 1e-3 in EfficientNet-Lite.
      momentum: share kept of the stored statistics; 0.9 is PyTorch's "momentum 0.1".

    Source: Ioffe and Szegedy 2015, algorithms 1 and 2 (m / (m - 1) in algorithm 2, step 10).
    """

    eps: float = 1e-5
    momentum: float = 0.9

    @nn.compact
    def __call__(self, x: Array, use_running_average: bool) -> Array:
        c = x.shape[-1]
        scale = self.param("scale", nn.initializers.ones, (c,))
        bias = self.param("bias", nn.initializers.zeros, (c,))
        mean = self.variable("batch_stats", "mean", jnp.zeros, (c,), jnp.float32)
        var = self.variable("batch_stats", "var", jnp.ones, (c,), jnp.float32)
        wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
        if use_running_average:
            m, s2 = mean.value, var.value
        else:
            axes = tuple(range(x.ndim - 1))
            m = wide.mean(axes)
            # Two passes: E[x^2] - E[x]^2 cancels where a channel's mean is large beside its spread.
            s2 = jnp.square(wide - _per_channel(m, x.ndim)).mean(axes)
            if not self.is_initializing():
                n = x.size // c
                keep, move = self.momentum, 1.0 - self.momentum
                mean.value = keep * mean.value + move * m
                var.value = keep * var.value + move * s2 * (n / max(n - 1, 1))
        gain = scale * jax.lax.rsqrt(s2 + self.eps)
        y = (wide - _per_channel(m, x.ndim)) * _per_channel(gain, x.ndim) + _per_channel(bias, x.ndim)
        return y.astype(x.dtype)


def _per_channel(v: Array, ndim: int) -> Array:
    return v.reshape((1,) * (ndim - 1) + v.shape)
