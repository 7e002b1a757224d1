"""L0. The few types everything else is written in."""

from collections.abc import Callable
from typing import Any

import jax

Array = jax.Array
"""A JAX array; functions marked *host* take and return NumPy arrays instead."""

Image = jax.Array
"""float32 [b, h, w, c] in [-1, 1] (NHWC, RGB)."""

EpsFn = Callable[[Array, Array], Array]
"""eps_theta(x_t, t): noisy images [b, h, w, c] and their times, a scalar or [b], whole or real -> predicted noise
[b, h, w, c]."""

NoiseFn = Callable[[Array], Array]
"""i -> standard normal noise [b, h, w, c] of draw i; i = 0 is the start, i = 1, 2, ... the steps."""

NoiseDraw = Callable[[Array, tuple[int, ...]], Array]
"""(key, (h, w, c)) -> noise of one picture, mean 0 and variance 1; ``jax.random.normal`` where nothing else is said."""

FeatureFn = Callable[[Image], dict[str, Array]]
"""images -> stage of the backbone (``backbones.Backbone.stages``) -> its features [b, h/stride, w/stride, c]."""

Variables = Any
"""A plain tree of arrays as Flax's ``init`` returns it: {"params": ..., "batch_stats": ...}, the second where it
has BatchNorm."""
