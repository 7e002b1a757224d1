"""Do thresholds keep their false-alarm rate? ``python -m experiments.threshold_trials``, ``--scores=RUN/scores.csv``.

Without --scores the chain of a run is drawn ``--draws`` times: scores of many points, synthetic defects, a choice of a
point, its threshold, and what that does to new normal pictures. Each case has three rows: no point is chosen ("fixed"),
the pictures that choose also give the threshold ("same"), and others give it ("disjoint", as in a run). rate +- error
stands beside what the rule's rank promises (at_most).

With --scores the normal scores of one model are split again and again instead: files, separated by commas, of which the
good rows of a scores.csv or the held-out scores of a calibration.json are taken. Each trial calibrates on
``--calibration`` of them (0: half) and judges the others. Such splits are exchangeable by construction: they check the
ranks of the rules, and say nothing of a point that was chosen. Nothing is read of a defective picture.

Prints a table and writes it with ``--json=FILE``.
"""

import json
from pathlib import Path
from typing import Any

from absl import flags

from ddad_jax.engine.store.tables import format_table, plain, write_text
from ddad_jax.engine.studies.chain import Chain, chains
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
DRAWS = flags.DEFINE_integer("draws", 2000, "Of the chain, for each case.", lower_bound=2)
HELD_OUT = flags.DEFINE_list("held_out", ["32", "114"], "Held-out pictures of the chain.")
CORRELATION = flags.DEFINE_list("correlation", ["0.7", "0.9"], "Of two points' scores of a picture, in the chain.")
POINTS = flags.DEFINE_integer("points", Chain().points, "Of the sweep, in the chain.", lower_bound=1)
NORMALS = flags.DEFINE_integer("normals", 0, "That choose, with training pictures; 0: held-out alone.", lower_bound=0)
DIFFER = flags.DEFINE_float("differ", 0.0, "How much points differ in what they find; 0: any choice is of luck.")
TUNING = flags.DEFINE_float("tuning", Chain().tuning, "Share of the held-out pictures that choose, as data.tuning.")
SEED = flags.DEFINE_integer("seed", 0, "Of the draws.", lower_bound=0)
JSON = flags.DEFINE_string("json", "", "Also write the rows to this file.")
COLUMNS = (
    "rule", "n", "new", "threshold", "mean_rate", "expected", "low", "high", "at_most", "unlucky", "unlucky_splits",
    "keeps",
)  # fmt: skip
OF_CHAIN = (
    "held_out", "correlation", "way", "chose", "calibrate", "at_most", "rate", "error", "keeps", "auroc", "best",
    "detected",
)  # fmt: skip


def main() -> None:
    for name, value in (("alpha", ALPHA.value), ("delta", DELTA.value), ("p", P.value)):
        if not 0 < value < 1:
            raise InputError(f"--{name}={value}: expected a share between 0 and 1")
    rows = _of_chain() if SCORES.value is None else _of_scores()
    if JSON.value:
        write_text(JSON.value, json.dumps(plain(rows), indent=1), flag="--json")


def _of_chain() -> list[dict[str, Any]]:
    each = [
        Chain(
            held_out=n, points=POINTS.value, correlation=rho, normals=NORMALS.value, differ=DIFFER.value,
            level=ALPHA.value, tuning=TUNING.value,
        )
        for n in _numbers("held_out", int, HELD_OUT.value)
        for rho in _numbers("correlation", float, CORRELATION.value)
    ]  # fmt: skip
    rows = chains(each, draws=DRAWS.value, seed=SEED.value)
    print(f"conformal at {ALPHA.value:g}, {POINTS.value} points, {DRAWS.value} draws of the whole chain for each case")
    print(format_table(rows, OF_CHAIN))
    return rows


def _of_scores() -> list[dict[str, Any]]:
    scores = normal_scores([Path(path) for path in SCORES.value or ()])
    n = CALIBRATION.value or scores.size // 2
    how = {"level": ALPHA.value, "delta": DELTA.value, "p": P.value, "k": K.value}
    rows = trials(scores, splits=SPLITS.value, seed=SEED.value, n=n, **how)
    print(f"{scores.size} normal scores, {SPLITS.value} trials that calibrate on {n} and judge {scores.size - n}")
    print(format_table(rows, COLUMNS))
    for row in rows:
        if row["warning"]:
            print(f"{row['rule']}: {row['warning']}")
    return rows


def _numbers(flag: str, kind: type[Any], texts: list[str]) -> list[Any]:
    try:
        return [kind(text) for text in texts]
    except ValueError:
        raise InputError(f"--{flag}={','.join(texts)}: expected numbers, separated by commas") from None


if __name__ == "__main__":
    entry.run_without_config(main)
