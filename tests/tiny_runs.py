"""Runs small enough for tests: a generated folder at 32 px, a U-Net of one level, six steps."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict
from trees import mvtec

from ddad_jax.backbones import Backbone, Stage
from ddad_jax.engine import pipeline
from ddad_jax.engine.methods.ddad import criteria, evidence, extractor, grids, lessons, noise_predictor
from ddad_jax.engine.methods.ddad import student as ddad_student
from ddad_jax.engine.methods.ddad.fitted import FittedDDAD
from ddad_jax.engine.methods.memory import fitted as memory
from ddad_jax.engine.methods.memory import method as memory_method
from ddad_jax.engine.report import protocol_check
from ddad_jax.types import Array, EpsFn
from experiments.config import base, engine_settings


def config(root: Path, method: str = "ddad", **changes: Any) -> Any:
    """Settings for ``trees.mvtec(root)``; ``changes`` name them with two underscores: ``train__steps=4``."""
    return engine_settings(config_dict(root, method, **changes))


def config_dict(root: Path, method: str = "ddad", **changes: Any) -> ConfigDict:
    """The same as a config file gives them, unchecked."""
    c = base(method)
    with c.unlocked():
        c.data.update(root=str(root), category="bolt", size=32)
        c.output.update(examples=1, browser=0)  # drawing and redrawing them takes longer than all the rest
        SMALL[method](c)
        for name, value in changes.items():
            *sections, last = name.split("__")
            functools.reduce(lambda at, section: at[section], sections, c)[last] = value
    return c


def fitted(c: ConfigDict, workdir: Path, program: Any = None, **more: Any) -> FittedDDAD:
    """DDAD with that program in the place of its networks, whatever else was learnt as ``more`` says; without one, for
    what asks nothing of the networks."""
    return FittedDDAD(c, workdir, **{"params": None, "variables": None, "epoch": 0, "program": program, **more})


def _small_ddad(c: ConfigDict) -> None:
    c.model.update(base=16, channel_mult=(1,), res_blocks=1, attention_sizes=())
    c.train.update(steps=6, batch_size=4, warmup_steps=0, log_every=2, validate_every=4, checkpoint_every=2)
    c.adapt.update(epochs=0, batch_size=2, steps=2, least_share=0.0)
    c.sample.update(steps=2, batch_size=8)


def _small_patchcore(c: ConfigDict) -> None:
    c.patchcore.update(share=0.2, batch_size=4)


def _small_padim(c: ConfigDict) -> None:
    c.padim.update(batch_size=4)


def _small_feature_ddad(c: ConfigDict) -> None:
    c.feature_ddad.update(batch_size=4)


def _small_ensemble(c: ConfigDict) -> None:
    c.ensemble.update(batch_size=4)
    c.patchcore.update(share=0.2)
    c.feature_ddad_coarse.update(pool=2)


SMALL: dict[str, Callable[[ConfigDict], None]] = {
    "ddad": _small_ddad, "patchcore": _small_patchcore, "padim": _small_padim, "ensemble": _small_ensemble,
    "feature_ddad": _small_feature_ddad,
}  # fmt: skip
"""Method -> makes its own settings small."""


def folder(root: Path, n_train: int = 9) -> Path:
    """9 pictures to train on (4 of them held out); 2 good, 2 bent, 1 rusty to test."""
    mvtec(root, n_train=n_train)
    return root


# --- Networks that compile in no time, where only what is around them is tested ---------------------------------


def init_params(_unet: Any, seed: int) -> dict[str, Array]:
    return {"gain": jnp.full((3,), 0.1 + seed), "shift": jnp.zeros(3)}


def predict(params: dict[str, Array], x_t: Array, t: Array, dropout_key: Array | None = None) -> Array:
    """A noise predictor of six numbers."""
    return params["gain"][None, None, None] * x_t + params["shift"][None, None, None]


def eps_fn(_unet: Any, params: dict[str, Array]) -> EpsFn:
    return functools.partial(predict, params)


def init_student(_student: Any, teacher: Any, key: Array) -> dict[str, Any]:
    return {"unet": jax.tree.map(jnp.array, teacher), "of": jnp.zeros((4, 3))}


def student_predict(
    params: dict[str, Any], x_t: Array, t: Array, y: Array, w: Array, t_prime: Array
) -> tuple[Array, Array]:
    """A student of six numbers and twelve: its correction is linear in x_t, y, w and T'."""
    w, t_prime = (jnp.broadcast_to(v, x_t.shape[:1])[:, None, None, None] for v in (w / 6, t_prime / 300))
    of = params["of"][:, None, None, None]
    return predict(params["unet"], x_t, t), of[0] * x_t + of[1] * y + of[2] * w + of[3] * t_prime


class Layers(nn.Module):
    """A feature extractor: three layers of one convolution each, at strides 4, 8 and 16."""

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> dict[str, Array]:
        self.variable("batch_stats", "mean", lambda: jnp.zeros(2))
        found = {}
        for i, stride in enumerate((4, 2, 2)):
            x = jnp.tanh(nn.Conv(6, (stride, stride), (stride, stride), name=f"layer{i + 1}")(x))
            found[f"layer{i + 1}"] = x
        return found


BACKBONE = Backbone("layers", Layers(), lambda x: x, 16, {f"layer{i + 1}": Stage(4 * 2**i, 6) for i in range(3)})
Set = Callable[[Any, str, Any], None]


@functools.cache
def variables() -> Any:
    """Weights of ``BACKBONE``."""
    return jax.tree.map(np.asarray, jax.jit(Layers().init)(jax.random.key(0), jnp.zeros((1, 32, 32, 3))))


def small_predictor(put: Set = setattr) -> None:
    """Put the small noise predictor in the place of the U-Net, and its student; ``put``: ``monkeypatch.setattr``."""
    put(noise_predictor, "init_params", init_params)
    put(noise_predictor, "train_apply", lambda unet: predict)
    for module in (criteria, extractor, grids, evidence, lessons):
        put(module, "eps_fn", eps_fn)
    put(ddad_student, "init_student", init_student)
    for module in (ddad_student, evidence):
        put(module, "student_apply", lambda student: student_predict)


def small_backbone(put: Set = setattr) -> None:
    """Put the small feature extractor in the place of the configured one."""
    for module in (criteria, extractor, evidence, memory, protocol_check):
        put(module, "build_backbone", lambda c: BACKBONE)
    for module in (extractor, pipeline, memory_method, protocol_check):
        put(module, "load_backbone", lambda name, path: variables())
