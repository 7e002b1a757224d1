"""Adapt the feature extractor, training first what is missing: ``python -m experiments.adapt --config= --workdir=``."""

from pathlib import Path

from ddad_jax.engine import hosts, tracking
from ddad_jax.engine.data.splits import load_data
from ddad_jax.engine.methods.ddad.extractor import adapted
from ddad_jax.engine.methods.ddad.noise_predictor import trained
from ddad_jax.engine.methods.ddad.points import SETTINGS
from ddad_jax.engine.methods.ddad.sections import DDADSettings
from ddad_jax.engine.methods.table import require_method
from ddad_jax.engine.workdir import open_workdir, workdir_lock
from ddad_jax.weights import load_backbone
from experiments import entry


def main(config: DDADSettings, workdir: Path) -> None:
    require_method(config, "ddad", "experiments.adapt")
    with workdir_lock(workdir):
        _main(config, workdir)


def _main(config: DDADSettings, workdir: Path) -> None:
    data = load_data(config)
    # Weights that cannot be had are better missed now than after hours of training.
    load_backbone(config.backbone.name, config.backbone.weights or None)
    folder = open_workdir(workdir, config, data)
    write = tracking.writer_of(folder, entry.trackers(), config.to_dict(), SETTINGS)
    params = trained(config, folder, data, write)
    _, epoch = hosts.in_turn("adaptation", lambda: adapted(config, folder, data, params, write))
    write.close()
    print(f"extractor: epoch {epoch} of {folder / 'adapt'}" if epoch else "extractor: as it came (no epoch was better)")


if __name__ == "__main__":
    entry.run_experiment(main)
