"""The seam: what a method must give. Everything else of a run is written once, for all of them.

A method is learnt from normal pictures (``fit``, then ``ready`` for the points of a run), measures pictures at a
*costly* point (another value is another pass over the pictures), makes maps of what it measured at a *cheap* one, and
is one pure program from pictures to maps where a run is in use (``detector``). Spread, mask, crop, image score,
thresholds, metrics, rows, journal, shards, search, report, export and inspection are the engine's.

A new method is one file or folder here, a line in ``table.METHODS``, and a config.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from jax.sharding import Mesh

from ddad_jax.engine.data.splits import Data
from ddad_jax.engine.methods.measured import Constants, Mapped, Measured, MeasuredPictures, Steps
from ddad_jax.engine.methods.point import Cheap, Costly, Own, Plan, Point, SearchableSetting
from ddad_jax.engine.settings.need import Need
from ddad_jax.engine.settings.sections import Settings
from ddad_jax.engine.tracking import Write, silent
from ddad_jax.picture_program import PictureProgram


class Cost(Protocol):
    """What points cost, for shards: in calls of the network, or whatever unit is the method's."""

    def __call__(self, points: Sequence[Costly]) -> int: ...

    def added(self, points: Sequence[Costly]) -> list[int]:
        """What each point adds to those of the points before it."""
        ...

    def orders(self, points: Sequence[Costly]) -> list[list[Costly]]:
        """The points in the plan's order, and in others in which neighbours share more."""
        ...


class Apart(NamedTuple):
    """A ``Cost`` of points that share nothing."""

    images: int
    calls: Callable[[Costly], int] = lambda _: 1

    def __call__(self, points: Sequence[Costly]) -> int:
        return sum(self.added(points))

    def added(self, points: Sequence[Costly]) -> list[int]:
        return [self.images * self.calls(point) for point in points]

    def orders(self, points: Sequence[Costly]) -> list[list[Costly]]:
        return [list(points)]


class Fitted(Protocol):
    """A method that has learnt."""

    @property
    def weights(self) -> Any:
        """All parameters, a tree of arrays: whose the rows of a journal are, its fingerprint says."""
        ...

    def ready(self, points: Sequence[Costly], data: Data, write: Write = silent, *, make: bool = True) -> "Fitted":
        """The same with what these points need besides (a student, optimised times, a memory bank); every process calls
        it alike.

        Raises:
          InputError: it is missing and may not be made here.
        """
        ...

    @property
    def columns(self) -> dict[str, Any]:
        """What rows say of how it was made, whatever the point."""
        ...

    def columns_at(self, costly: Costly) -> dict[str, Any]:
        """What rows of a point say besides, for one it is ready for."""
        ...

    def asks(self, costly: Costly) -> dict[str, Any]:
        """What tells the things that a point needs from others of their kind; {} where it needs none. chosen.json keeps
        it: a point that asks another student now was not chosen."""
        ...

    def measure(
        self,
        pictures: MeasuredPictures,
        points: Sequence[Costly],
        *,
        progress: Callable[[int], object] = lambda _: None,
        judged: Mapping[Costly, Mapping[str, Any]] = {},  # noqa: B006 - never written to
        selected: Point | None = None,
    ) -> Iterator[Measured]:
        """The pictures at each point, in the points' order; every process takes all.

        Args:
          progress: is told how many images more are done.
          judged: the points that get rows now, and what these say of how they were made.
          selected: the point whose pictures a report shows, None while none is.
        """
        ...

    def maps(self, evidence: Any, points: Sequence[Cheap], pictures: MeasuredPictures) -> Iterator[Mapped]:
        """At each cheap point, in any order of them; tiles are put together. What a picture's map is depends on the
        normal pictures and on itself, never on its batch mates (but where the reference behaviour says so)."""
        ...

    def shown(self, evidence: Any, point: Point, pictures: MeasuredPictures) -> Mapping[str, np.ndarray]:
        """Pictures of the test images beside their maps in a report, [m, h, w(, 3)], of ``SHOWN``; {} is fine."""
        ...

    def detector(self, point: Point, numbers: Mapping[str, Any], constants: Constants, *, crop: int) -> PictureProgram:
        """One program from pictures to maps and scores. numbers: calibration.json, the row of the point in it."""
        ...

    def told(self, data: Data, row: Mapping[str, Any]) -> tuple[list[str], list[str]]:
        """Sentences on the networks and their training for a report, and warnings of it; row: of the selected point."""
        ...

    def figures(self, data: Data, rows: Sequence[Mapping[str, Any]], folder: Path) -> dict[str, Any]:
        """Figures of its own for a report, drawn into ``folder``: fields of ``report.content.Report``."""
        ...

    def keep_steps(self, data: Data, point: Point) -> None:
        """Computes what ``Method.steps`` gives of the selected point, where it is not there; every process calls it."""
        ...

    @property
    def compilations(self) -> int:
        """Programs compiled so far."""
        ...

    @property
    def identity(self) -> dict[str, Any]:
        """What of the settings decides a verdict, for the identity of a model; no path of one machine. Plain JSON."""
        ...

    @property
    def networks(self) -> dict[str, Any]:
        """What an export says of the networks, plain JSON."""
        ...


