"""Train the noise predictor: ``python -m experiments.train --config=... --workdir=...``."""

from pathlib import Path

from ml_collections import ConfigDict

from experiments import entry
from experiments.model import load_data
from experiments.training import trained
from experiments.workdir import open_workdir


def main(config: ConfigDict, workdir: Path) -> None:
    data = load_data(config)
    folder = open_workdir(workdir, config, data)
    trained(config, folder, data)
    print(f"model: {folder / 'train'}")


if __name__ == "__main__":
    entry.run(main)
