"""Runs as processes of their own: timed, metered, resumed, and none that fails costs another."""

import json
import os
import shutil
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import tiny_runs

from ddad_jax.engine import stopping
from ddad_jax.engine.comparison import energy
from ddad_jax.engine.comparison.energy import EnergyMeter, EnergyUse
from ddad_jax.engine.comparison.plan import ComparedData, ComparedMethod, ComparedRun, Power
from ddad_jax.engine.comparison.running import cost_failure_of, failure_of, fitting, is_finished, make_runs
from ddad_jax.engine.store.tables import read_jsonl

FINISHED = "import pathlib, sys; w = pathlib.Path(sys.argv[1]); w.mkdir(parents=True, exist_ok=True); "
BEGUN = FINISHED + "(w / 'config.json').write_text(sys.argv[2])\n"
FINISHED += "(w / 'config.json').write_text(sys.argv[2]); (w / 'report.html').touch(); (w / 'calibration.json').touch()"


class Scripted(ComparedRun):
    """A run whose processes are scripts."""

    def command(self, *flags: str) -> list[str]:
        return ["-c", str(self.settings["learn" if flags else "judge"]), str(self.workdir), self.settings["config"]]


def scripted(root: Path, name: str, settings: Any, *, learn: str = "pass", judge: str = FINISHED) -> Scripted:
    saved = json.dumps(settings.to_dict())
    workdir = root / name / "data" / "seed0"
    scripts = {"learn": learn, "judge": judge, "config": saved}
    return Scripted(ComparedMethod(name, "x.py"), ComparedData("data"), 0, workdir, scripts)


def made(runs: list[Scripted], settings: Any, *, costs: str = "pass") -> None:
    make_runs(runs, lambda run: settings, Power(), lambda run: ["-c", costs], seed_of_costs=0)


def test_a_run_that_fails_or_is_killed_costs_no_other(tmp_path: Path, root: Path) -> None:
    settings = tiny_runs.config(root, "patchcore")
    dies = scripted(tmp_path, "dies", settings, learn="import os; os.kill(os.getpid(), 9)")
    refused = scripted(tmp_path, "refused", settings, judge="import sys; print('error: no such tea'); sys.exit(2)")
    good = scripted(tmp_path, "good", settings)
    made([dies, refused, good], settings)
    assert [is_finished(run, settings) for run in (dies, refused, good)] == [False, False, True]
    assert [failure_of(run) for run in (dies, refused, good)] == ["ended by SIGKILL", "no such tea", ""]
    assert "no such tea" in refused.beside(".judge.log").read_text()


def test_what_is_finished_is_not_repeated_and_other_settings_are(tmp_path: Path, root: Path) -> None:
    settings, others = (tiny_runs.config(root, "patchcore", seed=seed) for seed in (0, 1))
    run = scripted(tmp_path, "good", settings)
    made([run], settings)
    lines = read_jsonl(run.beside(".jsonl"))
    assert [line["stage"] for line in lines] == ["fit", "judge", "cost"]
    made([run], settings)
    assert [line["stage"] for line in read_jsonl(run.beside(".jsonl"))[3:]] == ["cost"]  # which left no file
    assert not is_finished(run, others)
    os.utime(run.workdir / "config.json", (2e9, 2e9))  # begun again, and not ended
    assert not is_finished(run, settings)


def test_learning_is_timed_over_all_processes_that_learnt(tmp_path: Path, root: Path) -> None:
    settings = tiny_runs.config(root, "patchcore")
    busy = "import time; t = time.process_time()\nwhile time.process_time() < t + 0.1: pass\n"
    run = scripted(tmp_path, "slow", settings, learn=BEGUN + busy + "raise SystemExit(2)")
    made([run], settings)
    made([run._replace(settings={**run.settings, "learn": busy})], settings)
    took = fitting(run)
    assert took["fit_cpu_seconds"] >= 0.2 and took["fit_seconds"] >= 0.2 and took["fit_peak_gib"] > 0
    assert took["fit_kwh"] == pytest.approx(took["fit_cpu_seconds"] * 15.0 / 3.6e6)
    assert took["energy"] == "estimate: 15 W a busy core"
    assert fitting(scripted(tmp_path, "made elsewhere", settings)) == {}


