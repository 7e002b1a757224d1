"""What a table of the paper asks for: its lines, and from them the runs of a category.

A run is a workdir: one network, one feature extractor, adapted or not, some way. Lines that differ in w, v, T', steps
or in which distances count are points of one run's sweep.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from ddad_jax.engine.methods.ddad.points import SETTINGS, config_point
from ddad_jax.engine.methods.ddad.sections import DDADSettings
from ddad_jax.engine.methods.point import Point, key_of, point_settings
from ddad_jax.errors import InputError
from ddad_jax.points import ReconPoint
from experiments.papers.numbers import Numbers, tables
from experiments.papers.settings import DATA, OFFLINE, Named, category_config

FROZEN = {"adapt.epochs": 0}
PIXELS = {"feature_weight": 0.0}
FEATURES = {"v": 0.0}


class TableLine(NamedTuple):
    """A row or column of a table that is made here.

    name: the paper's, or one of our own. network: ddad | ddad_s. made: settings of ``backbone`` and ``adapt`` in the
    place of the category's, which take a workdir of their own. point: fields of its point in the place of the
    category's.
    """

    name: str
    network: str = "ddad"
    made: Mapping[str, Any] = {}
    point: Mapping[str, Any] = {}

    @property
    def sees_features(self) -> bool:
        """Whether the feature distance counts in it, of the extractor that --backbone and --size decide."""
        return "backbone.name" not in self.made and self.point.get("feature_weight", 1.0) > 0


def pixels_alone(name: str, **point: Any) -> TableLine:
    """Features take no part in it, so it asks for no weights to download and no adaptation."""
    return TableLine(name, made={"backbone.name": OFFLINE, **FROZEN}, point={**PIXELS, **point})


def extractors(networks: Mapping[str, str]) -> tuple[TableLine, ...]:
    """Each as it came, adapted, and adapted with pixels; behind the paper's the one that needs no download.

    Args:
      networks: the paper's name -> ours.
    """
    named = {**networks, "EfficientNet-Lite0": OFFLINE}
    return tuple(
        line
        for name, ours in named.items()
        for line in (
            TableLine(name, made={"backbone.name": ours, **FROZEN}, point=FEATURES),
            TableLine(f"{name}+DA", made={"backbone.name": ours}, point=FEATURES),
            TableLine(f"{name}+DA+pixel", made={"backbone.name": ours}),
        )
    )


def by_steps() -> tuple[TableLine, ...]:
    """The numbers of denoising steps of Tables 5 to 7, and the small network."""
    return (
        *(TableLine(f"DDAD-{n}", point={"steps": n}) for n in (5, 10, 25)),
        TableLine("DDAD-S-10", network="ddad_s"),
    )


def parts_of_the_method() -> tuple[TableLine, ...]:
    """The bars of Figures 4 and 8, left to right."""
    return (
        pixels_alone("pixels, w = 0", w=0.0),
        pixels_alone("pixels, conditioned"),
        TableLine("features, pretrained", made=FROZEN, point=FEATURES),
        TableLine("features, adapted", point=FEATURES),
        TableLine("pixels and features"),
    )


class TableBlock(NamedTuple):
    """numbers: name in numbers.json. lines: those made here; the paper's others have its numbers alone."""

    numbers: str
    lines: tuple[TableLine, ...]

    @property
    def printed(self) -> Numbers:
        return tables()[self.numbers]


class Run(NamedTuple):
    """One workdir of a category. name: network/extractor, the end of the folder's path. lines: of whichever block."""

    named: Named
    name: str
    config: ConfigDict
    lines: tuple[TableLine, ...]

    @property
    def training(self) -> str:
        """The folder beside this one whose training all runs of the network begin with."""
        return f"{self.name.partition('/')[0]}/unet"

    @property
    def settings(self) -> DDADSettings:
        """As the engine takes them, unchecked."""
        return DDADSettings.of(self.config.to_dict())

    def point(self, line: TableLine) -> Point:
        recon, score = config_point(self.settings)
        for_recon = {name: value for name, value in line.point.items() if name in ReconPoint._fields}
        for_score = {name: value for name, value in line.point.items() if name not in ReconPoint._fields}
        return Point(recon._replace(**for_recon), score._replace(**for_score))

    def key(self, line: TableLine) -> str:
        """Of the line's row in the run's journal."""
        return key_of(point_settings(*self.point(line)), SETTINGS)


