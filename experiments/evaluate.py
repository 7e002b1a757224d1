"""Score the selected point alone: ``python -m experiments.evaluate --config= --workdir=``, training what is missing.

With ``select = synthetic`` that is the point kept in chosen.json; where none was chosen yet, the sweep is scored first.
"""

from pathlib import Path

from absl import flags

from ddad_jax.engine.methods.ddad.sections import DDADSettings
from ddad_jax.engine.pipeline import run_all
from experiments import entry

MODELS_ONLY = flags.DEFINE_boolean("models_only", False, "Make what the point needs, then stop.")


def main(config: DDADSettings, workdir: Path) -> None:
    run_all(config, workdir, sweep=False, models_only=MODELS_ONLY.value, track=entry.trackers())


if __name__ == "__main__":
    entry.run_experiment(main)
