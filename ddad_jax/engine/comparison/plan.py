"""What a comparison asks for: methods x data sets x seeds, each an ordinary run in a folder of its own.

WORKDIR/runs/METHOD/DATA/SEED is the workdir of a run, made by two ordinary commands: ``experiments.evaluate
--models_only``, which learns, and the same without that word, which judges and reports.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ddad_jax.engine.methods.method import is_count, is_finite_number
from ddad_jax.engine.sweep.shards import Shard
from ddad_jax.errors import InputError


class ComparedMethod(NamedTuple):
    """A column of the comparison. config: as ``--config`` of a run takes it, {data} in it stands for the name of the
    data set. settings: dotted name -> value, in the
    place of the config's. published_as: its name in the paper whose numbers stand beside; "" for ``name``. note: what
    its row says besides the size and the length of training, which come from the settings."""

    name: str
    config: str
    settings: Mapping[str, Any] = {}
    published_as: str = ""
    note: str = ""


class ComparedData(NamedTuple):
    """Pictures that all methods are run on. settings: as of ``ComparedMethod``. group: of data sets whose means stand
    beside each other; "" for none."""

    name: str
    settings: Mapping[str, Any] = {}
    group: str = ""


class Power(NamedTuple):
    """What energy is estimated by where nothing measures it, in watts: of a busy core of the processor, and of an
    accelerator for as long as a process with one runs. kg_per_kwh: CO2 of a kilowatt hour."""

    core: float = 15.0
    accelerator: float = 300.0
    kg_per_kwh: float = 0.475


class Comparison(NamedTuple):
    """pictures: of which the energy is told. margin: of image AUROC, within which methods count as equally good.
    paper: whose numbers stand beside; "" for none."""

    methods: tuple[ComparedMethod, ...]
    data: tuple[ComparedData, ...]
    seeds: tuple[int, ...] = (0,)
    settings: Mapping[str, Any] = {}
    power: Power = Power()
    pictures: int = 1000
    margin: float = 0.01
    paper: str = ""


class ComparedRun(NamedTuple):
    """One method on one data set with one seed. workdir: of the run."""

    method: ComparedMethod
    data: ComparedData
    seed: int
    workdir: Path
    settings: Mapping[str, Any]

    @property
    def config(self) -> str:
        """As ``--config`` takes it."""
        return self.method.config.replace("{data}", self.data.name)

    @property
    def name(self) -> str:
        """METHOD/DATA/SEED as --runs takes it: the end of the workdir's path."""
        return "/".join(self.workdir.parts[-3:])

    def beside(self, end: str) -> Path:
        """A file of the comparison about this run."""
        return self.workdir.with_name(self.workdir.name + end)

    def command(self, *flags: str) -> list[str]:
        """Of the ordinary run, without the interpreter."""
        given = [f"--config.{name}={_as_flag(value)}" for name, value in self.settings.items()]
        return [
            "-m", "experiments.evaluate", f"--config={self.config}", f"--workdir={self.workdir}", *given, *flags
        ]  # fmt: skip


def comparison_of(values: Mapping[str, Any]) -> Comparison:
    """From the plain dict of a config (``experiments.config.comparison`` has its fields).

    Raises:
      InputError: no method or data set, one without a config, a value that cannot be used.
    """
    if unknown := sorted({*values} - {*Comparison._fields}):
        raise InputError(f"--config.{unknown[0]}: expected a comparison, which has {', '.join(Comparison._fields)}")
    methods = tuple(_method(name, entry) for name, entry in _named(values, "methods"))
    data = tuple(_data(name, entry) for name, entry in _named(values, "data"))
    for kind, names in (("methods", [m.name for m in methods]), ("data", [d.name for d in data])):
        folders = [_folder(name) for name in names]
        if twice := [name for name, folder in zip(names, folders, strict=True) if folders.count(folder) > 1]:
            raise InputError(f"--config.{kind}: {' and '.join(twice)} would share a folder; rename one of them")
    seeds = values.get("seeds", (0,))
    if not (isinstance(seeds, Sequence) and seeds and all(map(is_count, seeds)) and len({*seeds}) == len(seeds)):
        raise InputError(f"--config.seeds={seeds!r}: expected whole numbers from 0 on, each once, such as (0, 1, 2)")
    power = values.get("power", {})
    for name, value in power.items():
        if name not in Power._fields or not is_finite_number(value) or value < 0:
            raise InputError(f"--config.power.{name}={value!r}: expected a number from 0 on of {Power._fields}")
    pictures, margin = values.get("pictures", 1000), values.get("margin", 0.01)
    if not (is_count(pictures) and pictures):
        raise InputError(f"--config.pictures={pictures!r}: expected a whole number from 1 on")
    if not (is_finite_number(margin) and 0 <= margin < 1):
        raise InputError(f"--config.margin={margin!r}: expected a difference of AUROCs from 0 to below 1")
    settings = _settings(values)
    return Comparison(
        methods, data, tuple(seeds), settings, Power(**power), pictures, float(margin), values.get("paper", "")
    )


