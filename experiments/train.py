"""Train the noise predictor: ``python -m experiments.train --config=... --workdir=...``."""

from pathlib import Path

from ml_collections import ConfigDict

from experiments import entry, tracking
from experiments.model import load_data
from experiments.training import trained
from experiments.workdir import held, open_workdir


def main(config: ConfigDict, workdir: Path) -> None:
    with held(workdir):
        _main(config, workdir)


def _main(config: ConfigDict, workdir: Path) -> None:
    data = load_data(config)
    folder = open_workdir(workdir, config, data)
    write = tracking.writer_of(folder, entry.trackers(), config)
    trained(config, folder, data, write)
    write.close()
    print(f"model: {folder / 'train'}")


if __name__ == "__main__":
    entry.run(main)
