"""Several views of one machine, a model each, and what masks and registration do to every one of them.

    python -m experiments.views --config=experiments/configs/folder.py --workdir=runs/machine --views=A,A2,B \\
        --config.data.root=/path/to/machine --config.view.mask=masks.json

ROOT/A, ROOT/A2, ... are folders in the MVTec AD layout. Each view is trained once, in WORKDIR/VIEW; then the point of
the config is scored in up to eight configurations: distances of masked pictures (PRE) or a silenced map (PO), with the
mask (M) and without (NM), of registered pictures (R) and of pictures as they are (NR). Left behind: eight.csv,
eight.json and views.html with the table, the curves of every view, and what became of each picture's registration.

Source: line clearance thesis, sections 3.4 and 5.3 (configurations, tables), 5.6 (curves).
"""

from pathlib import Path

from absl import flags

from ddad_jax.engine.methods.ddad.sections import DDADSettings
from ddad_jax.engine.workdir import workdir_lock
from ddad_jax.errors import InputError
from experiments import entry
from experiments.papers.line_clearance import eight_of, report_line_clearance, require_workdirs

VIEWS = flags.DEFINE_list("views", None, "Names of the views, each a category folder; empty: data.category alone.")


def main(config: DDADSettings, workdir: Path) -> None:
    views = [name.strip() for name in VIEWS.value or [config.data.category]]
    if len(set(views)) < len(views) or not all(views):
        raise InputError(f"--views={','.join(views)}: expected names of folders in data.root, each once")
    require_workdirs(views, register=config.view.register)
    with workdir_lock(workdir):
        report_line_clearance(
            config, workdir, {name: eight_of(config, workdir, name, entry.trackers()) for name in views}
        )


if __name__ == "__main__":
    entry.run_experiment(main)
