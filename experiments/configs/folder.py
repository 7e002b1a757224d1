"""Any data set in MVTec AD layout, in minutes on two CPU cores:

    python -m experiments.sweep --config=experiments/configs/folder.py --workdir=runs/mine \\
        --config.data.root=/path/to/sets --config.data.category=bottle

That is an ensemble of DDAD in feature space and PatchCore at 256 px, which trains nothing; its sweep shows each member
alone beside it, diffusion alone with three priors at once, and PaDiM. One method alone: ``folder.py:feature_ddad``,
``folder.py:patchcore``, ``folder.py:padim``.
``folder.py:patchcore,reference`` and ``folder.py:padim,reference`` do what the published code does, with its network.

``folder.py:draem`` trains DRAEM, small enough for two CPU cores (128 px, fifteen minutes);
``folder.py:draem,reference`` is of the published size, for a GPU.
``folder.py:riad`` trains RIAD, small enough, too (64 px); ``folder.py:riad,reference`` is of the published size.

``folder.py:ddad`` is DDAD in pixels, small enough for two CPU cores (64 px, fifteen minutes of training);
``folder.py:gpu`` takes the papers' size (256 px, DDAD-S), in bfloat16.

``folder.py:gaussian`` is DDAD in pixels without a network: a Gaussian of the training pictures predicts the noise, and
``folder.py:ddad --config.model.prior=gaussian`` trains a network that adds to it.

``folder.py:anoddpm`` is DDAD's network trained with simplex noise and asked without a target, as AnoDDPM;
``folder.py:anoddpm,reference`` is of its published size and schedule, for a GPU.
``folder.py:diffusionad`` is DiffusionAD at 64 px, twelve minutes of training; ``folder.py:diffusionad,reference`` the
published sizes and rates. ``folder.py:diffad`` is DiffAD at 64 px, fifteen minutes for its three networks, and samples
in its latent with any solver; ``folder.py:diffad,reference`` alike.

``--config.select=synthetic`` chooses the point of the sweep on synthetic defects painted on normal pictures instead.
Other kinds of data are a flag away, such as ``--config.data.kind=cans --config.data.category=coffee``.
"""

from typing import Any

from ml_collections import ConfigDict

from ddad_jax.errors import InputError
from experiments.config import base, for_accelerator, reference

SWEPT = {
    "patchcore": {"share": (0.003, 0.01), "neighbours": (1, 3, 9), "sigma": (2.0, 4.0, 8.0)},
    "padim": {"share": (0.03, 0.1, 0.3), "sigma": (2.0, 4.0, 8.0)},
    "feature_ddad": {"w": (0.0, 1.0, 3.0), "t_prime": (100, 250, 500), "sigma": (2.0, 4.0, 8.0)},
    "draem": {"mirrored": ("", "hv"), "window": (5, 21), "sigma": (0.0, 4.0)},
    "riad": {"draws": (1, 4), "weights": ("mean", "area"), "sigma": (4.0, 7.0, 12.0)},
    "diffusionad": {"w": (0.0, 1.0, 3.0), "t": (100, 200), "top": (50, 200), "sigma": (0.0, 4.0)},
    "diffad": {
        "steps": (1, 2, 5, 10),
        "solver": ("ddim", "dpm2m"),
        "grid": ("trailing",),
        "share": (0.0, 0.5),
        "sigma": (0.0, 4.0),
    },
    "ensemble": {
        "members": (
            ("feature_ddad",),
            ("feature_ddad_coarse",),
            ("feature_ddad_patches",),
            ("patchcore",),
            ("padim",),
            ("feature_ddad", "feature_ddad_coarse", "feature_ddad_patches"),
            ("feature_ddad", "feature_ddad_patches"),
        )
    },
}
"""Method -> what its sweep tries."""
_QUICK: dict[str, Any] = {"steps": 100_000, "learning_rate": 1e-3, "warmup_steps": 50, "clip_norm": 1.0}
SHORT: dict[str, dict[str, dict[str, Any]]] = {
    "draem": {
        "data": {"size": 128},
        "model": {"reconstructive": 16, "discriminative": 16, "patch": 2},
        "train": {**_QUICK, "max_minutes": 15.0},
        "draem": {"origin": "fixed in the config, before any result was seen"},
    },
    "riad": {
        "data": {"size": 64},
        "model": {"widths": (16, 32, 64, 128), "cells": (2, 4, 8), "scales": 3},
        "train": {"steps": 100_000, "max_minutes": 15.0, "batch_size": 4, "learning_rate": 1e-3, "warmup_steps": 50},
        "riad": {"batch_size": 16, "origin": "fixed in the config, before any result was seen"},
    },
    "diffad": {
        "data": {"size": 64},
        "model": {
            "autoencoder": 32,
            "autoencoder_mult": (1, 2, 4),
            "autoencoder_blocks": 1,
            "unet": 32,
            "unet_blocks": 1,
            "discriminative": 16,
        },
        "autoencoder": {**_QUICK, "max_minutes": 4.0},
        "latent": {**_QUICK, "max_minutes": 6.0},
        "train": {**_QUICK, "max_minutes": 5.0},
        "diffad": {
            "grid": "trailing",
            "solver": "dpm2m",
            "steps": 4,
            "origin": "fixed in the config, before any result was seen",
        },
    },
    "diffusionad": {
        "data": {"size": 64},
        "model": {
            "base": 32,
            "channel_mult": (1, 2, 4),
            "res_blocks": 1,
            "attention_sizes": (8,),
            "heads": 2,
            "patch": 2,
            "groups": 8,
            "segmentation": 16,
        },
        "train": {"steps": 100_000, "max_minutes": 12.0, "learning_rate": 5e-4, "warmup_steps": 50},
        "diffusionad": {"origin": "fixed in the config, before any result was seen"},
    },
}
"""Method that trains -> section -> what makes it small enough for fifteen minutes of two CPU cores."""
PUBLISHED = ("patchcore", "padim", "draem", "riad", "diffusionad", "diffad")
"""Those with a published code to follow."""
PIXELS = ("ddad", "gaussian", "gpu", "anoddpm")
"""Of DDAD in pixels."""


