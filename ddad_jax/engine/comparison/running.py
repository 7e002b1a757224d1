"""The runs of a comparison, each stage of each a process of its own, timed and metered.

A process that fails, or is killed for its memory, costs no other run: it is noted and the next one begins. Beside the
workdir of a run: SEED.jsonl, a line for each process that ended; SEED.STAGE.log, what they printed;
SEED.cost.json (``cost``).
"""

import hashlib
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ddad_jax.engine.comparison.energy import EnergyMeter
from ddad_jax.engine.comparison.plan import ComparedRun, Power
from ddad_jax.engine.settings.sections import Settings
from ddad_jax.engine.store import kept
from ddad_jax.engine.store.tables import append_jsonl, read_jsonl
from ddad_jax.engine.workdir import saved_config
from ddad_jax.errors import InputError, first_line

log = logging.getLogger(__name__)

LEARNS = "fit"
STAGES = {LEARNS: ("--models_only",), "judge": ()}
"""Of a run, in their order, with the flags of each."""
COST = "cost"
"""Stage of the process that measures what the detector costs."""


class EndedProcess(NamedTuple):
    """status: 0 for success, below 0 the signal that ended it. cpu_seconds: of its threads and of what it started.
    peak_gib: the most that it held resident."""

    status: int
    seconds: float
    cpu_seconds: float
    peak_gib: float


def make_runs(
    runs: Sequence[ComparedRun],
    settings_of: Callable[[ComparedRun], Settings],
    power: Power,
    cost_command: Callable[[ComparedRun], list[str]],
    *,
    seed_of_costs: int,
) -> None:
    """Make what is missing of each run, and measure the costs of those of one seed.

    Args:
      settings_of: of a run, checked. cost_command: flags of the interpreter for a process that writes SEED.cost.json.
      seed_of_costs: costs depend on no seed, so those of one are measured.
    """
    for i, run in enumerate(runs, start=1):
        where = f"[{i} of {len(runs)}] {run.name}"
        settings = settings_of(run)
        if is_finished(run, settings):
            log.info("%s: there already", where)
        elif not _make(run, settings, power, where):
            continue
        if run.seed == seed_of_costs and not _has_costs(run, settings):
            log.info("%s: its costs", where)
            _process(cost_command(run), run, COST, power, settings)


def is_finished(run: ComparedRun, settings: Settings) -> bool:
    """Whether its report is there and of these settings, whoever made it."""
    report, config = run.workdir / "report.html", run.workdir / "config.json"
    if not report.exists() or not config.exists() or report.stat().st_mtime < config.stat().st_mtime:
        return False
    return _holds(run, settings)


def failure_of(run: ComparedRun) -> str:
    """What its last process ended with, "" where that did what it should or there was none."""
    return _last_error(run, *STAGES)


def cost_failure_of(run: ComparedRun) -> str:
    """The same of the process that measures its costs."""
    return _last_error(run, COST)


def fitting(run: ComparedRun) -> dict[str, Any]:
    """What learning took, over all processes from the one that began it on: {} where another program did."""
    lines = _learning(run)
    if not lines or lines[0].get("resumed"):
        return {}
    return {
        "fit_seconds": sum(line["seconds"] for line in lines),
        "fit_cpu_seconds": sum(line["cpu_seconds"] for line in lines),
        "fit_peak_gib": max(line["peak_gib"] for line in lines),
        "fit_kwh": sum(line["kwh"] for line in lines),
        "energy": lines[-1]["energy"],
    }


def has_accelerator(run: ComparedRun) -> bool:
    """Whether the machine that made the run had one, as its environment.json says."""
    path = run.workdir / "environment.json"
    return path.exists() and not str(kept.read_content(path)[0].get("device", "(cpu)")).endswith("(cpu)")


def last_words(path: Path, status: int) -> str:
    """Why a process ended, by its log: its line of error, or its last one, or the signal."""
    if status < 0:
        return f"ended by {signal.Signals(-status).name}"
    lines = path.read_text("utf-8", errors="replace").splitlines()
    said = [line for line in lines if line.strip()]
    errors = [line for line in said if line.startswith("error: ")]
    return first_line(RuntimeError((errors or said or ["no word"])[-1].removeprefix("error: ")))


