"""The script for a bare machine: what it runs, and that it names what has to be carried there."""

import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "launch/measure_accelerator.sh"


def run(*flags: str) -> subprocess.CompletedProcess[str]:
    told = {**os.environ, "PYTHON": "echo"}
    return subprocess.run([str(SCRIPT), *flags], env=told, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("mtd", "data"), [((), "--config.data.kind=cans"), (("--mtd=/a b",), "--config.data.root=/a b")]
)
def test_it_runs_the_benchmark(tmp_path: Path, mtd: tuple[str, ...], data: str) -> None:
    found = run("--minutes=0.5", f"--out={tmp_path}", *mtd, "--pieces=calls")
    assert found.returncode == 0, found.stderr
    assert found.stdout.startswith("-m experiments.benchmark --config=experiments/configs/mtd.py:gpu")
    for flag in (data, "--what=accelerator", "--minutes=0.5", f"--json={tmp_path}/measured.json", "--pieces=calls"):
        assert f" {flag} " in f"{found.stdout.strip()} "


def test_what_is_no_flag_is_refused() -> None:
    found = run("8")
    assert found.returncode == 2 and "error: 8: expected a flag" in found.stderr


def test_its_head_names_every_package_that_may_have_to_be_carried() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    needs = [*project["dependencies"], *extras["engine"], *extras["experiments"][1:]]
    head = SCRIPT.read_text().partition("set -euo")[0]
    assert {re.split("[>=[]", name)[0] for name in needs} - {*re.findall(r"[\w-]+", head)} == set()
