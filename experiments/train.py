"""Train the noise predictor: ``python -m experiments.train --config=... --workdir=...``."""

from pathlib import Path

from ddad_jax.engine import tracking
from ddad_jax.engine.data.splits import load_data
from ddad_jax.engine.methods.ddad.noise_predictor import trained
from ddad_jax.engine.methods.ddad.points import SETTINGS
from ddad_jax.engine.methods.ddad.sections import DDADSettings
from ddad_jax.engine.methods.table import require_method
from ddad_jax.engine.workdir import open_workdir, workdir_lock
from experiments import entry


def main(config: DDADSettings, workdir: Path) -> None:
    require_method(config, "ddad", "experiments.train")
    with workdir_lock(workdir):
        _main(config, workdir)


def _main(config: DDADSettings, workdir: Path) -> None:
    data = load_data(config)
    folder = open_workdir(workdir, config, data)
    write = tracking.writer_of(folder, entry.trackers(), config.to_dict(), SETTINGS)
    trained(config, folder, data, write)
    write.close()
    print(f"model: {folder / 'train'}")


if __name__ == "__main__":
    entry.run_experiment(main)
