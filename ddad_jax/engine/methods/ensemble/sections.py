"""Settings of a run that several methods judge together, and what each of them is given of these."""

from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

from ddad_jax.engine.methods.feature_ddad.method import FeatureDDAD
from ddad_jax.engine.methods.feature_ddad.sections import DiffusionSettings
from ddad_jax.engine.methods.memory.method import MemoryMethod
from ddad_jax.engine.methods.memory.sections import BATCH
from ddad_jax.engine.methods.padim import GaussianSettings, PaDiM
from ddad_jax.engine.methods.patchcore import BankSettings, PatchCore
from ddad_jax.engine.settings.section import Section
from ddad_jax.engine.settings.sections import LABEL_FREE, Settings, SweepSettings
from ddad_jax.engine.settings.setting import MOST_WEIGHT, TEXT, Range, above, setting, swept

MEMBERS: dict[str, MemoryMethod] = {
    "feature_ddad": FeatureDDAD(),
    "feature_ddad_coarse": FeatureDDAD(),
    "feature_ddad_patches": FeatureDDAD(),
    "patchcore": PatchCore(),
    "padim": PaDiM(),
}
"""What an ensemble may be of: methods that take minutes, one of them several times, each with a section of its name. A
new one is a line here, one of ``WeightSettings`` and one of ``EnsembleSettings``."""

_MEMBERS = Range(
    lambda v: isinstance(v, tuple) and 0 < len(v) == len({*v}) and {*v} <= {*MEMBERS},
    f"one or several of {', '.join(MEMBERS)}, each once",
)


_WEIGHT = above(0, MOST_WEIGHT)

BY_DEFAULT = ("feature_ddad", "patchcore")
"""Two that know different things: how whole pictures vary, and which patches there are anywhere. Diffusion alone (its
three priors) finds a little more and stops more good pictures; PaDiM, which knows how places vary, adds nothing."""


class Members(NamedTuple):
    """Who judges. Fields: as in ``EnsembleSection``."""

    members: tuple[str, ...] = BY_DEFAULT
    seed: int = 0


class EnsembleMap(NamedTuple):
    """What becomes of the mean map. Fields: as in ``ScoreSettings``."""

    standardise: bool = False
    mask_after: bool = False


WHOLE_PICTURES = DiffusionSettings(prior="picture", rank=25, w=0.0, t_prime=500, steps=1)
"""One call from so much noise that only the 25 directions are left in which normal pictures vary together. The rank was
settled with results on three sets in view: from 10 to 100 image AUROC moves by a point."""


COARSE = replace(WHOLE_PICTURES, pool=4)
"""The same on 8 x 8 positions of a picture of 256 pixels: large faint defects."""

PATCHES = DiffusionSettings(prior="patches", w=0.0, t_prime=250, steps=1)
"""One call from so little noise that the nearest patches of the bank answer."""


@dataclass(frozen=True)
class WeightSettings(Section):
    """What the map of each member counts in the mean, in deviations of normal pixels."""

    feature_ddad: float = setting(1.0, _WEIGHT, "of feature_ddad")
    feature_ddad_coarse: float = setting(0.25, _WEIGHT, "of feature_ddad_coarse, whose maps are blunt")
    feature_ddad_patches: float = setting(1.25, _WEIGHT, "of feature_ddad_patches: what both others together have")
    patchcore: float = setting(1.0, _WEIGHT, "of patchcore")
    padim: float = setting(1.0, _WEIGHT, "of padim")


@dataclass(frozen=True)
class MembersSettings(Section):
    """The methods whose maps are averaged; each has its own section."""

    origin: str = setting(
        f"{LABEL_FREE}, but for members, their weights, rank, pool, bank and T', which were settled with results on "
        "three real sets in view",
        TEXT, "how its values were come by, as the report says it",
    )  # fmt: skip
    members: tuple[str, ...] = setting(
        BY_DEFAULT, _MEMBERS, "of the ensemble; a single one is that method, its map in other units"
    )
    batch_size: int = setting(16, BATCH, "pictures in one call, of every member")


@dataclass(frozen=True)
class MembersSweepSettings(SweepSettings):
    """What a sweep tries besides the point above; an empty tuple means that point's value alone."""

    members: tuple[tuple[str, ...], ...] = swept(MembersSettings, "members")


@dataclass(frozen=True)
class EnsembleSettings(Settings):
    """Of a run of an ensemble."""

    method: str = setting(
        "ensemble", TEXT, "what is learnt, and what it measures; the sections of a config are its own"
    )
    ensemble: MembersSettings = MembersSettings()
    weight: WeightSettings = WeightSettings()
    feature_ddad: DiffusionSettings = WHOLE_PICTURES
    feature_ddad_coarse: DiffusionSettings = COARSE
    feature_ddad_patches: DiffusionSettings = PATCHES
    padim: GaussianSettings = GaussianSettings()
    patchcore: BankSettings = BankSettings()
    sweep: MembersSweepSettings = MembersSweepSettings()


def member_settings(c: EnsembleSettings, name: str) -> Any:
    """Of a run of that member by itself: the pictures, the view and the features of the ensemble's, its own section,
    its own usual way to a map."""
    method = MEMBERS[name]
    usual = method.settings()
    common = {each.name: c[each.name] for each in fields(Settings) if each.name not in ("method", "score", "sweep")}
    own = type(usual[method.name])(**{**dict(c[name].items()), "batch_size": c.ensemble.batch_size})
    return type(usual)(**common, **{method.name: own})


def in_own_flags(name: str, sentence: str) -> str:
    """What a member says of its settings, by the flags that they have here."""
    return sentence.replace(f"--config.{MEMBERS[name].name}.", f"--config.{name}.")
