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

import ast
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from ml_collections import ConfigDict

from ddad_jax.data.cans import cans
from ddad_jax.errors import InputError
from ddad_jax.metrics import time_aupro
from ddad_jax.points import ReconPoint
from ddad_jax.sweep import sweep_distances
from experiments import entry, sweeping
from experiments.config import adaptation_grid
from experiments.config_check import check
from experiments.drift import DRIFT_COLUMNS, drift
from experiments.figures.profile import profile_figure
from experiments.macs import counted
from experiments.model import build_unet, init_params, split
from experiments.plan import plan
from experiments.profiling import COLUMNS, profile
from experiments.tables import format_table, plain, require_writable, write_text
from experiments.timing import matmul_peak, peak_memory, ratio_of, repeated, timed
from experiments.untrained import parameters, random_program, time_train, untrained
from experiments.workdir import environment

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


def changed(c: ConfigDict, settings: str) -> ConfigDict:
    """A copy of ``c`` with "name=value name=value" applied, checked.

    Raises:
      InputError: no such setting, or a value it cannot take.
    """
    other = ConfigDict(c.to_dict())
    for part in settings.split():
        name, found, value = part.partition("=")
        section, _, key = name.rpartition(".")
        holder = other.get(section, other)
        if not found or not isinstance(holder, ConfigDict) or isinstance(holder.get(key), (ConfigDict, type(None))):
            raise InputError(f"--against={part}: expected name=value with a name of experiments/config.py")
        try:
            new = value if isinstance(holder[key], str) else ast.literal_eval(value)
            if new is None:  # which a ConfigDict would take for anything
                raise ValueError
            holder[key] = new
        except (TypeError, ValueError, SyntaxError) as error:
            raise InputError(f"--against={part}: {holder[key]!r} cannot become {value!r}") from error
    plan(check(other), sweep=False)
    return other


def time_detector(
    c: ConfigDict, other: ConfigDict | None, batch: int, repeats: int, workdir: Path = Path()
) -> list[dict[str, Any]]:
    """Milliseconds an image of the whole detector; with ``other``, both in turns and their ratio."""
    made = [untrained(settings, batch, workdir) for settings in ([c, other] if other else [c])]
    seconds = repeated([one.detect for one in made], repeats)
    memory = peak_memory()  # before there are the large matrices of the peak
    peaks = {dtype: matmul_peak(jnp.dtype(dtype)) for dtype in sorted({*made[0].macs, *made[-1].macs})}
    rows = []
    for one, own in zip(made, seconds, strict=True):
        spent = timed(own)
        figures = {"ms_per_image": 1e3 * spent.median / batch, "p95_ms": 1e3 * spent.p95 / batch}
        figures |= {"images_per_s": batch / spent.median, "share_of_peak": one.at_peak(peaks) / spent.median}
        rows.append({**one.known, **figures, **memory})
    if other:
        rows[1]["times_faster"] = ratio_of(*seconds).median
    return rows


def time_unet(c: ConfigDict, batch: int, repeats: int) -> dict[str, Any]:
    """One call of the noise predictor: milliseconds, multiply-adds, and their rate against a matrix product's."""
    unet = build_unet(c)
    params = init_params(unet, 0)
    x, t = jnp.zeros((batch, c.data.size, c.data.size, 3)), jnp.full(batch, 100)
    started = time.perf_counter()
    run = jax.jit(unet.apply).lower({"params": params}, x, t).compile()
    compile_s = time.perf_counter() - started
    (seconds,) = repeated([lambda: run({"params": params}, x, t)], repeats)
    spent, macs = timed(seconds), sum(counted(unet.apply, {"params": params}, x, t).values()) / batch
    memory, peak = peak_memory(), matmul_peak(jnp.dtype(c.model.dtype))
    return {
        "what": f"U-Net, {c.data.size} px, base {c.model.base}",
        "batch": batch,
        "dtype": c.model.dtype,
        "ms_per_image": 1e3 * spent.median / batch,
        "p95_ms": 1e3 * spent.p95 / batch,
        "compile_s": compile_s,
        "parameters": parameters(params),
        "gmac_per_image": macs / 1e9,
        "gmac_per_s": macs * batch / spent.median / 1e9,
        "matmul_peak_gmac_per_s": peak / 1e9,
        "share_of_peak": macs * batch / spent.median / peak,
        **memory,
    }


