"""Write a finished run's detector as one file: ``python -m experiments.export --model=WORKDIR --out=FILE.ddad``.

Beside the file lies then ``run_exported.py``, which needs only JAX, NumPy and flatbuffers: ``python run_exported.py
FILE.ddad PICTURE...`` prints one JSON line a picture. Where the program can run here it is run once: its scores must be
those of the workdir.
"""

from absl import flags

from ddad_jax.data.read import expanded
from ddad_jax.engine.detector.export import require_place, write_export
from ddad_jax.engine.detector.frames import detector_of
from ddad_jax.exported import PLATFORMS
from experiments import entry

MODEL = flags.DEFINE_string("model", None, "Workdir of the finished run.")
OUT = flags.DEFINE_string("out", None, "File to write; the usual ending is .ddad.")
BATCH = flags.DEFINE_integer("batch", 4, "Pictures in one call of the program; readers may take another number.")
ON = flags.DEFINE_list("platforms", ["cpu", "cuda", "tpu"], f"Where it shall run: some of {', '.join(PLATFORMS)}.")


def main() -> None:
    out = expanded(OUT.value or "", "--out")
    require_place(out)
    print(write_export(detector_of(expanded(MODEL.value or "", "--model"), batch=BATCH.value), out, ON.value))


if __name__ == "__main__":
    entry.run_without_config(main, required=["model", "out"])