class Table(NamedTuple):
    """name: as --table has it. blocks: one, or two halves of different data sets."""

    name: str
    blocks: tuple[TableBlock, ...]

    @property
    def epochs(self) -> bool:
        """Whether it is of every epoch of the adaptations."""
        return any(block.printed.kind == "epochs" for block in self.blocks)

    def data(self) -> list[str]:
        return list(dict.fromkeys(block.printed.data for block in self.blocks))

    def lines(self, data: str) -> list[TableLine]:
        """Those of the blocks over ``data``, each once."""
        lines = [line for block in self.blocks if block.printed.data == data for line in block.lines]
        return list({line.name: line for line in lines}.values())

    def runs(
        self, data: str, category: str, size: str, *, root: str = "", backbone: str = "", published: bool = False
    ) -> list[Run]:
        """Of one category, in the order in which they are made.

        Args:
          root: of the data set. backbone: in the place of the size's own, for lines that name none.
          published: in the published code's behaviour.

        Raises:
          InputError: a size or setting that cannot be used.
        """
        runs: dict[str, Run] = {}
        for line in self.lines(data):
            named = Named(data, category, line.network == "ddad_s", published)
            c = category_config(named, size, root)
            with c.unlocked():
                c.backbone.name = backbone or c.backbone.name
                for dotted, value in line.made.items():
                    section, name = dotted.split(".")
                    c[section][name] = value
            name = f"{line.network}/{extractor_of(c, line)}"
            before = runs.get(name, Run(named, name, c, ()))
            runs[name] = before._replace(lines=(*before.lines, line))
        return [run._replace(config=_swept(run)) for run in runs.values()]

    def config(self, argument: str = "") -> ConfigDict:
        """For a config file: "CATEGORY,SIZE,RUN" with any of these left out; "reference" for the published code's
        behaviour.

        Raises:
          InputError: a word that is none of these.
        """
        words, data = [word for word in argument.split(",") if word], self.data()[0]
        sizes = [word for word in words if word in ("cpu", "gpu")]
        names = [word for word in words if "/" in word]
        categories = [word for word in words if word not in (*sizes, *names, "reference")]
        category, size = [*categories, DATA[data].categories[0]][0], [*sizes, "cpu"][0]
        runs = self.runs(data, category, size, published="reference" in words)
        found = [run for run in runs if run.name in (names or [runs[0].name])]
        if not found or max(len(sizes), len(names), len(categories)) > 1:
            known = ", ".join(run.name for run in runs)
            raise InputError(f"{argument}: expected CATEGORY,SIZE,RUN with cpu or gpu and one of the runs {known}")
        return found[0].config


def extractor_of(c: ConfigDict, line: TableLine) -> str:
    """The end of a workdir's path: what tells the feature extractors of a category from each other. One that the
    category's settings do not adapt is frozen, whatever manner of adaptation the line asks for."""
    if not c.adapt.epochs:
        return f"{c.backbone.name}-frozen"
    own_length = f"-epochs{c.adapt.epochs}" if "adapt.epochs" in line.made else ""
    return f"{c.backbone.name}-lambda{c.adapt.lambda_dl:g}{own_length}"


def _swept(run: Run) -> ConfigDict:
    """The run's config with every point of its lines in the sweep."""
    c, points = run.config, [run.point(line) for line in run.lines]
    with c.unlocked():
        for i, section in enumerate(("sample", "score")):
            for name in {name for line in run.lines for name in line.point} & set(points[0][i]._fields):
                own = c[section][name]
                values = dict.fromkeys(getattr(point[i], name) for point in points)
                c.sweep[name] = tuple(values) if list(values) != [own] else ()
    c.lock()
    return c
