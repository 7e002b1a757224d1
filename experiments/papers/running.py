"""The runs of a table: what is there, what is missing, and making that.

WORKDIR/SIZE/DATA/CATEGORY/ddad/unet                          the training, once a category and network
                               /EXTRACTOR                     a run that begins with it
"""

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ddad_jax.backbones import BACKBONES
from ddad_jax.checkpoint import Checkpoints
from ddad_jax.engine import tracking
from ddad_jax.engine.data.splits import Data, load_data
from ddad_jax.engine.methods.ddad.noise_predictor import restored_params, trained
from ddad_jax.engine.methods.ddad.points import SETTINGS, UNSAID, ddad_plan
from ddad_jax.engine.methods.ddad.sections import DDADSettings
from ddad_jax.engine.methods.ddad.settings import ADAPTED_WITH, TRAINED_WITH
from ddad_jax.engine.methods.point import key_of
from ddad_jax.engine.pipeline import run_all
from ddad_jax.engine.setting_checks import check_settings
from ddad_jax.engine.store import kept
from ddad_jax.engine.store.tables import read_jsonl
from ddad_jax.engine.workdir import open_workdir, require_same_run, workdir_lock
from ddad_jax.errors import InputError
from ddad_jax.weights import find_backbone
from experiments.papers.epochs import epochs_there, judge_epochs
from experiments.papers.settings import chosen
from experiments.papers.table import Run, Table

# --- A workdir that begins with the training of another: one noise predictor, several feature extractors.
#
# What is taken over is the newest checkpoint and the history of the training, as hard links where the file system has
# them: a training that has ended writes no file again. Adaptation, journal and report are the new workdir's own.


def begin_with_training(folder: Path, source: Path, config: DDADSettings, data: Data) -> None:
    """``folder`` holds the training that ``source`` holds; one that it holds already must be the same.

    Complete or absent: a kill in between leaves no training in ``folder``.

    Raises:
      InputError: ``source`` was trained with other settings or pictures than ``config`` and ``data`` say, or its
        training has not ended; ``folder`` holds another training.
    """
    require_same_run(source, config, data)
    wanted = training_fingerprint(source)
    if (folder / "train").exists():
        if training_fingerprint(folder) != wanted:
            raise InputError(
                f"{folder}: began with another training than {source} now holds. Delete {folder} to make it anew from "
                "that training"
            )
        return
    restored_params(config, source)  # refuses one that has not ended
    part = folder / ".train.part"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(part, ignore_errors=True)
    newest = _newest(source)
    shutil.copytree(newest, part / newest.name, copy_function=_link_or_copy)
    shutil.copyfile(source / "train.jsonl", folder / "train.jsonl")
    part.rename(folder / "train")
    if training_fingerprint(folder) != wanted:
        shutil.rmtree(folder / "train")
        raise InputError(f"{folder}: the training of {source} could not be copied whole; is the disk full?")


def training_fingerprint(workdir: Path) -> str:
    """Of the newest checkpoint of a training: equal where every file of it is.

    Raises:
      InputError: there is none.
    """
    digest, newest = hashlib.sha256(), _newest(workdir)
    for path in sorted(p for p in newest.rglob("*") if p.is_file()):
        digest.update(f"{path.relative_to(newest)}\n".encode())
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()[:16]


def _newest(workdir: Path) -> Path:
    checkpoints = Checkpoints(workdir / "train")
    if not checkpoints.steps():
        raise InputError(f"{checkpoints.folder}: holds no training; expected a checkpoint of one that has ended")
    return checkpoints.folder / str(checkpoints.steps()[-1])


def _link_or_copy(source: str, target: str) -> str:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, target)
    return target


log = logging.getLogger(__name__)


class Ask(NamedTuple):
    """What the command line asks for.

    roots: data set -> its folder. categories: empty for all of the paper's that are there. backbone: "" for the
    size's own. weights: backbone -> file, for those that are not in the usual place. max_minutes: of each training
    and of each adaptation; None for the size's own. published: in the published code's behaviour. track: as of
    ``tracking.writer_of``.
    """

    roots: Mapping[str, Path]
    workdir: Path
    size: str = "cpu"
    categories: tuple[str, ...] = ()
    backbone: str = ""
    weights: Mapping[str, Path] = {}
    max_minutes: float | None = None
    published: bool = False
    track: Sequence[str] = ()

    @property
    def folder(self) -> Path:
        """Of the runs and tables of this size and behaviour, which never meet those of another."""
        return self.workdir / f"{self.size}{'-reference' if self.published else ''}"


class State(NamedTuple):
    """Of one run. folder: its workdir. missing: keys of rows that are not there, "report", "epochs". trained: of its
    network. skipped: why it cannot be made; "" where it can."""

    run: Run
    folder: Path
    missing: tuple[str, ...]
    trained: bool
    skipped: str


def states(table: Table, ask: Ask, *, download: bool = False) -> list[State]:
    """Of every run that the table asks for, in the order in which they are made; nothing is run.

    Raises:
      InputError: data or a category that is not there, settings that cannot be used.
    """
    found, absent = [], dict[str, str]()
    for data in (data for data in table.data() if data in ask.roots):
        for category in _categories(table, ask, data):
            for run in _runs(table, ask, data, category):
                name = run.config.backbone.name
                if name not in absent:
                    absent[name] = _absent(name, ask, download=download)
                check_settings(run.settings)
                folder = folder_of(ask, run)
                missing = _missing(run, folder, epochs=table.epochs)
                begun = (folder.parent / "unet" / "train").is_dir()
                found.append(State(run, folder, missing, begun, absent[name]))
    return found