def planned_runs(comparison: Comparison, workdir: Path) -> list[ComparedRun]:
    """Every run, a seed of all methods on all data before the next seed. Of a name that several settings have, the
    method's goes before the data set's, and that before the comparison's."""
    root = workdir.expanduser().absolute() / "runs"
    return [
        ComparedRun(
            method, data, seed, root / _folder(method.name) / _folder(data.name) / f"seed{seed}",
            {**comparison.settings, **data.settings, "seed": seed, "sweep.seed": (seed,), **method.settings},
        )
        for seed in comparison.seeds
        for data in comparison.data
        for method in comparison.methods
    ]  # fmt: skip


def picked_runs(runs: Sequence[ComparedRun], names: Sequence[str], shard: Shard | None) -> list[ComparedRun]:
    """Those of these names, all of them without any; and of them every n-th.

    Raises:
      InputError: there is no such run.
    """
    known = {run.name: run for run in runs}
    if unknown := [name for name in names if name not in known]:
        raise InputError(f"--runs={unknown[0]}: is no run of this comparison; it has {', '.join(known)}")
    picked = [run for run in runs if not names or run.name in names]
    return picked[shard.k :: shard.n] if shard else picked


def dotted(nested: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Settings of sections as dotted names, without those that are None: not given.

    >>> dotted({"data": {"kind": "cans"}, "seed": 1})
    {'data.kind': 'cans', 'seed': 1}
    """
    flat: dict[str, Any] = {}
    for name, value in nested.items():
        if isinstance(value, Mapping):
            flat |= dotted(value, f"{above}{name}.")
        elif value is not None:
            flat[f"{above}{name}"] = value
    return flat


def _named(values: Mapping[str, Any], kind: str) -> list[tuple[str, Mapping[str, Any]]]:
    entries = values.get(kind, {})
    if not entries:
        raise InputError(f"--config.{kind}: is empty; expected at least one to compare")
    return list(entries.items())


def _method(name: str, entry: Mapping[str, Any]) -> ComparedMethod:
    _require_fields(f"methods.{name}", entry, ComparedMethod)
    if not entry.get("config"):
        raise InputError(
            f"--config.methods.{name}.config: is empty; expected a config file, as path.py or path.py:word"
        )
    return ComparedMethod(**{**entry, "name": name, "settings": _settings(entry)})


def _data(name: str, entry: Mapping[str, Any]) -> ComparedData:
    _require_fields(f"data.{name}", entry, ComparedData)
    return ComparedData(**{**entry, "name": name, "settings": _settings(entry)})


def _settings(entry: Mapping[str, Any]) -> dict[str, Any]:
    """As dotted names. An empty folder is none: a config file's own stays."""
    given = dotted(entry.get("settings", {}))
    return {name: value for name, value in given.items() if (name, value) != ("data.root", "")}


def _require_fields(at: str, entry: Mapping[str, Any], of: type[Any]) -> None:
    if unknown := sorted({*entry} - {*of._fields[1:]}):
        raise InputError(f"--config.{at}.{unknown[0]}: there is no such field; expected {', '.join(of._fields[1:])}")


def _folder(name: str) -> str:
    """A name that any file system takes."""
    return re.sub(r"\W+", "_", name).strip("_") or "_"


def _as_flag(value: Any) -> str:
    return value if isinstance(value, str) else repr(value)
