"""The program that compares: its list, what it refuses before anything is run, and a whole comparison."""

import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ddad_jax.engine.comparison.plan import comparison_of, planned_runs
from ddad_jax.engine.comparison.rows import note_of
from ddad_jax.engine.methods.table import METHODS
from ddad_jax.engine.store.tables import read_jsonl
from experiments import entry
from experiments.compare import settings_of
from experiments.configs.compare import benchmark_paper, cans_paper, demo, folder, thesis
from experiments.papers.comparisons import GROUPS, published_numbers

ROOT = Path(__file__).parents[2]
DEMO = "experiments/configs/compare/demo.py:coffee"
TINY = """
from experiments.config import comparison

def get_config():
    small = {"patchcore": {"share": 0.2}}
    methods = {
        "PatchCore": {"config": "experiments/configs/folder.py:patchcore", "settings": small},
        "none": {"config": "experiments/configs/folder.py:patchcore", "settings": {"data": {"category": "nut"}}},
    }
    return comparison(methods, {"bolt": {"settings": {"data": {"category": "bolt", "size": 32}}}}, seeds=(0, 1))
"""


def compare(python: Path | str, *flags: str) -> Any:
    command = [str(python), "-m", "experiments.compare", *flags]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_the_list_is_of_ordinary_commands(quick: Path, tmp_path: Path) -> None:
    run = compare(quick, f"--config={DEMO}", f"--workdir={tmp_path}", "--commands", "--config.seeds=(4,)", "--part=1/3")
    commands = list(map(shlex.split, run.stdout.splitlines()))
    assert all(command[:3] == ["python", "-m", "experiments.evaluate"] for command in commands)
    every = [method.name for method in comparison_of(demo.get_config("coffee").to_dict()).methods]
    assert [command[4] for command in commands] == [
        f"--workdir={tmp_path}/runs/{name.replace(' ', '_')}/coffee/seed4" for name in every[1::3]
    ]
    of_all = {"--config.data.category=coffee", "--config.seed=4", "--config.sweep.seed=(4,)"}
    assert all(of_all <= {*command} for command in commands) and not any(tmp_path.iterdir())


def test_any_setting_is_a_flag_of_all_runs_of_a_method_or_of_a_data_set(quick: Path, tmp_path: Path) -> None:
    """Also those that the file gives nobody; what nobody gives stays each config's own."""
    given = [
        "settings.output.examples=3",
        "methods.PaDiM.settings.padim.channels=7",
        "data.coffee.settings.data.balance=true",
    ]
    run = compare(
        quick, f"--config={DEMO}", f"--workdir={tmp_path}", "--commands", *(f"--config.{one}" for one in given)
    )
    commands = {Path(command[4]).parts[-3]: {*command[5:]} for command in map(shlex.split, run.stdout.splitlines())}
    of_all = {"--config.output.examples=3", "--config.data.balance=True"}
    assert commands and all(of_all <= command for command in commands.values())
    assert [name for name, command in commands.items() if "--config.padim.channels=7" in command] == ["PaDiM"]
    assert not any("data.root" in flag or "None" in flag for command in commands.values() for flag in command)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--config=experiments/configs/demo.py"], "--config.adapt: expected a comparison, which has methods, data"),
        ([f"--config={DEMO}", "--config.nosuch=1"], "--config.nosuch=1: the config has no such setting"),
        ([f"--config={DEMO}", "--config.methods.PaDiM.settings.data.size=0"], "PaDiM/coffee/seed0 (experiments"),
        (
            [f"--config={DEMO}", "--config.settings.data.rot=1"],
            "--config.settings.data.rot=1: the config has no such setting",
        ),
        ([f"--config={DEMO}", "--config.settings.train.steps=9"], "--config.train.steps: there is no such setting"),
        ([f"--config={DEMO}", "--runs=DDAD"], "--runs=DDAD: is no run of this comparison; it has DDAD/coffee/seed0"),
        ([f"--config={DEMO}", "--page_only", "--part=0/2"], "--page_only: is of all runs"),
        ([f"--config={DEMO}", "--config.paper=cands"], "--config.paper=cands: expected one of benchmark, cans, thesis"),
    ],
)
def test_what_cannot_be_run_is_refused_before_the_first_run(
    quick: Path, tmp_path: Path, flags: list[str], said: str
) -> None:
    run = compare(quick, *flags, f"--workdir={tmp_path}/w")
    assert run.returncode == 2 and run.stderr.startswith("error: ") and said in run.stderr
    assert "Traceback" not in run.stderr and not any(tmp_path.iterdir())


