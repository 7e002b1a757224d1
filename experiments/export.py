"""Write a finished run's detector as one file: ``python -m experiments.export --model=WORKDIR --out=FILE.ddad``.

Beside the file lies then ``run_exported.py``, which needs only JAX and NumPy: ``python run_exported.py FILE.ddad
PICTURE...`` prints one JSON line a picture. Where the program can run here it is run once: its scores must be those of
the workdir.
"""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags

from ddad_jax.errors import InputError
from ddad_jax.exported import PLATFORMS, lowered, packed
from experiments import entry, run_exported
from experiments.detecting import FrameDetector, detector_of
from experiments.tables import write_bytes

MODEL = flags.DEFINE_string("model", None, "Workdir of the finished run.")
OUT = flags.DEFINE_string("out", None, "File to write; the usual ending is .ddad.")
BATCH = flags.DEFINE_integer("batch", 4, "Pictures in one call of the program; readers may take another number.")
ON = flags.DEFINE_list("platforms", ["cpu", "cuda", "tpu"], f"Where it shall run: some of {', '.join(PLATFORMS)}.")

SCRIPT = Path(run_exported.__file__)
TOLERANCE = 1e-5
"""Of a score, relative to the workdir's."""


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
        "networks": {
            "size": detector.size,
            "unet": run.config.model.to_dict(),
            "backbone": {name: value for name, value in run.config.backbone.items() if name != "weights"},
        },
    }
    return packed(lowered(detector.detector, detector.size, platforms=platforms), meaning)


def compared(detector: FrameDetector, file: Path) -> float:
    """The largest relative difference of scores of the file from the workdir's, on random pictures.

    Raises:
      InputError: it is above TOLERANCE.
    """
    pictures = np.random.default_rng(0).integers(0, 256, (detector.batch, detector.size, detector.size, 3), np.uint8)
    _, scores = run_exported.load(file).run(pictures)
    expected = np.array([one.score for one in detector(list(pictures))])
    difference = float((np.abs(scores - expected) / np.abs(expected)).max())
    if not difference <= TOLERANCE:
        raise InputError(f"{file}: its scores differ by {difference:.2g} from the workdir's, expected {TOLERANCE:g}")
    return difference


def main() -> None:
    out = Path(OUT.value or "").expanduser()
    if out.is_dir():
        raise InputError(f"--out={out}: is a folder; name a file in it, such as {out / 'model.ddad'}")
    try:  # before a minute of compiling, not after it
        out.parent.mkdir(parents=True, exist_ok=True)
        tempfile.NamedTemporaryFile(dir=out.parent).close()
    except OSError as error:
        raise InputError(f"--out={out}: cannot be written ({error.strerror}); name another file") from None
    detector = detector_of(Path(MODEL.value or ""), batch=BATCH.value)
    content = exported(detector, ON.value)
    for file, whole in ((out, content), (out.with_name(SCRIPT.name), SCRIPT.read_bytes())):
        write_bytes(file, whole)
    said = f"{out}: {len(content) / 2**20:.1f} MiB, model {detector.model_id}, for {', '.join(ON.value)}"
    print(f"{said}\nrun it: python {out.with_name(SCRIPT.name)} {out} PICTURE...")
    if run_exported.export.default_export_platform() in ON.value:
        print(f"scores here: within {compared(detector, out):.1g} of the workdir's")


if __name__ == "__main__":
    entry.run_without_config(main, required=["model", "out"])
