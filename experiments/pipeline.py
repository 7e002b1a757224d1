"""Data to report, every stage reusing what the workdir already holds."""

import logging
from pathlib import Path

from ml_collections import ConfigDict

from ddad_jax.mesh import device_mesh, require_work
from ddad_jax.metrics import missing
from ddad_jax.weights import load_backbone
from experiments import hosts, results, sweeping
from experiments.adapting import adapted
from experiments.distilling import distilled
from experiments.gridding import optimised_grids
from experiments.model import load_data
from experiments.plan import best_on_synthetic, plan
from experiments.training import trained
from experiments.workdir import open_workdir

log = logging.getLogger(__name__)


def run_all(config: ConfigDict, workdir: Path, *, sweep: bool) -> None:
    """Train, adapt, distil where a point names the student, reconstruct, score and report.

    Training and reconstruction use every device of every host; adaptation, distillation and the search of grids those
    of the first.
    """
    todo = plan(config, sweep=sweep or bool(config.select))
    data = load_data(config)
    # Weights that cannot be had are better missed now than after hours of training.
    load_backbone(config.backbone.name, config.backbone.weights or None)
    images = sum(len(s.labels) for s in (data.calibration, data.synthetic, data.test) if s)
    mesh, mend = device_mesh(), "Sweep more settings (--config.sweep) or give more pictures to test"
    require_work(len(todo.recon) * images, mesh, what="pairs of a setting and a picture", mend=mend)
    folder = open_workdir(workdir, config, data)
    for sentence in missing(data.test.labels, data.test.masks, data.test.has_mask):
        log.warning("%s", sentence)
    log.info(
        "%s: %d normal images to train on, %d held out, %d to test (%d anomalous)",
        data.name, len(data.fit.labels), len(data.held_out.labels), len(data.test.labels), int(data.test.labels.sum()),
    )  # fmt: skip
    params = trained(config, folder, data)
    variables, epoch = hosts.in_turn("adaptation", lambda: adapted(config, folder, data, params))
    program, selection = sweeping.program_of(config, params, variables, mesh), config.sample.origin
    student = None
    if any(point.model == "student" for point in todo.recon):
        taught = hosts.in_turn("the student", lambda: distilled(config, folder, data, params))
        student = sweeping.student_of(config, taught.params, variables, mesh, made_with=taught.made_with)
    grids = hosts.in_turn("optimised grids", lambda: optimised_grids(config, folder, data, params, todo.recon))
    rows = sweeping.run(config, folder, data, program, epoch, todo, grids, student)
    if data.synthetic:
        todo = todo._replace(selected=best_on_synthetic(todo, rows))
        selection = f"chosen on {len(data.synthetic.labels)} synthetic defects painted on held-out normal pictures"
        # Every row is there already: this keeps what the report shows of the selected point.
        rows = sweeping.run(config, folder, data, program, epoch, todo, grids, student)
    hosts.first("the report", lambda: results.write(config, folder, data, rows, epoch, selection=selection))