def stages(run: ComparedRun) -> list[str]:
    return [line["stage"] for line in read_jsonl(run.beside(".jsonl"))]


def test_what_has_learnt_to_the_end_does_not_learn_again_where_judging_failed(tmp_path: Path, root: Path) -> None:
    settings = tiny_runs.config(root, "patchcore")
    run = scripted(tmp_path, "learnt", settings, learn=BEGUN, judge="raise SystemExit(2)")
    made([run], settings)
    took = fitting(run)
    made([run], settings)
    assert stages(run) == ["fit", "judge", "judge"] and fitting(run) == took
    other = tiny_runs.config(root, "patchcore", seed=1)
    saved = json.dumps(other.to_dict())
    made([run._replace(settings={**run.settings, "config": saved})], other)
    assert stages(run)[3:] == ["fit", "judge"] and fitting(run) != took


def test_learning_anew_in_a_new_workdir_counts_once(tmp_path: Path, root: Path) -> None:
    settings = tiny_runs.config(root, "patchcore")
    run = scripted(tmp_path, "anew", settings, learn=BEGUN)
    made([run], settings)
    shutil.rmtree(run.workdir)
    made([run], settings)
    fits = [line for line in read_jsonl(run.beside(".jsonl")) if line["stage"] == "fit"]
    assert len(fits) == 2 and fitting(run)["fit_seconds"] == fits[-1]["seconds"]


def test_learning_that_another_program_began_has_no_time(tmp_path: Path, root: Path) -> None:
    settings = tiny_runs.config(root, "patchcore")
    run = scripted(tmp_path, "begun", settings)
    run.workdir.mkdir(parents=True)
    (run.workdir / "config.json").write_text(run.settings["config"])
    made([run], settings)
    assert stages(run)[:2] == ["fit", "judge"] and fitting(run) == {}


def test_why_costs_could_not_be_measured_is_known_until_they_are(tmp_path: Path, root: Path) -> None:
    settings = tiny_runs.config(root, "patchcore")
    run = scripted(tmp_path, "good", settings)
    made([run], settings, costs="raise SystemExit('error: no <memory>')")
    assert is_finished(run, settings) and failure_of(run) == "" and cost_failure_of(run) == "no <memory>"
    made([run], settings)
    assert cost_failure_of(run) == ""


def test_a_signal_stops_the_run_at_hand_which_goes_on_later(tmp_path: Path, root: Path) -> None:
    settings = tiny_runs.config(root, "patchcore")
    run = scripted(tmp_path, "slow", settings, learn="import sys, time; print(1, flush=True); time.sleep(60)")

    def stop() -> None:
        while not (log := run.beside(".fit.log")).exists() or not log.read_bytes():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=stop)
    thread.start()
    with stopping.watched(), pytest.raises(stopping.Stopped):
        made([run], settings)
    thread.join()
    (line,) = read_jsonl(run.beside(".jsonl"))
    assert line["status"] == -signal.SIGTERM and line["error"] == "" and not failure_of(run)


class Tracker:
    """What is used of codecarbon's."""

    def __init__(self, **how: Any) -> None:
        self.final_emissions_data, self.running = type("Data", (), {"energy_consumed": 0.25})(), False

    def start(self) -> None:
        self.running = True

    def stop(self) -> None:
        assert self.running


def test_energy_is_codecarbons_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(energy, "_codecarbon", lambda: type("Module", (), {"OfflineEmissionsTracker": Tracker}))
    used = EnergyMeter(Power()).read(cpu_seconds=1.0, seconds=1.0, accelerator=False)
    assert used == EnergyUse(0.25, "codecarbon, the whole machine")


def test_an_accelerator_counts_in_an_estimate() -> None:
    found = energy.estimated(Power(core=10.0, accelerator=400.0), 360.0, 3600.0, accelerator=True)
    assert found == EnergyUse(pytest.approx(0.401), "estimate: 10 W a busy core, 400 W an accelerator")