def _missing(run: Run, folder: Path, *, epochs: bool) -> tuple[str, ...]:
    if epochs:
        return () if epochs_there(folder) else ("epochs",)
    rows = journal_rows(run, folder)
    missing = [key for key in dict.fromkeys(run.key(line) for line in run.lines) if key not in rows]
    # The run writes it last: a kill before it left the rows, but no page.
    return (*missing, *(() if (folder / "report.html").exists() else ("report",)))


def run_missing(table: Table, ask: Ask) -> list[State]:
    """Run what is missing; the states before. Repeated after a kill, it goes on.

    Raises:
      InputError: as ``states`` and ``pipeline.run_all``; no weights for any run of the table.
    """
    todo = states(table, ask, download=True)
    if todo and all(state.skipped for state in todo):
        raise InputError(todo[0].skipped)
    for i, state in enumerate(todo, start=1):
        where = f"[{i} of {len(todo)}] {state.folder}"
        if state.skipped:
            log.warning("%s: skipped, %s", where, state.skipped)
        elif _same_settings(state) and not state.missing:
            log.info("%s: there already", where)
        else:
            log.info("%s", where)
            _make(table, ask, state)
    return todo


def _make(table: Table, ask: Ask, state: State) -> None:
    config, unet = state.run.settings, state.folder.parent / "unet"
    data = load_data(config)
    with workdir_lock(unet):
        open_workdir(unet, config, data)
        write = tracking.writer_of(unet, ask.track, config.to_dict(), SETTINGS)
        trained(config, unet, data, write)
        write.close()
        with workdir_lock(state.folder):
            begin_with_training(state.folder, unet, config, data)
    with workdir_lock(state.folder):
        run_all(config, state.folder, sweep=not table.epochs, track=ask.track)
        if table.epochs:
            judge_epochs(config, state.folder, data, ddad_plan(config, sweep=True))


def folder_of(ask: Ask, run: Run) -> Path:
    return ask.folder / run.named.data / run.named.category / run.name


def journal_rows(run: Run, folder: Path) -> dict[str, dict[str, Any]]:
    """Rows of the run's journal by their key, of equals the one written last; it is of one model alone."""
    return {key_of(row, SETTINGS): row for row in ({**UNSAID, **row} for row in read_jsonl(folder / "journal.jsonl"))}


Found = Mapping[tuple[str, str], list[tuple[Run, dict[str, dict[str, Any]]]]]
"""(data, category) -> its runs, each with its rows by their key."""


def everything(table: Table, ask: Ask) -> Found:
    """All that the workdir holds, whoever asked for it."""
    found = {}
    for data in table.data():
        base = ask.folder / data
        for category in sorted(p.name for p in base.iterdir() if p.is_dir()) if base.is_dir() else []:
            runs = _runs(table, ask, data, category)
            found[data, category] = [(run, journal_rows(run, folder_of(ask, run))) for run in runs]
    return found


def _categories(table: Table, ask: Ask, data: str) -> list[str]:
    if table.epochs and not ask.categories:
        columns = table.blocks[0].printed.columns
        return [name for name in chosen(data, ask.roots[data], []) if name in columns] or list(columns)
    return chosen(data, ask.roots[data], list(ask.categories))


def _runs(table: Table, ask: Ask, data: str, category: str) -> list[Run]:
    root = str(ask.roots[data]) if data in ask.roots else ""
    how: Any = {"root": root, "backbone": ask.backbone, "published": ask.published}
    runs = table.runs(data, category, ask.size, **how)
    for run in runs:
        with run.config.unlocked():
            if run.config.backbone.name in ask.weights:
                run.config.backbone.weights = str(ask.weights[run.config.backbone.name])
            if ask.max_minutes is not None:
                run.config.train.max_minutes = ask.max_minutes
                run.config.adapt.max_minutes = ask.max_minutes
    return runs


def _absent(name: str, ask: Ask, *, download: bool) -> str:
    """Why a backbone's weights cannot be had; "" where they can."""
    if name in ask.weights:
        return ""
    try:
        find_backbone(name, download=download)
        return ""
    except InputError as error:
        return str(error).replace("--config.backbone.weights=<file>", "--backbone_weights=<file>")


def weights_of(given: list[str]) -> dict[str, Path]:
    """--backbone_weights, files or folders of them -> backbone -> file, told apart by torchvision's names.

    Raises:
      InputError: a path that is not there, or a file whose name does not begin with that of a backbone.
    """
    downloaded = {name: backbone.file for name, backbone in BACKBONES.items() if not backbone.package}
    found: dict[str, Path] = {}
    for path in map(Path, given):
        if not path.exists():
            raise InputError(f"--backbone_weights={path}: is not there; expected a file or a folder of them")
        files = sorted(path.glob("*.pth")) if path.is_dir() else [path]
        named = {name: file for file in files for name in downloaded if file.name.startswith(f"{name}-")}
        if not named:
            names = ", ".join(downloaded.values())
            raise InputError(f"--backbone_weights={path}: expected torchvision's files or a folder of them: {names}")
        found |= named
    return found


def _same_settings(state: State) -> bool:
    """Whether the folder's config.json is of these settings, as far as they bind a workdir."""
    try:
        before, _ = kept.read_content(state.folder / "config.json")
    except InputError:
        return False
    now = json.loads(json.dumps(state.run.config.to_dict()))
    sections = {name.partition(".")[0] for name in (*TRAINED_WITH, *ADAPTED_WITH)}
    return all(before.get(section) == now[section] for section in sections)