class Method(Protocol):
    """A method and its settings. title: as a report writes it. costly, cheap: types of its points, whose fields are
    columns of a row. axes: what a search may vary, by its column; searched: of these by default. printed: settings in
    the table of a run, whatever was swept."""

    @property
    def name(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def costly(self) -> type[Any]: ...
    @property
    def cheap(self) -> type[Any]: ...
    @property
    def settings(self) -> type[Settings]:
        """Every setting of its runs."""
        ...

    @property
    def axes(self) -> Mapping[str, SearchableSetting]: ...
    @property
    def searched(self) -> Sequence[str]: ...
    @property
    def printed(self) -> Sequence[str]: ...
    @property
    def apart(self) -> Sequence[str]: ...

    def together(self, c: Own, need: Need) -> None:
        """Refuses settings that cannot go together, each good by itself.

        Raises:
          InputError: naming the first flag whose value cannot be used with the others.
        """
        ...

    def doubts(self, c: Own) -> list[str]:
        """What to say of settings that can be used but hardly do what was meant, a sentence each."""
        ...

    def point(self, c: Own) -> Point:
        """That of the config.

        Raises:
          InputError: a value out of range.
        """
        ...

    def usual(self, c: Own, name: str, names: Sequence[str]) -> tuple[float, float]:
        """Where a search of ``names`` looks for ``name`` unless the user says."""
        ...

    def refused(self, c: Own, name: str) -> str:
        """Why a search cannot vary ``name`` with this config, as the end of a sentence; "" where it can."""
        ...

    def beside(self, c: Own) -> str:
        """The settings that most decide which others matter, in words, such as "with solver = ddim"."""
        ...

    def plan(self, c: Own, *, sweep: bool) -> Plan:
        """The grids of ``c.sweep`` (with ``sweep``) and always the point of the config, which is the selected one
        unless ``c.select`` says to choose.

        Raises:
          InputError: a value out of range.
        """
        ...

    def point_of(self, row: Mapping[str, Any]) -> Point:
        """Of a row from a file.

        Raises:
          InputError: a value out of range; KeyError, TypeError, ValueError, AttributeError: not a row at all.
        """
        ...

    def fit(self, c: Own, workdir: Path, data: Data, write: Write, mesh: Mesh | None = None) -> Fitted:
        """Learn what all points share, or take it from the workdir: resumes after a kill."""
        ...

    def restored(self, c: Own, workdir: Path, mesh: Mesh | None = None) -> Fitted:
        """What ``fit`` returned, without any picture.

        Raises:
          InputError: the workdir does not hold it.
        """
        ...

    def restored_at(self, c: Own, workdir: Path, point: Point, numbers: Mapping[str, Any]) -> Fitted:
        """``restored`` and ready for one point, without any picture. numbers: calibration.json.

        Raises:
          InputError: the workdir does not hold it.
        """
        ...

    def published(self, c: Own) -> bool:
        """Whether rows have the published code's own metrics besides."""
        ...

    def origin(self, c: Own) -> str:
        """How the point's values were come by, as a report says it; "" for without looking at test labels."""
        ...

    def random(self, costly: Costly) -> bool:
        """Whether another seed is another result."""
        ...

    def cost(self, c: Own, data: Data) -> Cost: ...

    def needed(self, numbers: Mapping[str, Any]) -> dict[str, tuple[Callable[[Any], bool], str]]:
        """What calibration.json must hold for a verdict besides the point's settings: name -> (whether a value will do,
        what is expected)."""
        ...

    def numbers(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """What calibration.json keeps of the selected row besides its settings and the crop: what ``restored_at`` and
        ``Fitted.detector`` need of it."""
        ...

    def bound(self, workdir: Path, settings: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """Folder of the workdir that holds something trained -> the settings it was trained with, by their dotted
        names: they may not change. settings: as config.json has them."""
        ...

    def settled(self, c: Own, numbers: Mapping[str, Any]) -> Own:
        """The config of a workdir with what its calibration says, which an interrupted later run may have changed."""
        ...

    def steps(self, workdir: Path) -> Steps | None:
        """What the selected point saw on its way, for the browser of a report; None where nothing was kept."""
        ...

    def explained(self, n_train: int, subject: str, row: Mapping[str, Any]) -> str:
        """What the method does, in words for the first lines of a report; row: of the selected point."""
        ...


def at_dotted(settings: Mapping[str, Any], dotted: str) -> Any:
    """The value, or the section, of that name in nested settings; None where there is none."""
    value: Any = settings
    for name in dotted.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def is_count(value: Any) -> bool:
    """A whole number from 0 on, of a file."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def is_finite_number(value: Any) -> bool:
    """A finite number, of a file."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and bool(np.isfinite(value))


def key_columns(method: Method) -> tuple[str, ...]:
    """The columns that tell one row from another."""
    return (*method.costly._fields, *method.cheap._fields)


def defaults_of(method: Method) -> dict[str, Any]:
    """What a row from before a setting existed was made with."""
    return {**method.costly._field_defaults, **method.cheap._field_defaults}
