"""How long things take: ``python -m experiments.benchmark --config=... --what=detector,metrics,sweep``.

Compilation is timed apart, every repetition waits for its result, medians are reported. Weights are random:
time does not depend on them. Prints a table and, with ``--json=FILE``, writes the figures with the environment
they were measured in.

* detector: reconstruction, features, distances, map and score of the config's selected point, for each of
  ``--batch_sizes``.
* metrics: exact AUPRO of 100 maps of 256 x 256.
* sweep: the whole of a 300-point grid (60 reconstructions of a test set) against the 60 reconstructions alone.
"""

import json
import tempfile
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from ml_collections import ConfigDict

from ddad_jax.data.cans import cans
from ddad_jax.metrics import time_aupro
from ddad_jax.points import time_grid
from ddad_jax.score import combine
from ddad_jax.sweep import Distances, PairProgram, blurred, pair_input, sweep_distances
from ddad_jax.weights import random_backbone
from experiments import entry, sweeping
from experiments.model import build_unet, init_params, split
from experiments.plan import plan
from experiments.tables import format_table, write_text
from experiments.workdir import environment

WHAT = flags.DEFINE_list("what", ["detector", "metrics"], "Which of detector, metrics, sweep to time.")
BATCHES = flags.DEFINE_list("batch_sizes", ["4"], "Images in one call of the detector.")
flags.register_validator("what", lambda v: v and {*v} <= {"detector", "metrics", "sweep"}, "detector, metrics or sweep")
flags.register_validator("batch_sizes", lambda v: all(b.isdigit() and int(b) for b in v), "whole numbers above 0")
REPEATS = flags.DEFINE_integer("repeats", 5, "Counted repetitions.", lower_bound=1)
JSON = flags.DEFINE_string("json", "", "Also write the figures to this file.")


def time_detector(c: ConfigDict, batch: int, repeats: int) -> dict[str, Any]:
    """Milliseconds an image of reconstruction + features + distances at the selected point."""
    unet = build_unet(c)
    params = init_params(unet, 0)
    point = plan(c, sweep=False).recon[0]
    program = _program(c, params)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (batch, c.data.size, c.data.size, 3), np.uint8)
    pairs = pair_input([point] * batch, [time_grid(point)] * batch, images, np.arange(batch, dtype=np.uint32))
    started = time.perf_counter()
    run: Any = program.compiled(pairs, point.solver)
    compile_s = time.perf_counter() - started

    def detect() -> np.ndarray:
        _, pixel, layers = run(pairs)
        kept = Distances(None, np.asarray(pixel), {k: np.asarray(d) for k, d in layers.items()}, np.zeros(batch))
        d_p, d_f = blurred(kept, tuple(c.score.layers), c.score.sigma * c.data.size / 256.0, batch=batch)
        return combine(d_p, d_f, v=c.score.v, ratio=1.0).max((1, 2))

    detect()
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        detect()
        times.append((time.perf_counter() - started) / batch)
    cost = jax.jit(unet.apply).lower({"params": params}, jnp.zeros((1, c.data.size, c.data.size, 3)), jnp.zeros(1, int))
    flops = (cost.compile().cost_analysis() or {}).get("flops", float("nan"))
    return {
        "what": f"{c.data.size} px, base {c.model.base}, {c.backbone.name}",
        "batch": batch,
        "dtype": c.model.dtype,
        "unet_calls": point.calls,
        "ms_per_image": 1e3 * float(np.median(times)),
        "p95_ms": 1e3 * float(np.quantile(times, 0.95)),
        "compile_s": compile_s,
        "unet_gmac": flops / 2e9,
        "parameters": sum(int(np.size(p)) for p in jax.tree.leaves(params)),
    }


def time_sweep(c: ConfigDict) -> dict[str, Any]:
    """Seconds of w(5) x T'(3) x steps(2) x eta(2) x v(5) = 300 points, against their 60 reconstructions alone."""
    with c.unlocked():
        c.sweep.update(w=(0.0, 1.0, 2.0, 3.0, 5.0), t_prime=(100, 150, 250), steps=(2, 5), eta=(0.0, 1.0))
        c.sweep.update(v=(0.0, 0.5, 1.0, 2.0, 4.0), layers=(), sigma=())
        c.sample.update(w=3.0, t_prime=250, steps=5, eta=1.0)
        c.score.update(v=1.0)
    data = split(c, cans(c.data.size, n_train=60, n_test_good=20, n_defect=20))
    params = init_params(build_unet(c), 0)
    todo = plan(c, sweep=True)
    images = np.concatenate([data.calibration.images, data.test.images])
    program = _program(c, params)
    spent = 0.0
    # The first pass compiles, outside the time it reports; the whole sweep then finds everything compiled.
    for _, distances in sweep_distances(
        program, images, todo.recon, chunk=c.sample.batch_size, timer=time.perf_counter
    ):
        spent += float(distances.seconds.sum())
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        rows = sweeping.run(c, Path(folder), data, program, 0, todo)
        whole = time.perf_counter() - started
    return {
        "what": f"sweep, {c.data.size} px, {len(images)} images",
        "points": len(rows),
        "reconstructions": len(todo.recon),
        "compilations": program.compilations,
        "ratio": whole / spent,
        "reconstructions_s": spent,
        "sweep_s": whole,
    }


def _program(c: ConfigDict, params: Any) -> PairProgram:
    return sweeping.program_of(c, params, random_backbone(c.backbone.name, jax.random.key(0)))


def main(config: ConfigDict, workdir: Path) -> None:
    del workdir
    rows: list[dict[str, Any]] = []
    if "detector" in WHAT.value:
        rows += [time_detector(config, int(batch), REPEATS.value) for batch in BATCHES.value]
    if "metrics" in WHAT.value:
        times = time_aupro()
        rows.append({"what": "AUPRO, 100 maps of 256 x 256", "seconds": times.aupro})
    if "sweep" in WHAT.value:
        rows.append(time_sweep(config))
    for row in rows:
        print(format_table([row], list(row)) + "\n")
    if JSON.value:
        write_text(JSON.value, json.dumps({"environment": environment(), "rows": rows}, indent=1))


if __name__ == "__main__":
    flags.FLAGS.set_default("workdir", ".")
    entry.run(main)
