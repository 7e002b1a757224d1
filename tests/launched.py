"""Launches of a run small enough for tests, and what is compared of them."""

import csv
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[1]
HOW: dict[str, Any] = {
    "data__flips": "hv", "adapt__epochs": 1, "sweep__w": (0.0, 1.0, 2.0, 3.0, 4.0, 5.0), "sweep__v": (1.0,),
    "sample__batch_size": 4,
}  # fmt: skip
ROWS = 6
"""Of as many points to reconstruct; a run is killed after SOME of them."""
SOME = 2
SETTINGS = """
from pathlib import Path

import tiny_runs
import undrawn


def get_config():
    tiny_runs.small_predictor()
    tiny_runs.small_backbone()
    undrawn.blank_figures()
    return tiny_runs.config_dict(Path(%r), **%r)
"""
DEVICES = 4


class Bench(NamedTuple):
    """python: ``quick_python.stand_in``; config: of a tiny run."""

    python: Path
    config: Path

    def start(self, *words: str, **environment: str) -> subprocess.Popen:
        return subprocess.Popen(
            [self.python, *words], cwd=ROOT, env=os.environ | environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def run(self, *words: str, **environment: str) -> tuple[int, str]:
        """Status of ``python words``, and what it printed."""
        child = self.start(*words, **environment)
        printed, _ = child.communicate(timeout=240)
        return child.returncode, printed


def models_of(alone: Path, workdir: Path) -> None:
    """A workdir with the models of another and no results."""
    made_of_them = ("journal*", "results*", "selected.npz", "calibration*", "scores.csv", "report.html", "figures")
    shutil.copytree(alone, workdir, ignore=shutil.ignore_patterns(*made_of_them))


def table(workdir: Path) -> list[dict[str, str]]:
    """results.csv, character by character but for what was measured with a clock."""
    with (workdir / "results.csv").open(newline="") as file:
        return [{k: v for k, v in row.items() if k != "ms_per_image"} for row in csv.DictReader(file)]


def lines(path: Path | None) -> int:
    return path.read_bytes().count(b"\n") if path and path.exists() else 0
