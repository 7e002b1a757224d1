"""Search the settings of a trained model, without a label: Optuna over continuous w, v, T' on synthetic defects.

    python -m experiments.search --config=... --workdir=... --over=w,t_prime,v --trials=100

Trains and adapts what is missing. Each batch of trials goes through the sweep's compiled program, so a trial costs its
reconstruction and no compilation; trials that differ in v or sigma alone share one. The study is WORKDIR/search.db and
goes on after an interruption, or with a greater --trials; the rows are in WORKDIR/search.jsonl. The best point is kept
in chosen.json, where ``experiments.evaluate --config.select=synthetic`` finds it.
"""

from pathlib import Path

from absl import flags
from ml_collections.config_flags import get_config_filename, get_override_values

from ddad_jax.engine.methods.table import METHODS, method_of
from ddad_jax.engine.search.outcome import kept_point_command
from ddad_jax.engine.search.search import Search, run_search
from ddad_jax.engine.settings.sections import Settings
from experiments import entry

NAMES = "; of ".join(f"{method.title} {', '.join(method.axes)}" for method in METHODS.values())
OVER = flags.DEFINE_list(
    "over", None, f"What to search, each as name or name:low:high: of {NAMES}; sigma in pixels of a 256 px image. By "
    "default a few of the method's.",
)  # fmt: skip
TRIALS = flags.DEFINE_integer("trials", 100, "Settings to try in all, those of earlier calls included.")
SCORES = flags.DEFINE_integer(
    "scores", 4, "Trials that share a reconstruction and differ in v and sigma; a study keeps its number."
)
GROUPS = flags.DEFINE_integer("groups", 4, "Reconstructions that are asked for at once; a study keeps its number.")
SEED = flags.DEFINE_integer("seed", 0, "Of the search.")
MINUTES = flags.DEFINE_float("timeout_minutes", 0.0, "No trial begins after so many minutes; 0: no limit.")
STORAGE = flags.DEFINE_string("storage", "", "URL of the study's database; empty: sqlite:///WORKDIR/search.db.")


def main(config: Settings, workdir: Path) -> None:
    how = Search(
        OVER.value or method_of(config).searched,
        TRIALS.value,
        SCORES.value,
        GROUPS.value,
        SEED.value,
        MINUTES.value,
        STORAGE.value,
    )
    said = flags.FLAGS["config"]
    evaluate = kept_point_command(get_config_filename(said), get_override_values(said), workdir)
    run_search(config, workdir, how, track=entry.trackers(), evaluate=evaluate)


if __name__ == "__main__":
    entry.run_experiment(main)
