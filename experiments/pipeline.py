"""Data to report, every stage reusing what the workdir already holds."""

import logging
from pathlib import Path

from ml_collections import ConfigDict

from ddad_jax.metrics import missing
from ddad_jax.weights import load_backbone
from experiments import results, sweeping
from experiments.adapting import adapted
from experiments.model import load_data
from experiments.plan import best_on_synthetic, plan
from experiments.training import trained
from experiments.workdir import open_workdir

log = logging.getLogger(__name__)


def run_all(config: ConfigDict, workdir: Path, *, sweep: bool) -> None:
    """Train, adapt, reconstruct, score and report."""
    todo = plan(config, sweep=sweep or bool(config.select))
    data = load_data(config)
    # Weights that cannot be had are better missed now than after hours of training.
    load_backbone(config.backbone.name, config.backbone.weights or None)
    folder = open_workdir(workdir, config, data)
    for sentence in missing(data.test.labels, data.test.masks, data.test.has_mask):
        log.warning("%s", sentence)
    log.info(
        "%s: %d normal images to train on, %d held out, %d to test (%d anomalous)",
        data.name, len(data.fit.labels), len(data.held_out.labels), len(data.test.labels), int(data.test.labels.sum()),
    )  # fmt: skip
    params = trained(config, folder, data)
    variables, epoch = adapted(config, folder, data, params)
    program, selection = sweeping.program_of(config, params, variables), config.sample.origin
    rows = sweeping.run(config, folder, data, program, epoch, todo)
    if data.synthetic:
        todo = todo._replace(selected=best_on_synthetic(todo, rows))
        selection = f"chosen on {len(data.synthetic.labels)} synthetic defects painted on held-out normal pictures"
        # Every row is there already: this keeps what the report shows of the selected point.
        rows = sweeping.run(config, folder, data, program, epoch, todo)
    results.write(config, folder, data, rows, epoch, selection=selection)
