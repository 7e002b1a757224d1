"""A finished run's detector as one file, and the script that runs it beside it."""

import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from ddad_jax.engine.detector import run_exported
from ddad_jax.engine.detector.frames import FrameDetector
from ddad_jax.engine.store.tables import write_bytes
from ddad_jax.errors import InputError
from ddad_jax.exported import lowered, packed

SCRIPT = Path(run_exported.__file__)
TOLERANCE = 1e-5
"""Of a score, relative to the workdir's or to the threshold, whichever is greater."""


def exported(detector: FrameDetector, platforms: list[str]) -> bytes:
    """The content of the file.

    Raises:
      InputError: an unknown platform; a model whose pictures are cut into tiles or brought onto a reference.
    """
    run = detector.run
    if run.config.data.picture or run.constants.reference is not None:
        which = "cuts pictures into tiles" if run.config.data.picture else "brings pictures onto a reference"
        told = "which the exported program does not; python -m experiments.inspect runs it as it is"
        raise InputError(f"--model={run.workdir}: {which}, {told}")
    kept = ("threshold", "threshold_rule", "threshold_guarantee", "pixel_threshold", "pixel_threshold_rule")
    meaning: dict[str, Any] = {
        "model_id": run.model_id,
        **{name: run.calibration[name] for name in kept if name in run.calibration},
        "advised_batch": detector.batch,
        "calibration": {name: value for name, value in run.calibration.items() if name not in kept},
        "networks": run.fitted.networks,
    }
    return packed(lowered(detector.detector, detector.size, platforms=platforms), meaning)


def compared(detector: FrameDetector, file: Path) -> float:
    """The largest difference of scores of the file from the workdir's, on random pictures.

    Raises:
      InputError: it is above TOLERANCE and what rounding explains.
    """
    pictures = np.random.default_rng(0).integers(0, 256, (detector.batch, detector.size, detector.size, 3), np.uint8)
    _, scores = run_exported.load_exported(file).run(pictures)
    expected = np.array([one.score for one in detector(list(pictures))])
    off = np.abs(scores - expected)
    allowed = TOLERANCE * np.maximum(np.abs(expected), abs(detector.threshold)) + _rounding(detector)
    if not (off <= allowed).all():
        worst = int(np.argmax(np.where(np.isfinite(off), off / allowed, np.inf)))
        told = f"{scores[worst]:.6g} for a random picture, the workdir {expected[worst]:.6g} +- {allowed[worst]:.1g}"
        mend = "install the JAX of the run's environment.json, or run it as it is: python -m experiments.inspect"
        raise InputError(f"--model={detector.run.workdir}: its exported program scores {told}; {mend}")
    return float(off.max())


def _rounding(detector: FrameDetector) -> float:
    """``PictureProgram.rounding`` in the unit of the scores."""
    cheap, spread = detector.run.point.cheap, detector.run.constants.spread
    of_map = detector.detector.rounding
    return of_map / float(spread.std.min()) if cheap.standardise and spread is not None else of_map


def write_export(detector: FrameDetector, out: Path, platforms: list[str]) -> str:
    """Leave the file at ``out`` and the script beside it; what to tell of them. Nothing is left where it is refused.

    Raises:
      InputError: as ``exported`` and ``compared``; it cannot be written.
    """
    content, script = exported(detector, platforms), out.with_name(SCRIPT.name)
    said = f"{out}: {len(content) / 2**20:.1f} MiB, model {detector.model_id}, for {', '.join(platforms)}"
    said += f"\nrun it: python {script} {out} PICTURE..."
    beside = out.with_name(f".{out.name}.{os.getpid()}.unproven")
    try:
        write_bytes(beside, content)
        if run_exported.export.default_export_platform() in platforms:
            said += f"\nscores here: within {compared(detector, beside):.1g} of the workdir's"
        write_bytes(script, SCRIPT.read_bytes())
        beside.replace(out)
    except OSError as error:
        raise InputError(f"--out={out}: cannot be written ({error.strerror}); name another file") from None
    finally:
        beside.unlink(missing_ok=True)
    return said


def require_place(out: Path) -> None:
    """Before a minute of compiling, not after it: InputError where no file can be written there."""
    if out.exists() and not out.is_file():
        what = "a folder; name a file in it" if out.is_dir() else "no file; name one"
        raise InputError(f"--out={out}: is {what}, such as {(out if out.is_dir() else out.parent) / 'model.ddad'}")
    if out.name == SCRIPT.name:
        raise InputError(f"--out={out}: the script that runs it has this name; name it, for example, model.ddad")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        tempfile.NamedTemporaryFile(dir=out.parent).close()
    except OSError as error:
        raise InputError(f"--out={out}: cannot be written ({error.strerror}); name another file") from None
