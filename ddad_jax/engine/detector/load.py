"""A finished run read from its workdir alone: networks, point and calibration, without its data set."""

import hashlib
import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from ddad_jax.checkpoint import fingerprint
from ddad_jax.data.json_file import parsed
from ddad_jax.data.read import expanded
from ddad_jax.engine.data.data_sets import picture_size
from ddad_jax.engine.methods.ddad import evidence, extractor, noise_predictor
from ddad_jax.engine.methods.ddad import student as ddad_student
from ddad_jax.engine.methods.ddad.sections import DDADSettings
from ddad_jax.engine.methods.loop import trained_steps
from ddad_jax.engine.methods.method import SETTINGS, UNSAID, Point, point_of
from ddad_jax.engine.settings.section import changed
from ddad_jax.engine.sweep.selected import CONSTANTS_FILE, Constants, Kept, load_constants
from ddad_jax.engine.workdir import saved_config
from ddad_jax.errors import InputError
from ddad_jax.optimised_grid import grid_of
from ddad_jax.points import OPTIMISED, GridKey, grid_key
from ddad_jax.sweep import PairProgram
from ddad_jax.timesteps import TimeGrid

NUMBERS = ("threshold", "pixel_threshold", "crop", "clip", "normalise", "adapt_epoch")
"""Of calibration.json, besides the settings of the point and the ratio."""


class Finished(NamedTuple):
    """What a detector is made of.

    config: of the run, with what its calibration settles. point: the selected one. grids: what it visits where its grid
    is optimised. program: the networks with their weights. calibration: calibration.json; constants: calibration.npz.
    model_id: of all that decides a verdict, the same wherever the run is read.
    """

    workdir: Path
    config: DDADSettings
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
    workdir = expanded(workdir, "the --workdir of a finished run").absolute()
    if not workdir.is_dir():
        raise InputError(f"{workdir}: no such folder; expected the --workdir of a finished run")
    c, again = saved_config(workdir), evaluation(workdir)
    said = _calibration(workdir, c.data.size, again)
    kept, point = _constants(workdir, again), _point(workdir, said, again)
    _require_view(c, workdir, kept.constants, again)
    own = {"score.crop": said["crop"], "score.normalise": said["normalise"], "sample.clip": said["clip"]}
    c = changed(c, own)
    if said["normalise"] != "held_out":
        raise InputError(
            f"{workdir}: normalise = {said['normalise']!r} takes the scale of a score from the pictures of its batch, "
            "so a picture has no score of its own; expected a run with --config.score.normalise=held_out"
        )
    params = noise_predictor.restored(c, workdir)
    variables, epoch = extractor.restored(c, workdir)
    program, student = evidence.program_of(c, params, variables), {}
    # Each file for itself: one of them may be of another run.
    now = _now(c, workdir, said, epoch)
    _require_same(workdir, {name: now[name] for name in now if name in said}, said, again)
    _require_same(workdir, now, {**said, **kept.made_with}, again)
    _require_weights(workdir, program, again)
    if point[0].model == "student":
        taught = ddad_student.restored(c, workdir, params)
        program, student = evidence.student_of(c, taught.params, variables, made_with={}).program, taught.made_with
    of_point = {name: said[name] for name in SETTINGS}
    _require_same(workdir, {**student, **of_point}, {**kept.settings, **kept.made_with}, again)
    grids = {grid_key(point[0]): _times(workdir, said, again)} if point[0].grid == OPTIMISED else {}
    own_id = _model_id(c, program, said, kept.constants)
    return Finished(workdir, c, point, grids, program, said, kept.constants, own_id)


def evaluation(workdir: Path) -> str:
    """How to evaluate the run again, as its environment.json tells how it was made."""
    try:
        flags = shlex.split(parsed((workdir / "environment.json").read_bytes(), constants=True)["command"])[1:]
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
        flags = ["--config=CONFIG", f"--workdir={workdir}"]
    return f"run python -m experiments.evaluate {shlex.join(flags)}"


def _calibration(workdir: Path, size: int, again: str) -> dict[str, Any]:
    path = workdir / "calibration.json"
    if not path.exists():
        raise InputError(f"{workdir}: holds no finished run (calibration.json is missing); {again}")
    try:
        said = dict(parsed(path.read_bytes(), constants=True))
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read ({error}); {again}") from None
    said = {**UNSAID, **said}
    needed = [*SETTINGS, *NUMBERS, *(["ratio"] if said.get("normalise") == "held_out" else [])]
    if missing := [name for name in needed if name not in said]:
        raise InputError(f"{path}: {', '.join(missing)} is missing, which a verdict needs; {again}")
    kinds = {
        "threshold": (_number, "a number"),
        "pixel_threshold": (_number, "a number"),
        "ratio": (lambda value: _number(value) and value > 0, "a number above 0"),
        "crop": (lambda value: _count(value) and value <= size, f"a whole number from 0 to {size}"),
        "clip": (lambda value: isinstance(value, bool), "true or false"),
        "adapt_epoch": (_count, "a whole number, at least 0"),
    }
    for name, (holds, expected) in kinds.items():
        if name in said and not holds(said[name]):
            raise InputError(f"{path}: {name} = {repr(said[name])[:40]}: expected {expected}; {again}")
    return said


def _count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and bool(np.isfinite(value))


def _constants(workdir: Path, again: str) -> Kept:
    try:
        return load_constants(workdir)
    except InputError as error:
        raise InputError(f"{error}; {again}") from None


def _require_view(c: DDADSettings, workdir: Path, kept: Constants, again: str) -> None:
    """A later run that was broken off may have left its config.json beside what was kept of another."""
    path, size = workdir / CONSTANTS_FILE, picture_size(c)
    if bool(c.view.register) != (kept.reference is not None):
        here = "holds no reference" if c.view.register else "holds a reference"
        raise InputError(f"{path}: {here}, but config.json says view.register = {c.view.register!r}; {again}")
    of_maps = {"watched": kept.watched, "spread": None if kept.spread is None else kept.spread.mean}
    for name, array in of_maps.items():
        if array is not None and array.shape != size:
            raise InputError(f"{path}: {name} is of {array.shape} pixels, the run's pictures have {size}; {again}")


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


def _now(c: DDADSettings, workdir: Path, said: Mapping[str, Any], epoch: int) -> dict[str, Any]:
    """What of ``journal.measured_with`` can be known without data."""
    return {
        "train_steps": trained_steps(workdir),
        "adapt_epoch": epoch,
        "dtype": c.model.dtype,
        **{f"backbone_{name}": value for name, value in c.backbone.items() if name != "weights"},
        **{name: said[name] for name in ("normalise", "crop", "clip")},
    }


def _require_same(workdir: Path, now: Mapping[str, Any], there: Mapping[str, Any], again: str) -> None:
    differing = [name for name in now if there.get(name) != now[name]]
    if differing:
        told = "; ".join(f"{name}: there {there.get(name)!r}, now {now[name]!r}" for name in differing[:5])
        files = f"{CONSTANTS_FILE} and calibration.json"
        raise InputError(f"{workdir}: {files} are not of one model and one point ({told}); {again}")


def _require_weights(workdir: Path, program: PairProgram, again: str) -> None:
    """``journal.claim`` said whose the scores are."""
    try:
        owner = parsed((workdir / "journal_of.json").read_bytes(), constants=True)["weights"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        owner = None
    if owner != fingerprint(program.weights):
        raise InputError(f"{workdir}: its calibration is of other parameters than its checkpoints hold; {again}")


def _model_id(c: DDADSettings, program: PairProgram, said: Mapping[str, Any], constants: Constants) -> str:
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
