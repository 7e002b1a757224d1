"""The main job: train, adapt and reconstruct what is missing, score every point of the grid, write the report.

``python -m experiments.sweep --config=experiments/configs/demo.py --workdir=runs/demo``

Several machines without a network between them share a grid in three stages, each started again after a kill:

    ... --models_only        once: everything that the grid needs
    ... --shard=K/N          N times, K = 0 to N - 1, at the same time or not: the points of shard K, no report
    ...                      once: takes the rows of all shards, computes what is missing, reports
"""

from pathlib import Path

from absl import flags

from ddad_jax.engine.methods.ddad.sections import DDADSettings
from ddad_jax.engine.pipeline import run_all, run_shard
from ddad_jax.engine.sweep import shards
from ddad_jax.errors import InputError
from experiments import entry

MODELS_ONLY = flags.DEFINE_boolean("models_only", False, "Make the models and optimised grids, then stop.")
SHARD = flags.DEFINE_string(
    "shard", None, "K/N: compute share K, from 0, of N of the grid into a journal of its own, with models that are "
    "there, and write no report. Nobody follows it: --track is for the models and the report.",
)  # fmt: skip


def main(config: DDADSettings, workdir: Path) -> None:
    if SHARD.value is None:
        run_all(config, workdir, sweep=True, models_only=MODELS_ONLY.value, track=entry.trackers())
    elif MODELS_ONLY.value:
        raise InputError(f"--models_only --shard={SHARD.value}: expected one of them; models are made before any shard")
    else:
        run_shard(config, workdir, shards.parse_shard(SHARD.value))


if __name__ == "__main__":
    entry.run_experiment(main)
