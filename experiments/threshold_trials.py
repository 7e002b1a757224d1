"""False-alarm rates of every threshold rule over random calibrations: ``python -m experiments.threshold_trials
--scores=RUN/scores.csv``.

--scores names files of one model, separated by commas: the good rows of a scores.csv, the held-out scores of a
calibration.json. Each trial calibrates on ``--calibration`` of them (0: half) and judges the others. Prints a table and
writes it with ``--json=FILE``; nothing is read of a defective picture.
"""

import json
from pathlib import Path

from absl import flags

from ddad_jax.engine.store.tables import format_table, plain, write_text
from ddad_jax.engine.studies.thresholds import normal_scores, trials
from ddad_jax.errors import InputError
from experiments import entry

SCORES = flags.DEFINE_list("scores", None, "scores.csv and calibration.json of one run, or CSV files of normal scores.")
ALPHA = flags.DEFINE_float("alpha", 0.05, "False-alarm rate asked of the conformal rules.")
DELTA = flags.DEFINE_float("delta", 0.05, "conformal_pac: probability of calibration pictures that break it.")
P = flags.DEFINE_float("p", 0.99, "quantile")
K = flags.DEFINE_float("k", 3.0, "sigma")
CALIBRATION = flags.DEFINE_integer("calibration", 0, "Pictures a trial calibrates on; 0: half.", lower_bound=0)
SPLITS = flags.DEFINE_integer("splits", 1000, "Trials.", lower_bound=2)
SEED = flags.DEFINE_integer("seed", 0, "Of the draws.", lower_bound=0)
JSON = flags.DEFINE_string("json", "", "Also write the rows to this file.")
COLUMNS = (
    "rule", "n", "new", "threshold", "mean_rate", "expected", "low", "high", "at_most", "unlucky", "unlucky_splits",
    "keeps",
)  # fmt: skip


def main() -> None:
    for name, value in (("alpha", ALPHA.value), ("delta", DELTA.value), ("p", P.value)):
        if not 0 < value < 1:
            raise InputError(f"--{name}={value}: expected a share between 0 and 1")
    scores = normal_scores([Path(path) for path in SCORES.value or ()])
    n = CALIBRATION.value or scores.size // 2
    how = {"level": ALPHA.value, "delta": DELTA.value, "p": P.value, "k": K.value}
    rows = trials(scores, splits=SPLITS.value, seed=SEED.value, n=n, **how)
    print(f"{scores.size} normal scores, {SPLITS.value} trials that calibrate on {n} and judge {scores.size - n}")
    print(format_table(rows, COLUMNS))
    for row in rows:
        if row["warning"]:
            print(f"{row['rule']}: {row['warning']}")
    if JSON.value:
        write_text(JSON.value, json.dumps(plain(rows), indent=1), flag="--json")


if __name__ == "__main__":
    entry.run_without_config(main, required=["scores"])
