"""L0. The few types everything else is written in."""

from collections.abc import Callable
from typing import Any

import jax

Array = jax.Array
"""A JAX array; functions marked *host* take and return NumPy arrays instead."""

Image = jax.Array
"""float32 [b, h, w, c] in [-1, 1] (NHWC, RGB)."""

EpsFn = Callable[[Array, Array], Array]
"""eps_theta(x_t, t): noisy images [b, h, w, c] and their times, a scalar or [b] -> predicted noise [b, h, w, c]."""

NoiseFn = Callable[[Array], Array]
"""i -> standard normal noise [b, h, w, c] of draw i; i = 0 is the start, i = 1, 2, ... the steps."""

FeatureFn = Callable[[Image], dict[str, Array]]
"""images -> {"layer1": [b, h/4, w/4, c1], "layer2": [b, h/8, w/8, c2], "layer3": [b, h/16, w/16, c3]}."""

Variables = Any
"""A plain tree of arrays as Flax's ``init`` returns it: {"params": ..., "batch_stats": ...}."""
