"""What methods have in common whose costly settings lie in a section of their name, the cheap ones in ``score``."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jax.sharding import Mesh

from ddad_jax.engine.data.splits import Data
from ddad_jax.engine.methods.measured import Steps
from ddad_jax.engine.methods.method import Apart
from ddad_jax.engine.methods.point import Plan, Point, SearchableSetting
from ddad_jax.engine.methods.section_points import section_plan, section_point_of
from ddad_jax.engine.settings.need import Need
from ddad_jax.engine.settings.section import changed
from ddad_jax.engine.settings.sections import LABEL_FREE, Settings


class SectionMethod(ABC):
    """``method.Method``, but for how it learns; the abstract functions are a method's own.

    name: also of its section of the settings. settings: all of them.
    """

    name: str
    title: str
    settings: type[Any]
    costly: type[Any]
    cheap: type[Any]
    axes: Mapping[str, SearchableSetting]
    searched: Sequence[str]
    printed: Sequence[str]
    apart: Sequence[str] = ()

    @abstractmethod
    def random(self, costly: Any) -> bool:
        """Whether another seed is another result."""

    @abstractmethod
    def explained(self, n_train: int, subject: str, row: Mapping[str, Any]) -> str:
        """As of ``method.Method``."""

    @abstractmethod
    def restored(self, c: Any, workdir: Path, mesh: Mesh | None = None) -> Any:
        """As of ``method.Method``."""

    @abstractmethod
    def together(self, c: Any, need: Need) -> None:
        """As of ``method.Method``."""

    @abstractmethod
    def beside(self, c: Any) -> str:
        """As of ``method.Method``."""

    def doubts(self, c: Any) -> list[str]:
        return []

    def origin(self, c: Settings) -> str:
        return "" if (own := getattr(c, self.name).origin) == LABEL_FREE else own

    def published(self, c: Settings) -> bool:
        return False

    def point(self, c: Settings) -> Point:
        selected = self.plan(c, sweep=False)
        return Point(selected.costly[0], selected.cheap[0])

    def plan(self, c: Settings, *, sweep: bool) -> Plan:
        found = section_plan(c, self.costly, self.cheap, sweep=sweep)
        # Where nothing is drawn every seed is the first.
        first = c.sweep.seed[0]
        costly = [point if self.random(point) else point._replace(seed=first) for point in found.costly]
        return found._replace(costly=[*dict.fromkeys(costly)])

    def point_of(self, row: Mapping[str, Any]) -> Point:
        return section_point_of(row, self.costly, self.cheap, self.settings, self.name)

    def usual(self, c: Settings, name: str, names: Sequence[str]) -> tuple[float, float]:
        return self.axes[name].low, self.axes[name].high

    def refused(self, c: Settings, name: str) -> str:
        return ""

    def cost(self, c: Any, data: Data) -> Apart:
        return Apart(data.view.tiles * sum(len(s.labels) for s in data.sets))

    def settled(self, c: Settings, numbers: Mapping[str, Any]) -> Settings:
        return changed(c, {"score.crop": numbers["crop"]})

    def steps(self, workdir: Path) -> Steps | None:
        return None
