"""Distil a student, training first what is missing: ``python -m experiments.distil --config= --workdir=``.

``--config.sample.model=student --config.sample.steps=1`` then has it reconstruct, and
``--config.sweep.model='("teacher","student")'`` sweeps over both.
"""

from pathlib import Path

from ddad_jax.engine import tracking
from ddad_jax.engine.data.splits import load_data
from ddad_jax.engine.methods.ddad.noise_predictor import trained
from ddad_jax.engine.methods.ddad.points import SETTINGS
from ddad_jax.engine.methods.ddad.sections import DDADSettings
from ddad_jax.engine.methods.ddad.settings import trained_for
from ddad_jax.engine.methods.ddad.student import distilled
from ddad_jax.engine.methods.table import require_method
from ddad_jax.engine.store.tables import format_table, read_jsonl
from ddad_jax.engine.workdir import open_workdir, workdir_lock
from experiments import entry


def main(config: DDADSettings, workdir: Path) -> None:
    require_method(config, "ddad", "experiments.distil")
    with workdir_lock(workdir):
        _main(config, workdir)


def _main(config: DDADSettings, workdir: Path) -> None:
    # Settings that cannot be trained for are better refused now than after the teacher's training.
    trained_for(config.student, t_max=config.train.t_max)
    data = load_data(config)
    folder = open_workdir(workdir, config, data)
    write = tracking.writer_of(folder, entry.trackers(), config.to_dict(), SETTINGS)
    params = trained(config, folder, data, write)
    distilled(config, folder, data, params, write)
    write.close()
    rows = [row for row in read_jsonl(folder / "distil.jsonl") if "teacher_one_call" in row]
    columns = [name for name in rows[0] if name.startswith("validation")]
    print("Distance to the teacher on held-out normal pictures and synthetic defects, after each call:")
    print(format_table([rows[0], rows[-1]], ["step", *columns, "teacher_one_call"]))
    print(f"student: {folder / 'student'}")


if __name__ == "__main__":
    entry.run_experiment(main)