def get_config(argument: str = "ensemble") -> ConfigDict:
    size, _, option = argument.partition(",")
    if (size in SWEPT and not option) or (size in PUBLISHED and option == "reference"):
        c = base(size)
        c.sweep.update(SWEPT[size])
        if option:
            return reference(c)
        for section, values in SHORT.get(size, {}).items():
            c[section].update(values)
        return c
    if argument == "anoddpm,reference":
        return _anoddpm_reference()
    if argument not in PIXELS:
        names = [*PIXELS, "anoddpm,reference", *SWEPT, *(f"{method},reference" for method in PUBLISHED)]
        raise InputError(f"folder.py:{argument}: expected folder.py or {', '.join(f'folder.py:{n}' for n in names)}")
    c = base()
    with c.unlocked():
        c.sweep.update(w=(0.0, 1.0, 3.0), t_prime=(150, 250, 400, 500), v=(0.0, 1.0, 3.0, 7.0, 30.0))
        c.sweep.layers = (("layer1", "layer2"), ("layer2", "layer3"), ("layer1", "layer2", "layer3"))
        if size == "gpu":
            return for_accelerator(c)
        c.data.size = 64
        c.model.update(base=32, channel_mult=(1, 2, 4), res_blocks=1, attention_sizes=(8,), patch=2, groups=8)
        c.train.update(
            steps=100_000, max_minutes=15.0, batch_size=8, learning_rate=1e-3, warmup_steps=50, t_max=600, min_snr=5.0
        )
        c.backbone.feature_size = 128
        c.adapt.update(pairs="self", epochs=8, max_minutes=3.0)
        # At w = 1 the blend stays below 1 at every time: the reconstruction never passes the target. A network this
        # small redraws softly, so pixels say more than features.
        # Without noise the same picture always gets the same score.
        c.sample.update(w=1.0, t_prime=400, steps=5, solver="dpm2m", eta=0.0, start_noise=0.0, batch_size=32)
        c.score.update(v=3.0, layers=("layer1", "layer2", "layer3"))
        c.student.update(w=(0.0, 3.0), t_prime=(150, 500), teacher_steps=10, start_noise=0.0)
        c.student.update(batch_size=8, learning_rate=5e-4, max_minutes=8.0)
        c.sample.origin = "fixed in the config, whose few values were settled on cookies and simulated cans"
        if size == "gaussian":
            c.data.size = 128
            # Nothing at all is trained.
            c.model.prior, c.train.steps, c.adapt.epochs = "gaussian", 0, 0
        if size == "anoddpm":
            _without_target(c)
            c.model.update(noise="simplex", octaves=4)
            c.sample.update(t_prime=250, steps=10)
            c.sample.origin = "fixed in the config, before any result was seen"
    return c


def _without_target(c: ConfigDict) -> None:
    """A picture is noised part of the way and led back by the network alone; the map is of squared differences."""
    c.sample.update(w=0.0, solver="ddim", eta=1.0, start_noise=1.0, squared=True)
    c.score.update(v=1.0, feature_weight=0.0)
    c.adapt.epochs = 0
    c.sweep.update(w=(0.0,), t_prime=(50, 150, 250, 400, 500), v=(), layers=())


def _anoddpm_reference() -> ConfigDict:
    """Deviation: every map is the mean over draws of squared differences, published the square of the mean's
    difference; clean predictions are clipped in the end alone, published at every step; steps are those of 3000 epochs
    of 100 pictures; T' is fixed, published read off test data."""
    c = base()
    _without_target(c)
    c.model.update(base=128, heads=2, noise="simplex_published", wavelength=64.0, octaves=6, persistence=0.8)
    c.train.update(steps=300_000, batch_size=1, learning_rate=1e-4, weight_decay=0.0, warmup_steps=0, clip_norm=0.0)
    c.train.update(ema_decay=0.9999, reduce="mean", t_max=800, error="noise", min_snr=0.0)
    c.sample.update(t_prime=250, steps=250, draws=3)
    c.score.sigma = 0.0
    c.sweep.t_prime = (250,)
    return c