def test_configs_name_what_their_papers_have() -> None:
    configs = {
        "cans": cans_paper.get_config(),
        "benchmark": benchmark_paper.get_config(),
        "thesis": thesis.get_config("A,B2,C"),
    }
    for paper, config in configs.items():
        comparison, numbers = comparison_of(config.to_dict()), published_numbers(paper)
        assert comparison.paper == paper
        columns = {column for row in numbers.values() for column in row}
        assert {data.name for data in comparison.data} <= columns
        known = [method for method in comparison.methods if (method.published_as or method.name) in numbers]
        assert len(known) >= 2, paper
    groups = {data.name: data.group for data in comparison_of(configs["benchmark"].to_dict()).data}
    assert groups == {name: group for group, names in GROUPS.items() for name in names}
    assert [data.name for data in comparison_of(folder.get_config("a,b").to_dict()).data] == ["a", "b"]


def test_every_method_stands_in_the_demo_and_among_those_for_ones_own_pictures() -> None:
    for config in (demo.get_config(), folder.get_config()):
        named = [method.config for method in comparison_of(config.to_dict()).methods]
        assert {entry.ConfigFile().parse(name).method for name in named} == set(METHODS)


def test_a_row_says_what_its_runs_are_allowed(tmp_path: Path) -> None:
    """Of the settings that it runs with, so that no config file can say otherwise."""
    runs = planned_runs(comparison_of(demo.get_config().to_dict()), tmp_path)
    notes = {run.method.name: note_of(settings_of(run)) for run in runs}
    assert notes["DRAEM"] == "64 px, 0.5 min of training" and notes["DiffAD"] == "64 px, 0.6 min of training"
    assert notes["PatchCore"] == "128 px" and not any(run.method.note for run in runs)


def test_the_cans_papers_methods_are_of_their_papers_size_on_a_gpu(tmp_path: Path) -> None:
    cpu, gpu = (planned_runs(comparison_of(cans_paper.get_config(on).to_dict()), tmp_path) for on in ("cpu", "gpu"))
    sizes = {run.method.name: settings_of(run).data.size for run in gpu}
    assert sizes == {"PaDiM": 224, "PatchCore": 224, "DRAEM": 256, "Score-based PR": 256, "DDAD": 256}
    assert not {run.config for run in cpu} & {run.config for run in gpu}


@pytest.mark.slow
def test_a_comparison_runs_resumes_and_reports(tmp_path: Path, root: Path) -> None:
    (tmp_path / "tiny.py").write_text(TINY)
    flags = [f"--config={tmp_path}/tiny.py", f"--workdir={tmp_path}/w", f"--config.settings.data.root={root}"]
    shard = compare(sys.executable, *flags, "--runs=PatchCore/bolt/seed1")
    assert shard.returncode == 0 and not (tmp_path / "w/comparison.html").exists()
    run = compare(sys.executable, *flags)
    assert run.returncode == 0, run.stderr
    assert "PatchCore/bolt/seed1: there already" in run.stderr and "none/bolt/seed0 failed: " in run.stderr
    rows = {row["method"]: row for row in read_jsonl(tmp_path / "w/comparison.jsonl")}
    assert rows["PatchCore"]["missing"] == 0 and rows["PatchCore"]["ms_1"] > 0 and rows["PatchCore"]["fit_seconds"] > 0
    assert rows["none"]["missing"] == 2 and "runs failed" in rows["none"]["doubt"]
    assert (tmp_path / "w/comparison.html").exists()
