"""A finished run read from its workdir alone: networks, point and calibration, without its data set."""

import hashlib
import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from ddad_jax.checkpoint import fingerprint
from ddad_jax.errors import InputError
from ddad_jax.optimised_grid import grid_of
from ddad_jax.points import OPTIMISED, GridKey, grid_key
from ddad_jax.sweep import PairProgram
from ddad_jax.timesteps import TimeGrid
from experiments import adapting, distilling, sweeping, training
from experiments.constants import NAME, Constants, Kept, load_constants
from experiments.journal import trained_steps
from experiments.plan import SETTINGS, UNSAID, Point, point_of
from experiments.workdir import saved_config

NUMBERS = ("threshold", "pixel_threshold", "crop", "clip", "normalise", "adapt_epoch")
"""Of calibration.json, besides the settings of the point and the ratio."""


class Finished(NamedTuple):
    """What a detector is made of.

    config: of the run, with what its calibration settles. point: the selected one. grids: what it visits where its grid
    is optimised. program: the networks with their weights. calibration: calibration.json; constants: calibration.npz.
    model_id: of all that decides a verdict, the same wherever the run is read.
    """

    workdir: Path
    config: ConfigDict
    point: Point
    grids: Mapping[GridKey, TimeGrid]
    program: PairProgram
    calibration: Mapping[str, Any]
    constants: Constants
    model_id: str


def finished(workdir: Path) -> Finished:
    """Read the run; nothing is trained and nothing is written.

    Raises:
      InputError: naming what the workdir lacks or what does not fit together, and the command that mends it.
    """
    workdir = workdir.expanduser().absolute()
    if not workdir.is_dir():
        raise InputError(f"{workdir}: no such folder; expected the --workdir of a finished run")
    c, again = saved_config(workdir), evaluation(workdir)
    said, kept = _calibration(workdir, again), _constants(workdir, again)
    point = _point(workdir, said, again)
    with c.unlocked():
        c.score.update(crop=said["crop"], normalise=said["normalise"])
        c.sample.clip = said["clip"]
    if said["normalise"] != "held_out":
        raise InputError(
            f"{workdir}: normalise = {said['normalise']!r} takes the scale of a score from the pictures of its batch, "
            "so a picture has no score of its own; expected a run with --config.score.normalise=held_out"
        )
    params = training.restored(c, workdir)
    variables, epoch = adapting.restored(c, workdir)
    program, student = sweeping.program_of(c, params, variables), {}
    _require_same(workdir, _now(c, workdir, said, epoch), {**said, **kept.made_with}, again)
    _require_weights(workdir, program, again)
    if point[0].model == "student":
        taught = distilling.restored(c, workdir, params)
        program, student = sweeping.student_of(c, taught.params, variables, made_with={}).program, taught.made_with
    of_point = {name: said[name] for name in SETTINGS}
    _require_same(workdir, {**student, **of_point}, {**kept.settings, **kept.made_with}, again)
    grids = {grid_key(point[0]): _times(workdir, said, again)} if point[0].grid == OPTIMISED else {}
    own_id = _model_id(c, program, said, kept.constants)
    return Finished(workdir, c, point, grids, program, said, kept.constants, own_id)


def evaluation(workdir: Path) -> str:
    """How to evaluate the run again, as its environment.json tells how it was made."""
    try:
        flags = shlex.split(json.loads((workdir / "environment.json").read_text())["command"])[1:]
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        flags = ["--config=CONFIG", f"--workdir={workdir}"]
    return f"run python -m experiments.evaluate {shlex.join(flags)}"


def _calibration(workdir: Path, again: str) -> dict[str, Any]:
    path = workdir / "calibration.json"
    if not path.exists():
        raise InputError(f"{workdir}: holds no finished run (calibration.json is missing); {again}")
    try:
        said = dict(json.loads(path.read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{path}: cannot be read ({error}); {again}") from None
    said = {**UNSAID, **said}
    needed = [*SETTINGS, *NUMBERS, *(["ratio"] if said.get("normalise") == "held_out" else [])]
    if missing := [name for name in needed if name not in said]:
        raise InputError(f"{path}: {', '.join(missing)} is missing, which a verdict needs; {again}")
    wrong = [name for name in ("ratio", "threshold", "pixel_threshold") if not _number(said.get(name, 1.0))]
    if wrong:
        raise InputError(f"{path}: {wrong[0]} = {said[wrong[0]]!r}: expected a number; {again}")
    return said


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and bool(np.isfinite(value))


def _constants(workdir: Path, again: str) -> Kept:
    try:
        return load_constants(workdir)
    except InputError as error:
        raise InputError(f"{error}; {again}") from None


def _point(workdir: Path, said: Mapping[str, Any], again: str) -> Point:
    try:
        return point_of(dict(said))
    except (InputError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{workdir / 'calibration.json'}: no settings of a point ({error}); {again}") from None


def _times(workdir: Path, said: Mapping[str, Any], again: str) -> TimeGrid:
    try:
        return grid_of([int(t) for t in said["times"].split("-")])
    except (InputError, KeyError, ValueError, AttributeError) as error:
        raise InputError(f"{workdir / 'calibration.json'}: no times of an optimised grid ({error}); {again}") from None


def _now(c: ConfigDict, workdir: Path, said: Mapping[str, Any], epoch: int) -> dict[str, Any]:
    """What of ``journal.measured_with`` can be known without data."""
    return {
        "train_steps": trained_steps(workdir),
        "adapt_epoch": epoch,
        "dtype": c.model.dtype,
        **{f"backbone_{name}": value for name, value in c.backbone.items()},
        **{name: said[name] for name in ("normalise", "crop", "clip")},
    }


def _require_same(workdir: Path, now: Mapping[str, Any], there: Mapping[str, Any], again: str) -> None:
    differing = [name for name in now if there.get(name) != now[name]]
    if differing:
        told = "; ".join(f"{name}: there {there.get(name)!r}, now {now[name]!r}" for name in differing[:5])
        files = f"{NAME} and calibration.json"
        raise InputError(f"{workdir}: {files} are not of one model and one point ({told}); {again}")


def _require_weights(workdir: Path, program: PairProgram, again: str) -> None:
    """``journal.claim`` said whose the scores are."""
    try:
        owner = json.loads((workdir / "journal_of.json").read_text())["weights"]
    except (OSError, ValueError, KeyError, TypeError):
        owner = None
    if owner != fingerprint(program.weights):
        raise InputError(f"{workdir}: its calibration is of other parameters than its checkpoints hold; {again}")


def _model_id(c: ConfigDict, program: PairProgram, said: Mapping[str, Any], constants: Constants) -> str:
    """12 hexadecimal digits."""
    backbone = {name: value for name, value in c.backbone.items() if name != "weights"}  # a path of one machine
    told = {
        "model": c.model.to_dict(),
        "backbone": backbone,
        "data": {name: c.data[name] for name in ("size", "picture", "overlap")},
        "calibration": {name: said.get(name) for name in (*SETTINGS, *NUMBERS, "ratio", "times")},
        "weights": fingerprint(program.weights),
        "arrays": fingerprint(jax.tree.map(np.asarray, constants)),
    }
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:12]