def identity_of(settings: Settings) -> str:
    """Of the settings of a run, for the lines about it."""
    return hashlib.sha256(json.dumps(settings.to_dict(), sort_keys=True).encode()).hexdigest()[:16]


def _make(run: ComparedRun, settings: Settings, power: Power, where: str) -> bool:
    """Whether it is there now. What has learnt to the end does not learn again because it could not be judged."""
    for stage, flags in STAGES.items():
        if stage == LEARNS and _has_learnt(run, settings):
            continue
        log.info("%s: %s", where, stage)
        if _process(run.command(*flags), run, stage, power, settings).status:
            return False
    return True


def _learning(run: ComparedRun) -> list[dict[str, Any]]:
    """Lines of the processes that learnt what is there: of the last settings, since the workdir held none of them."""
    every = [line for line in read_jsonl(run.beside(".jsonl")) if line["stage"] == LEARNS]
    lines: list[dict[str, Any]] = []
    for line in every:
        if line["settings"] == every[-1]["settings"]:
            lines = [*lines, line] if line.get("resumed") else [line]
    return lines


def _has_learnt(run: ComparedRun, settings: Settings) -> bool:
    lines = _learning(run)
    ended = bool(lines) and lines[-1]["status"] == 0 and lines[-1]["settings"] == identity_of(settings)
    return ended and _holds(run, settings)


def _holds(run: ComparedRun, settings: Settings) -> bool:
    """Whether the workdir is of these settings, finished or not."""
    try:
        return bool(saved_config(run.workdir) == settings)
    except InputError:  # none yet, or of another version, or of a method that is gone
        return False


def _last_error(run: ComparedRun, *stages: str) -> str:
    lines = [line for line in read_jsonl(run.beside(".jsonl")) if line["stage"] in stages]
    return str(lines[-1]["error"]) if lines else ""


def _has_costs(run: ComparedRun, settings: Settings) -> bool:
    path = run.beside(".cost.json")
    if not path.exists() or path.stat().st_mtime < (run.workdir / "calibration.json").stat().st_mtime:
        return False
    content, _ = kept.read_content(path)
    return content.get("settings") == identity_of(settings)


def _process(flags: Sequence[str], run: ComparedRun, stage: str, power: Power, settings: Settings) -> EndedProcess:
    """The interpreter with these flags, until it ends; what it says goes to the log of the stage.

    Its line is kept also of one that ends because this program is stopped: what learning took is the sum of all.
    """
    path = run.beside(f".{stage}.log")
    path.parent.mkdir(parents=True, exist_ok=True)
    resumed = _holds(run, settings)
    stopped: BaseException | None = None
    with path.open("wb") as out:
        meter, started = EnergyMeter(power), time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, *flags], stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT
        )
        try:
            _, waited, usage = os.wait4(process.pid, 0)
        except BaseException as signalled:  # noqa: BLE001 - raised again below, once the process has saved what it did
            stopped = signalled
            process.terminate()
            _, waited, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(waited)
    seconds, cpu_seconds = time.perf_counter() - started, usage.ru_utime + usage.ru_stime
    # Linux counts in KiB, macOS in bytes.
    unit = 2**20 if sys.platform != "darwin" else 2**30
    used = meter.read(cpu_seconds=cpu_seconds, seconds=seconds, accelerator=has_accelerator(run))
    ended = EndedProcess(process.returncode, seconds, cpu_seconds, usage.ru_maxrss / unit)
    error = last_words(path, ended.status) if ended.status and stopped is None else ""
    line = {"stage": stage, **ended._asdict(), "kwh": used.kwh, "energy": used.how, "error": error, "resumed": resumed}
    append_jsonl(run.beside(".jsonl"), {**line, "settings": identity_of(settings)})
    if stopped is not None:
        raise stopped
    if error:
        log.warning("%s failed: %s (all it said: %s)", run.name, error, path)
    return ended
