"""Methods x data sets x seeds, each an ordinary run; then one table and one page that say what to deploy.

    python -m experiments.compare --config=experiments/configs/compare/demo.py --workdir=runs/compared
    python -m experiments.compare --config=... --workdir=... --commands       the command of every run
    python -m experiments.compare --config=... --workdir=... --part=0/4      every fourth run, no page
    python -m experiments.compare --config=... --workdir=... --page_only      the page of what is there, no run

A run lies in WORKDIR/runs/METHOD/DATA/SEED and has a report of its own. One that has ended is not repeated, one that
was interrupted goes on, and one that fails is named and costs no other. Runs may be made elsewhere by what
``--commands`` prints, in the same folders; whoever calls this without ``--runs`` and ``--part`` makes what is missing,
measures what each detector costs, and leaves comparison.csv (a row a method), groups.csv, runs.csv (a row a run), each
also as .jsonl, comparison.md and comparison.html.

``--config`` is a file whose ``get_config`` begins with ``experiments.config.comparison()``; settings of all runs are
``--config.settings.SECTION.NAME``, such as ``--config.settings.data.root=/path/to/sets``, and those of one method or
data set ``--config.methods.NAME.settings.SECTION.NAME`` and ``--config.data.NAME.settings.SECTION.NAME``.
"""

import shlex
import sys
from pathlib import Path

from absl import flags

from ddad_jax.engine.comparison.cost import write_costs
from ddad_jax.engine.comparison.plan import ComparedRun, comparison_of, picked_runs, planned_runs
from ddad_jax.engine.comparison.report import write_comparison
from ddad_jax.engine.comparison.running import make_runs
from ddad_jax.engine.methods.settings import settings_from
from ddad_jax.engine.setting_checks import check_settings
from ddad_jax.engine.settings.section import changed
from ddad_jax.engine.settings.sections import Settings
from ddad_jax.engine.store.lock import folder_lock
from ddad_jax.engine.sweep.shards import parse_shard
from ddad_jax.errors import InputError
from experiments import entry
from experiments.papers.comparisons import published

LIST = flags.DEFINE_boolean("commands", False, "Print the command of every run, and run nothing.")
RUNS = flags.DEFINE_list("runs", [], "Make these alone, as METHOD/DATA/SEED, and write no page.")
SHARD = flags.DEFINE_string("part", None, "K/N: make run K, K + N, ... of them alone, from 0, and write no page.")
PAGE_ONLY = flags.DEFINE_boolean("page_only", False, "Run nothing: tables and page of what is there by now.")
MEASURE = flags.DEFINE_string("cost_of", None, "Of one finished run alone: what its detector costs.")


def main() -> None:
    comparison = comparison_of(entry.CONFIG.value.to_dict())
    paper = published(comparison.paper) if comparison.paper else None
    runs = planned_runs(comparison, Path(entry.WORKDIR.value or ""))
    if MEASURE.value:
        (run,) = picked_runs(runs, [MEASURE.value], None)
        write_costs(run, comparison.power, comparison.pictures)
        return
    shard = parse_shard(SHARD.value) if SHARD.value else None
    todo = picked_runs(runs, RUNS.value, shard)
    # All of them before the first: an hour of runs should not end at a misspelt setting.
    settings = {run.name: settings_of(run) for run in runs}
    if LIST.value:
        for run in todo:
            print(shlex.join(["python", *run.command()]))
        return
    folder = Path(entry.WORKDIR.value or "").expanduser().absolute()
    if PAGE_ONLY.value:
        if len(todo) < len(runs):
            raise InputError("--page_only: is of all runs; expected it without --runs and --part")
        # Without the lock: whoever makes the runs has it, and files are replaced as a whole.
        print(write_comparison(comparison, runs, lambda run: settings[run.name], folder, paper))
        return
    with folder_lock(folder, shared=len(todo) < len(runs)):
        make_runs(
            todo,
            lambda run: settings[run.name],
            comparison.power,
            lambda run: ["-m", "experiments.compare", *sys.argv[1:], f"--cost_of={run.name}"],
            seed_of_costs=comparison.seeds[0],
        )
        if len(todo) == len(runs):
            print(write_comparison(comparison, runs, lambda run: settings[run.name], folder, paper))


def settings_of(run: ComparedRun) -> Settings:
    """As the run itself would take them.

    Raises:
      InputError: naming the method and what cannot be used.
    """
    try:
        config = entry.ConfigFile().parse(run.config)
        return check_settings(changed(settings_from(config.to_dict()), run.settings), {*run.settings})
    except InputError as error:
        mend = (
            "of all runs, which all methods must have, by --config.settings.SECTION.NAME, of one method by "
            "--config.methods.NAME.settings.SECTION.NAME, of one data set by --config.data.NAME.settings.SECTION.NAME"
        )
        raise InputError(f"{run.name} ({run.config}): {error}. Settings are given {mend}") from None


if __name__ == "__main__":
    entry.run_without_config(
        main, required=["config", "workdir"], devices=lambda: flags.FLAGS["cost_of"].value is not None
    )
