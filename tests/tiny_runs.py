"""Runs small enough for tests: a generated folder at 32 px, a U-Net of two levels, six steps."""

import functools
from pathlib import Path
from typing import Any

import jax.numpy as jnp
from ml_collections import ConfigDict
from trees import mvtec

from ddad_jax.types import Array, FeatureFn
from experiments.config import base, check
from experiments.model import Data, load_data


def config(root: Path, **changes: Any) -> ConfigDict:
    """Settings for ``trees.mvtec(root)``; ``changes`` name them with two underscores: ``train__steps=4``."""
    c = base()
    with c.unlocked():
        c.data.update(root=str(root), category="bolt", size=32)
        c.model.update(base=16, channel_mult=(1, 2), res_blocks=1, attention_sizes=(8,))
        c.train.update(steps=6, batch_size=4, warmup_steps=0, log_every=2, validate_every=4, checkpoint_every=2)
        c.adapt.update(epochs=0, batch_size=2, steps=2)
        c.sample.update(steps=2, batch_size=8)
        for name, value in changes.items():
            *sections, last = name.split("__")
            functools.reduce(lambda at, section: at[section], sections, c)[last] = value
    return check(c)


def folder(root: Path, n_train: int = 9) -> Path:
    """9 pictures to train on (4 of them held out); 2 good, 2 bent, 1 rusty to test."""
    mvtec(root, n_train=n_train)
    return root


def data(root: Path, **changes: Any) -> Data:
    return load_data(config(folder(root), **changes))


def features(x: Array) -> dict[str, Array]:
    """Stands in for a backbone where its compilation would only cost time."""

    def pooled(stride: int) -> Array:
        b, h, w, c = x.shape
        return x.reshape(b, h // stride, stride, w // stride, stride, c).mean((2, 4))

    return {layer: jnp.sin(9.0 * pooled(s)) + 0.2 for layer, s in (("layer1", 4), ("layer2", 8), ("layer3", 16))}


def stand_in(_backbone: Any, _variables: Any) -> FeatureFn:
    """In the place of ``feature_fn``."""
    return features