def time_sweep(c: ConfigDict) -> dict[str, Any]:
    """Seconds of w(5) x T'(3) x steps(2) x eta(2) x v(5) = 300 points, against their 60 reconstructions alone, with
    the networks, sizes, start and score of ``c``."""
    c = ConfigDict(c.to_dict())
    c.select, c.teacher = "", 0
    c.sweep.update({name: () for name in c.sweep if name not in ("parts", "seed")}, seed=c.sweep.seed[:1])
    c.sweep.parts = ConfigDict()
    c.sweep.update(w=(0.0, 1.0, 2.0, 3.0, 5.0), t_prime=(100, 150, 250), steps=(2, 5), eta=(0.0, 1.0))
    c.sweep.update(v=(0.0, 0.5, 1.0, 2.0, 4.0))
    # The warm-up knows of no first pass, and there is no model that times could be found for.
    c.sample.update(w=3.0, t_prime=250, steps=5, eta=1.0, solver="ddim", model="teacher", rise=0.0, reuse=1)
    c.sample.update(grid=adaptation_grid(c.sample.grid))
    c.score.update(v=1.0)
    data = split(c, cans(c.data.size, n_train=60, n_test_good=20, n_defect=20))
    params = init_params(build_unet(c), 0)
    todo = plan(c, sweep=True)
    images = np.concatenate([data.calibration.images, data.test.images])
    program = random_program(c, params)
    # One point of each compilation, so that the sweep itself finds everything compiled.
    first = list({(p.solver, p.steps): p for p in todo.recon}.values())
    for _ in sweep_distances(program, images, first, chunk=c.sample.batch_size, timer=time.perf_counter):
        pass
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        rows = sweeping.run(c, Path(folder), data, program, 0, todo)
        whole = time.perf_counter() - started
    # Each reconstruction's own time, measured in that same pass: a machine that is busy for a while slows both.
    spent = sum({row_point(row): row["ms_per_image"] for row in rows}.values()) * len(images) / 1e3
    return {
        "what": f"sweep, {c.data.size} px, {len(images)} images",
        "points": len(rows),
        "reconstructions": len(todo.recon),
        "compilations": program.compilations,
        "ratio": whole / spent,
        "reconstructions_s": spent,
        "sweep_s": whole,
        **peak_memory(),
    }


def row_point(row: dict[str, Any]) -> tuple:
    """The reconstruction that a row is of."""
    return tuple(row[name] for name in ReconPoint._fields)


def main(config: ConfigDict, workdir: Path) -> None:
    if JSON.value:
        require_writable(JSON.value, "--json")
    tables: list[tuple[list[dict[str, Any]], Sequence[str]]] = []

    def add(*rows: dict[str, Any]) -> None:
        tables.extend(([row], list(row)) for row in rows)

    other = changed(config, AGAINST.value) if AGAINST.value else None
    for batch in map(int, BATCHES.value):
        if "detector" in WHAT.value:
            add(*time_detector(config, other, batch, REPEATS.value, workdir))
        if "profile" in WHAT.value:
            tables.append((profile(config, batch, REPEATS.value, workdir), COLUMNS))
        if "unet" in WHAT.value:
            add(time_unet(config, batch, REPEATS.value))
    if "drift" in WHAT.value:
        tables.append((drift(config, workdir, REPEATS.value), DRIFT_COLUMNS))
    if "train" in WHAT.value:
        add(time_train(config, REPEATS.value))
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
    entry.run(main)
