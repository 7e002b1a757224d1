"""The main job: train, adapt and reconstruct what is missing, score every point of the grid, write the report.

``python -m experiments.sweep --config=experiments/configs/demo.py --workdir=runs/demo``
"""

from pathlib import Path

from ml_collections import ConfigDict

from experiments import entry
from experiments.pipeline import run_all


def main(config: ConfigDict, workdir: Path) -> None:
    run_all(config, workdir, sweep=True)


if __name__ == "__main__":
    entry.run(main)
