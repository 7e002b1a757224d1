"""An ensemble behind the seam: methods that take minutes, each as by itself, and the mean of their maps.

A sweep over ``sweep.members`` with ``select = synthetic`` chooses between methods without a label; without a sweep all
of them judge together, which needs no choice.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from jax.sharding import Mesh

from ddad_jax.engine.data.splits import Data
from ddad_jax.engine.methods.ensemble.fitted import FittedEnsemble, unit_columns
from ddad_jax.engine.methods.ensemble.sections import (
    MEMBERS,
    EnsembleMap,
    EnsembleSettings,
    Members,
    in_own_flags,
    member_settings,
)
from ddad_jax.engine.methods.memory.method import UntrainedMethod
from ddad_jax.engine.methods.method import Apart, is_finite_number
from ddad_jax.engine.methods.point import SearchableSetting
from ddad_jax.engine.settings.need import Need


class Ensemble(UntrainedMethod):
    """``method.Method``."""

    name, title, settings = "ensemble", "an ensemble", EnsembleSettings
    costly, cheap = Members, EnsembleMap
    axes: Mapping[str, SearchableSetting] = {}
    searched: Sequence[str] = ()
    printed = ("members",)

    def together(self, c: EnsembleSettings, need: Need) -> None:
        for name, member in MEMBERS.items():

            def of_member(
                flag: str, good: bool, expected: str, of: Collection[str] = (), *, name: str = name,
                own: str = f"{member.name}.",
            ) -> None:  # fmt: skip
                here = [f"{name}.{each.removeprefix(own)}" if each.startswith(own) else each for each in (flag, *of)]
                need(here[0], good, expected, here[1:])

            member.together(member_settings(c, name), of_member)

    def doubts(self, c: EnsembleSettings) -> list[str]:
        members = dict.fromkeys(name for names in (c.ensemble.members, *c.sweep.members) for name in names)
        own = {name: MEMBERS[name].doubts(member_settings(c, name)) for name in members}
        return [in_own_flags(name, sentence) for name, sentences in own.items() for sentence in sentences]

    def random(self, costly: Members) -> bool:
        return False

    def beside(self, c: EnsembleSettings) -> str:
        return f"with ensemble.members = {'+'.join(c.ensemble.members)}"

    def restored(self, c: EnsembleSettings, workdir: Path, mesh: Mesh | None = None) -> FittedEnsemble:
        first, *_ = MEMBERS
        fitted = MEMBERS[first].restored(member_settings(c, first), workdir, mesh)
        # The feature network is read once.
        members = {
            name: replace(fitted, method=member, c=member_settings(c, name), compiled={})
            for name, member in MEMBERS.items()
        }
        return FittedEnsemble(self, c, members)

    def cost(self, c: EnsembleSettings, data: Data) -> Apart:
        images = data.view.tiles * sum(len(s.labels) for s in data.sets)
        return Apart(images, lambda point: len(point.members))

    def needed(self, numbers: Mapping[str, Any]) -> dict[str, tuple[Callable[[Any], bool], str]]:
        members = str(numbers.get("members", "")).split("+")
        units = [column for name in members if name in MEMBERS for column in unit_columns(name)]
        return {**super().needed(numbers), **dict.fromkeys(units, (is_finite_number, "a number"))}

    def numbers(self, row: Mapping[str, Any]) -> dict[str, Any]:
        members = self.point_of(row).costly.members
        return {**super().numbers(row), **{column: row[column] for name in members for column in unit_columns(name)}}

    def explained(self, n_train: int, subject: str, row: Mapping[str, Any]) -> str:
        titles = ", ".join(dict.fromkeys(member.title for member in MEMBERS.values()))
        return (
            f"Several methods (of {titles}; one may be there with several settings) learn from the same {n_train} "
            f"pictures of good parts ({subject}), as features of a trained network; they have never seen a defect, and "
            "nothing was trained. The anomaly map is the weighted mean of theirs, each in deviations of what it does "
            "to held-out good pictures: 0 is an ordinary pixel. "
            "Its highest value is the picture's score."
        )
