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
* sweep: a 300-point grid (60 reconstructions of a test set) against the time those 60 take in it, and the share of
  its time in which the device waits.
* accelerator: all of this for DDAD and DDAD-S at ``--batch_sizes``, with features of ``--timed_backbone``, then runs on
  Magnetic Tiles (a config of these, and their ``--config.data.root``), in at most ``--minutes``. What is measured is
  written to ``--json`` at once, as tables beside it (.md), and what no time was left for is named; the same command
  measures that and no more. It stands alone:
  ``launch/measure_accelerator.sh`` calls it on a bare machine.
* published: a call, an update and DDAD-10 in turns with the published method in PyTorch, which is an extra:
  ``pip install '.[torch]'``; the config's backbone must be a ResNet, its weights are random.
"""

import json
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import flags

from ddad_jax.data.json_file import parsed
from ddad_jax.engine.cost import accelerator
from ddad_jax.engine.cost.benchmarks import against, time_detector, time_sweep, time_unet
from ddad_jax.engine.cost.drift import DRIFT_COLUMNS, drift
from ddad_jax.engine.cost.profile_figure import profile_figure
from ddad_jax.engine.cost.profiling import COLUMNS, profile_run
from ddad_jax.engine.cost.time_limit import Outcome, measured_within, outcomes_text
from ddad_jax.engine.cost.untrained import time_train
from ddad_jax.engine.methods.ddad.sections import DDADSettings
from ddad_jax.engine.methods.table import require_method
from ddad_jax.engine.store.tables import format_table, plain, require_writable, write_text
from ddad_jax.engine.workdir import environment
from ddad_jax.errors import InputError
from ddad_jax.metrics import time_aupro
from experiments import entry

log = logging.getLogger("experiments.benchmark")  # which is __main__ when it runs

KINDS = ("detector", "profile", "unet", "drift", "train", "metrics", "sweep", "accelerator", "published")
WHAT = flags.DEFINE_list("what", ["detector", "metrics"], f"Which of {', '.join(KINDS)} to time.")
BATCHES = flags.DEFINE_list("batch_sizes", ["4"], "Images in one call of the detector.")
AGAINST = flags.DEFINE_string("against", "", "Settings of a second detector, as name=value separated by spaces.")
flags.register_validator("what", lambda v: v and {*v} <= {*KINDS}, f"one or more of {', '.join(KINDS)}")
flags.register_validator(
    "batch_sizes", lambda v: v and all(b.isdecimal() and int(b) for b in v), "one or more whole numbers above 0"
)
REPEATS = flags.DEFINE_integer("repeats", 5, "Counted repetitions.", lower_bound=1)
MINUTES = flags.DEFINE_float("minutes", 8.0, "At most so long may --what=accelerator take.", lower_bound=0.01)
PIECES = flags.DEFINE_list("pieces", list(accelerator.COLUMNS_OF), "Which of them --what=accelerator measures.")
BACKBONE = flags.DEFINE_string(
    "timed_backbone", accelerator.Sizes().backbone, "Of its detectors; its weights are random."
)
STEPS = flags.DEFINE_integer("timed_steps", accelerator.Sizes().steps, "Of its trainings.", lower_bound=1)
PICTURES = flags.DEFINE_integer("swept_pictures", accelerator.Sizes().pictures, "Of its sweep.", lower_bound=16)
JSON = flags.DEFINE_string("json", "", "Also write the figures to this file.")


def main(config: DDADSettings, workdir: Path) -> None:
    require_method(config, "ddad", "experiments.benchmark")
    if JSON.value:
        require_writable(JSON.value, "--json")
    if "accelerator" in WHAT.value:
        measure_accelerator(config, workdir)
        return
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
        if "published" in WHAT.value:
            rows = []
            for row in _published(config, batch):
                log.info("%s: %.2f times PyTorch's time", row["what"], row["ratio"])
                rows.append(row)
            tables.append((rows, list(rows[0])))
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


def _published(c: DDADSettings, batch: int) -> Iterator[dict[str, Any]]:
    try:
        from experiments.published.against import time_published
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise InputError("--what=published: PyTorch is missing; install it by pip install '.[torch]'") from None
    return time_published(c, batch, REPEATS.value)


def measure_accelerator(c: DDADSettings, workdir: Path) -> None:
    if WHAT.value != ["accelerator"] or not JSON.value:
        raise InputError(
            f"--what={','.join(WHAT.value)} --json={JSON.value}: accelerator needs --json and stands alone"
        )
    batches = [int(batch) for batch in BATCHES.value]
    sizes = accelerator.Sizes(
        networks=accelerator.NETWORKS,
        backbone=BACKBONE.value,
        batches=batches,
        steps=STEPS.value,
        pictures=PICTURES.value,
        repeats=REPEATS.value,
    )
    todo = accelerator.accelerator_measurements(c, workdir, sizes, PIECES.value)
    here, path = environment(), Path(JSON.value)
    columns = {piece: (*names, *accelerator.MEMORY) for piece, names in accelerator.COLUMNS_OF.items()}
    done = _measured_before(path, here)

    def write(found: list[Outcome]) -> None:
        told = {"environment": here, "minutes": MINUTES.value, "finished": found[-1].name == todo[-1].name}
        write_text(path, json.dumps(plain({**told, "measurements": found}), indent=1), flag="--json")
        title = f"{here['device']}, JAX {here['versions']['jax']}"
        write_text(path.with_suffix(".md"), outcomes_text(title, found, columns), flag="--json")

    found = measured_within(60.0 * MINUTES.value, todo, write, done)
    print(outcomes_text(here["device"], found, columns), end="", flush=True)
    if any(one.why.startswith("its time") for one in found):
        # A device may still compute what was cut off, which must not be torn down under it.
        os._exit(0)


def _measured_before(path: Path, here: Mapping[str, Any]) -> dict[str, Outcome]:
    """What an earlier run into the same file has measured.

    Raises:
      InputError: it was another program's, or on another device.
    """
    if not path.exists():
        return {}
    try:
        said = parsed(path.read_bytes(), constants=True)
        measured = [Outcome(**one) for one in said["measurements"]]
        differing = [name for name in ("device", "commit", "versions") if said["environment"][name] != here[name]]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InputError(f"--json={path}: is there, and no file of this program ({error}); name another") from None
    if differing:
        raise InputError(f"--json={path}: its figures are of another {' and '.join(differing)}; name another file")
    return {one.name: one for one in measured if one.row}


if __name__ == "__main__":
    flags.FLAGS.set_default("workdir", ".")
    entry.run_experiment(main)
