"""A finished run read from its workdir alone: networks, point and calibration, without its data set."""

import hashlib
import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from ddad_jax.checkpoint import params_fingerprint
from ddad_jax.data.json_file import parsed
from ddad_jax.data.read import expanded
from ddad_jax.engine.data.data_sets import picture_size
from ddad_jax.engine.methods.measured import Constants
from ddad_jax.engine.methods.method import Fitted, Method, defaults_of, is_count, is_finite_number, key_columns
from ddad_jax.engine.methods.point import Point
from ddad_jax.engine.methods.table import method_of
from ddad_jax.engine.settings.sections import Settings
from ddad_jax.engine.store import kept
from ddad_jax.engine.sweep import journal
from ddad_jax.engine.sweep.selected import CONSTANTS_FILE, load_constants
from ddad_jax.engine.workdir import saved_config
from ddad_jax.errors import InputError


class DetectorParts(NamedTuple):
    """What a detector is made of.

    config: of the run, with what its calibration settles. point: the selected one. fitted: what it has learnt, ready
    for that point. calibration: calibration.json; constants: calibration.npz. model_id: of all that decides a verdict,
    the same wherever the run is read.
    """

    workdir: Path
    config: Settings
    point: Point
    fitted: Fitted
    calibration: Mapping[str, Any]
    constants: Constants
    model_id: str


def read_detector_parts(workdir: Path) -> DetectorParts:
    """Read the run; nothing is trained and nothing is written.

    Raises:
      InputError: naming what the workdir lacks or what does not fit together, and the command that mends it.
    """
    workdir = expanded(workdir, "the --workdir of a finished run").absolute()
    if not workdir.is_dir():
        raise InputError(f"{workdir}: no such folder; expected the --workdir of a finished run")
    c, again = saved_config(workdir), evaluation_command(workdir)
    method = method_of(c)
    calibration = _calibration(workdir, method, c.data.size, again)
    calibrated = load_constants(workdir, mend=f"{again[:1].upper()}{again[1:]}")
    point = _point(workdir, method, calibration, again)
    _require_view(c, workdir, calibrated.constants, again)
    c = method.settled(c, calibration)
    try:
        fitted = method.restored_at(c, workdir, point, calibration)
    except InputError as error:
        raise InputError(str(error) if "run python" in str(error) else f"{error}; {again}") from None
    # Each file for itself: one of them may be of another run.
    now = {**fitted.columns, "crop": calibration["crop"]}
    _require_same(workdir, {name: now[name] for name in now if name in calibration}, calibration, again)
    _require_same(workdir, now, {**calibration, **calibrated.made_of}, again)
    _require_weights(workdir, fitted, again)
    asks = {name: value for name, value in fitted.asks(point.costly).items() if name != "times"}
    of_point = {name: calibration[name] for name in key_columns(method)}
    _require_same(workdir, {**asks, **of_point}, {**defaults_of(method), **calibrated.made_of}, again)
    own_id = _model_id(c, method, fitted, calibration, calibrated.constants)
    return DetectorParts(workdir, c, point, fitted, calibration, calibrated.constants, own_id)


def evaluation_command(workdir: Path) -> str:
    """How to evaluate the run again, as its environment.json tells how it was made."""
    try:
        flags = shlex.split(parsed((workdir / "environment.json").read_bytes(), constants=True)["command"])[1:]
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
        flags = ["--config=CONFIG", f"--workdir={workdir}"]
    return f"run python -m experiments.evaluate {shlex.join(flags)}"


def _calibration(workdir: Path, method: Method, size: int, again: str) -> dict[str, Any]:
    path = workdir / "calibration.json"
    if not path.exists():
        raise InputError(f"{workdir}: holds no finished run (calibration.json is missing); {again}")
    try:
        numbers = dict(parsed(path.read_bytes(), constants=True))
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read ({error}); {again}") from None
    numbers = {**defaults_of(method), **numbers}
    kinds = {
        "threshold": (is_finite_number, "a number"),
        "pixel_threshold": (is_finite_number, "a number"),
        "crop": (lambda value: is_count(value) and value <= size, f"a whole number from 0 to {size}"),
        **method.needed(numbers),
    }
    if missing := [name for name in (*key_columns(method), *kinds) if name not in numbers]:
        raise InputError(f"{path}: {', '.join(missing)} is missing, which a verdict needs; {again}")
    for name, (holds, expected) in kinds.items():
        if not holds(numbers[name]):
            raise InputError(f"{path}: {name} = {repr(numbers[name])[:40]}: expected {expected}; {again}")
    return numbers


def _require_view(c: Settings, workdir: Path, constants: Constants, again: str) -> None:
    """A later run that was broken off may have left its config.json beside what was kept of another."""
    path, size = workdir / CONSTANTS_FILE, picture_size(c.data)
    if bool(c.view.register) != (constants.reference is not None):
        here = "holds no reference" if c.view.register else "holds a reference"
        raise InputError(f"{path}: {here}, but config.json says view.register = {c.view.register!r}; {again}")
    of_maps = {"watched": constants.watched, "spread": None if constants.spread is None else constants.spread.mean}
    for name, array in of_maps.items():
        if array is not None and array.shape != size:
            raise InputError(f"{path}: {name} is of {array.shape} pixels, the run's pictures have {size}; {again}")


def _point(workdir: Path, method: Method, calibration: Mapping[str, Any], again: str) -> Point:
    try:
        return method.point_of(calibration)
    except (InputError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{workdir / 'calibration.json'}: no settings of a point ({error}); {again}") from None


def _require_same(workdir: Path, now: Mapping[str, Any], there: Mapping[str, Any], again: str) -> None:
    differing = [name for name in now if there.get(name) != now[name]]
    if differing:
        differences = "; ".join(f"{name}: there {there.get(name)!r}, now {now[name]!r}" for name in differing[:5])
        files = f"{CONSTANTS_FILE} and calibration.json"
        raise InputError(f"{workdir}: {files} are not of one model and one point ({differences}); {again}")


def _require_weights(workdir: Path, fitted: Fitted, again: str) -> None:
    """``journal.claim_journal`` said whose the scores are."""
    path = workdir / journal.OWNER
    owner = kept.read_content(path, mend=again)[0].get("weights") if path.exists() else None
    if owner != params_fingerprint(fitted.weights):
        raise InputError(f"{workdir}: its calibration is of other parameters than its checkpoints hold; {again}")


def _model_id(c: Settings, method: Method, fitted: Fitted, calibration: Mapping[str, Any], constants: Constants) -> str:
    """12 hexadecimal digits."""
    numbers = ("threshold", "pixel_threshold", "crop", *method.needed(calibration), "ratio", "times")
    identity = {
        **fitted.identity,
        "data": {name: c.data[name] for name in ("size", "picture", "overlap")},
        "calibration": {name: calibration.get(name) for name in (*key_columns(method), *numbers)},
        "weights": params_fingerprint(fitted.weights),
        "arrays": params_fingerprint(jax.tree.map(np.asarray, constants)),
    }
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:12]
