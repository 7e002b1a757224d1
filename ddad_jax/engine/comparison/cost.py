"""What the detector of a finished run costs: milliseconds, multiply-adds, memory, size and energy, whatever the method.

Measured in a process of its own, so that the peak of its memory is its own.
"""

import json
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ddad_jax.detector import Detector
from ddad_jax.engine.comparison.energy import EnergyMeter
from ddad_jax.engine.comparison.plan import ComparedRun, Power
from ddad_jax.engine.comparison.running import identity_of
from ddad_jax.engine.cost.macs import by_dtype, of_detector
from ddad_jax.engine.cost.memory import tree_bytes
from ddad_jax.engine.cost.timing import peak_memory, time_in_turns, timed
from ddad_jax.engine.data.data_sets import picture_size
from ddad_jax.engine.detector.frames import FrameDetector
from ddad_jax.engine.detector.load import read_detector_parts
from ddad_jax.engine.store.tables import plain, write_text

BATCHES = (1, 8)
LEAST, MOST, LONGEST_S = 5, 50, 4.0
"""Repetitions of a timing: as many of these as fit into so many seconds."""


def write_costs(run: ComparedRun, power: Power, pictures: int) -> None:
    """SEED.cost.json beside the workdir.

    Raises:
      InputError: as ``read_detector_parts``: no finished run.
    """
    settings = read_detector_parts(run.workdir).config
    found = {"settings": identity_of(settings), **detector_costs(run.workdir, power, pictures)}
    write_text(run.beside(".cost.json"), json.dumps(plain(found), indent=1))


def detector_costs(workdir: Path, power: Power, pictures: int) -> dict[str, Any]:
    """A row of costs.

    ms_1, ms_8: of a frame of the run's size until its verdict, median, in calls of 1 and of 8 frames; p95_ms_1.
    compile_s: of the program for one frame. gmac: 10^9 multiply-adds of convolutions and matrix products of a frame,
    counted in the traced program, loops as often as they run; xla_gmac: half of the operations that XLA counts in the
    program before it is optimised, which has a loop's body once. parameters, model_mib: numbers in the arrays that a
    verdict needs, a memory of features included, and their MiB, as an export carries them. judge_peak_gib: resident in
    this process by then, compilation included; device_peak_gib: of the accelerator. judge_kwh: of ``pictures`` frames
    in calls of 8.
    """
    run = read_detector_parts(workdir)
    found: dict[str, Any] = {"device": jax.devices()[0].device_kind}
    accelerator = jax.default_backend() != "cpu"
    for batch in BATCHES:
        detector = FrameDetector(run, batch=batch)
        started = time.perf_counter()
        detector.warm()
        compile_s = time.perf_counter() - started
        frames = [_frame(detector, i) for i in range(batch)]
        call = lambda detector=detector, frames=frames: detector(frames)  # noqa: E731
        (first,) = time_in_turns([call], 1)
        repeats = min(max(round(LONGEST_S / first[0]), LEAST), MOST)
        meter, began, busy = EnergyMeter(power), time.perf_counter(), time.process_time()
        (seconds,) = time_in_turns([call], repeats)
        used = meter.read(
            cpu_seconds=time.process_time() - busy, seconds=time.perf_counter() - began, accelerator=accelerator
        )
        spent, judged = timed(seconds), batch * (repeats + 1)  # with the one that warms up
        found |= {f"ms_{batch}": 1e3 * spent.median / batch, f"p95_ms_{batch}": 1e3 * spent.p95 / batch}
        found |= {"judge_kwh": used.kwh * pictures / judged, "energy": used.how, "pictures": pictures}
        if batch == 1:
            found |= {"compile_s": compile_s, **_counted(detector)}
    memory = peak_memory()
    found["judge_peak_gib"] = memory["host_gib_so_far"]
    if "device_gib_so_far" in memory:
        found["device_peak_gib"] = memory["device_gib_so_far"]
    return found


def _frame(detector: FrameDetector, seed: int) -> np.ndarray:
    """What takes as long as a picture of the station: its reference, where frames are brought onto one."""
    if (reference := detector.run.constants.reference) is not None:
        return reference
    height, width = picture_size(detector.run.config.data)
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def _counted(detector: FrameDetector) -> dict[str, Any]:
    program = detector.detector
    tiles = 1 if detector.tiling is None else len(detector.tiling.rows) * len(detector.tiling.columns)
    shape = (1, detector.size, detector.size)
    watched = None if not detector.run.point.masks else np.ones(shape, bool)
    inputs = program.place(np.zeros((*shape, 3), np.uint8), watched=watched)
    if isinstance(program, Detector):
        macs = of_detector(program, inputs)
    else:
        macs = by_dtype(program.function, program.weights, inputs, program.constants)
    said: Any = program.lowered(inputs).cost_analysis() or {}
    arrays = (program.weights, program.constants)
    return {
        "gmac": tiles * macs.total() / 1e9,
        "xla_gmac": tiles * said.get("flops", float("nan")) / 2e9,
        "parameters": sum(int(np.size(leaf)) for leaf in jax.tree.leaves(arrays)),
        "model_mib": tree_bytes(arrays) / 2**20,
    }
