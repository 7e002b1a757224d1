"""How long things take: ``python -m experiments.benchmark --config=... --what=detector,metrics,sweep,train``.

Compilation is timed apart, every repetition waits for its result, medians are reported. Weights are random:
time does not depend on them. Prints a table for each and, with ``--json=FILE``, writes the figures with the
environment they were measured in.

* detector: reconstruction, features, distances, map and score of the config's point, for each of
  ``--batch_sizes``, from pictures on the host to maps and scores there. ``--against`` names a second setting
  ("sample.steps=3 sample.solver=dpm2m") that takes turns with the first in the same process; the row then says how
  many times faster it is. ``share_of_peak``: of matrix products in the types it computes in.
* profile: where the time of one picture goes, piece by piece; with ``--json`` also as a figure beside that file.
* drift: what bfloat16 does to the maps and scores of a trained run, ``--workdir=RUN``; nothing random there.
* unet: one call of the noise predictor, and the share it reaches of the device's measured matrix-product peak.
* train: one update of the noise predictor at ``train.batch_size``.
* metrics: exact AUPRO of 100 maps of 256 x 256.
* sweep: a 300-point grid (60 reconstructions of a test set) against the time those 60 take in it.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl import flags

from ddad_jax.engine.cost.benchmarks import against, time_detector, time_sweep, time_unet
from ddad_jax.engine.cost.drift import DRIFT_COLUMNS, drift
from ddad_jax.engine.cost.profile_figure import profile_figure
from ddad_jax.engine.cost.profiling import COLUMNS, profile_run
from ddad_jax.engine.cost.untrained import time_train
from ddad_jax.engine.methods.ddad.sections import DDADSettings
from ddad_jax.engine.methods.table import require_method
from ddad_jax.engine.store.tables import format_table, plain, require_writable, write_text
from ddad_jax.engine.workdir import environment
from ddad_jax.metrics import time_aupro
from experiments import entry

KINDS = ("detector", "profile", "unet", "drift", "train", "metrics", "sweep")
WHAT = flags.DEFINE_list("what", ["detector", "metrics"], f"Which of {', '.join(KINDS)} to time.")
BATCHES = flags.DEFINE_list("batch_sizes", ["4"], "Images in one call of the detector.")
AGAINST = flags.DEFINE_string("against", "", "Settings of a second detector, as name=value separated by spaces.")
flags.register_validator("what", lambda v: v and {*v} <= {*KINDS}, f"one or more of {', '.join(KINDS)}")
flags.register_validator(
    "batch_sizes", lambda v: v and all(b.isdecimal() and int(b) for b in v), "one or more whole numbers above 0"
)
REPEATS = flags.DEFINE_integer("repeats", 5, "Counted repetitions.", lower_bound=1)
JSON = flags.DEFINE_string("json", "", "Also write the figures to this file.")


def main(config: DDADSettings, workdir: Path) -> None:
    require_method(config, "ddad", "experiments.benchmark")
    if JSON.value:
        require_writable(JSON.value, "--json")
    tables: list[tuple[list[dict[str, Any]], Sequence[str]]] = []

    def add(*rows: dict[str, Any]) -> None:
        tables.extend(([row], list(row)) for row in rows)

    other = against(config, AGAINST.value) if AGAINST.value else None
    for batch in map(int, BATCHES.value):
        if "detector" in WHAT.value:
            add(*time_detector(config, other, batch, REPEATS.value, workdir))
        if "profile" in WHAT.value:
            tables.append((profile_run(config, batch, REPEATS.value, workdir), COLUMNS))
        if "unet" in WHAT.value:
            add(time_unet(config.model, config.data.size, batch, REPEATS.value))
    if "drift" in WHAT.value:
        tables.append((drift(config, workdir, REPEATS.value), DRIFT_COLUMNS))
    if "train" in WHAT.value:
        add(time_train(config.model, config.train, config.data.size, REPEATS.value))
    if "metrics" in WHAT.value:
        add({"what": "AUPRO, 100 maps of 256 x 256", "seconds": time_aupro().aupro})
    if "sweep" in WHAT.value:
        add(time_sweep(config))
    for rows, columns in tables:
        print((f"{rows[0]['what']}, batch {rows[0]['batch']}\n" if len(rows) > 1 else "") + format_table(rows, columns))
        print()
    if JSON.value:
        found = [row for rows, _ in tables for row in rows]
        said = plain({"environment": environment(), "rows": found})
        write_text(JSON.value, json.dumps(said, indent=1), flag="--json")
        for rows in (rows for rows, columns in tables if columns is COLUMNS):
            name = f"{Path(JSON.value).stem}_profile_{rows[0]['batch']}.png"
            print(f"figure: {profile_figure(rows, Path(JSON.value).with_name(name))}")


if __name__ == "__main__":
    flags.FLAGS.set_default("workdir", ".")
    entry.run_experiment(main)
