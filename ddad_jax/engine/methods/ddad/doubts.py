"""Settings of DDAD that can be used but hardly do what was meant."""

from typing import Any

from ddad_jax.engine.methods.ddad.sections import DDADSettings
from ddad_jax.engine.settings.need import without_effect
from ddad_jax.engine.settings.training import TrainingSettings
from ddad_jax.points import OF_RECONSTRUCTIONS
from ddad_jax.unet import CHANNEL_MULT


def ddad_doubts(c: DDADSettings) -> list[str]:
    """What to say of ``c``, each naming its flags and the cure."""
    learnt = [*_network(c), *_training(c)] if c.train.steps else []
    return [*learnt, *_layers(c), *_idle(c)]


def _network(c: DDADSettings) -> list[str]:
    m, usual, sentences = c.model, DDADSettings().model, []
    inner = c.data.size // m.patch
    multipliers = m.channel_mult or CHANNEL_MULT[inner]
    sides = [inner // 2**level for level in range(len(multipliers))]
    # The default fits the published sizes; at a small size it names maps that are not there, which nobody asked for.
    asked = tuple(m.attention_sizes)
    if asked != usual.attention_sizes and (nowhere := [side for side in asked if side not in sides]):
        sentences.append(
            f"--config.model.attention_sizes={asked}: no feature map has the side {_listed(nowhere)}, so there is no "
            f"attention for it; the sides are {_listed(sides)} (data.size = {c.data.size}, model.patch = {m.patch})"
        )
    narrowest = min(int(multiplier * m.base) for multiplier in multipliers)
    if m.groups >= narrowest > 0 and m.groups != usual.groups:
        sentences.append(
            f"--config.model.groups={m.groups}: the narrowest level has {narrowest} channels; with as many groups each "
            "channel is normalised by itself and the time embedding is lost: take fewer"
        )
    if m.noise != "gaussian" and "inversion" in c.scorings:
        sentences.append(
            f"--config.model.noise={m.noise} with scoring = inversion: the network leads normal pictures to noise of "
            "long waves, and what is measured is how far from white noise they arrive: expected model.noise = gaussian"
        )
    return sentences


def _training(c: DDADSettings) -> list[str]:
    trainings: dict[str, tuple[Any, TrainingSettings]] = {"train": (c.train, DDADSettings().train)}
    sentences = []
    if "student" in (c.sample.model, *c.sweep.model):
        trainings["student"] = (c.student, DDADSettings().student)
    for section, (s, usual) in trainings.items():
        if s.accumulate > s.steps:
            sentences.append(
                f"--config.{section}.accumulate={s.accumulate}: more than --config.{section}.steps={s.steps}, so that "
                "no update is ever made: take fewer batches an update"
            )
        elif s.warmup_steps >= s.steps > 1 and s.warmup_steps != usual.warmup_steps:
            sentences.append(
                f"--config.{section}.warmup_steps={s.warmup_steps}: the training ends after {s.steps} steps, before "
                "the learning rate is reached: take fewer"
            )
    return sentences


def _layers(c: DDADSettings) -> list[str]:
    asked = (("score.layers", c.score.layers), *(("sweep.layers", layers) for layers in c.sweep.layers))
    return [
        f"--config.{flag}: {tuple(layers)} names a layer twice, so that it counts twice"
        for flag, layers in asked
        if len(set(layers)) < len(layers)
    ]


def _idle(c: DDADSettings) -> list[str]:
    synthetic = "synthetic" in (c.select, c.adapt.choose)
    chosen = (synthetic, "--config.select=synthetic or --config.adapt.choose=synthetic")
    others = c.adapt.pairs == "other", "--config.adapt.pairs=other"
    needs = {
        "model.sigma_data": (c.model.predict == "edm", "--config.model.predict=edm"),
        "model.predict": (c.model.prior == "none", "--config.model.prior=none"),
        **{
            f"model.{name}": (c.model.prior == "gaussian", "--config.model.prior=gaussian")
            for name in ("rank", "share")
        },
        **{
            f"model.{name}": (c.model.noise != "gaussian", "--config.model.noise=simplex")
            for name in ("wavelength", "octaves", "persistence")
        },
        "score.batch": (c.score.normalise == "batch", "--config.score.normalise=batch"),
        "teacher_images": (bool(c.teacher), "--config.teacher=STEPS"),
        "synthetic_defects": chosen,
        "synthetic_normals": chosen,
        **{f"adapt.{name}": others for name in ("w", "t_prime", "steps", "eta")},
        **_unscored(c),
    }
    return without_effect(c, DDADSettings, needs)


_OF_FEATURES, _OF_GRIDS = ("v", "layers", "feature_weight", "upsampling"), ("steps", "grid")


def _unscored(c: DDADSettings) -> dict[str, tuple[bool, str]]:
    """Settings that no point of the config looks at, as none is scored so."""

    def by(*scorings: str) -> tuple[bool, str]:
        return not c.scorings.isdisjoint(scorings), f"a point of scoring = {' or '.join(scorings)}"

    redrawn = by("reconstruction")
    return {
        **{f"{part}.{name}": redrawn for part in ("sample", "sweep") for name in OF_RECONSTRUCTIONS},
        **{f"{part}.{name}": redrawn for part in ("score", "sweep") for name in _OF_FEATURES},
        "sample.clip": redrawn,
        "score.normalise": redrawn,
        "adapt.epochs": redrawn,
        **{f"{part}.{name}": by("reconstruction", "inversion") for part in ("sample", "sweep") for name in _OF_GRIDS},
        **{f"{part}.draws": by("reconstruction", "resilience") for part in ("sample", "sweep")},
    }


def _listed(sides: list[int]) -> str:
    return ", ".join(f"{side:g}" for side in sides)
