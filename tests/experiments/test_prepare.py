"""From files to records to a run: the command, and the same results from either."""

import csv
import os
import re
import subprocess
from pathlib import Path

import pytest
import tiny_runs
from trees import pixels, save

from ddad_jax.engine.data.splits import load_data
from ddad_jax.engine.pipeline import run_all
from ddad_jax.errors import InputError

pytest.importorskip("tensorflow_datasets", reason="pip install 'ddad-jax[datasets]'")
ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}  # else programs start twice


def prepare(python: Path, *flags: str) -> subprocess.CompletedProcess:
    command = [python, "-m", "experiments.prepare", *flags]
    return subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, timeout=120)


def results(workdir: Path) -> list[list[dict[str, str]]]:
    """The tables of a run, without what a clock measured."""
    found = []
    for name in ("results.csv", "scores.csv"):
        with (workdir / name).open(newline="") as file:
            found.append([{k: v for k, v in row.items() if k != "ms_per_image"} for row in csv.DictReader(file)])
    return found


def test_a_run_of_records_ends_as_the_run_of_the_files(
    quick: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_runs.small_predictor(monkeypatch.setattr)
    tiny_runs.small_backbone(monkeypatch.setattr)
    root, records = tiny_runs.folder(tmp_path / "data"), tmp_path / "records"
    left = records / "ddad_folder/bolt/incomplete.ABCDEF_1.0.0"
    left.mkdir(parents=True)
    told = prepare(quick, "--kind=folder", f"--root={root}", "--category=bolt", f"--data_dir={records}")
    assert told.returncode == 0, told.stderr
    flags = told.stdout.splitlines()[-1]
    assert f"--config.data.root={records} --config.data.category=ddad_folder/bolt" in flags
    assert "train 9, test 5 pictures" in told.stdout
    assert f"{left}: of a preparation that was interrupted" in told.stdout
    of_files = tiny_runs.config(root)
    of_records = tiny_runs.config(root, data__kind="tfds", data__root=str(records), data__category="ddad_folder/bolt")
    run_all(of_files, tmp_path / "files", sweep=False)
    run_all(of_records, tmp_path / "from_records", sweep=False)
    rows, scores = results(tmp_path / "from_records")
    assert [rows, scores] == results(tmp_path / "files") and len(scores) == 5


def test_what_cannot_be_used_is_told_in_a_line(quick: Path, tmp_path: Path) -> None:
    save(pixels(0), tmp_path / "src/bolt/train/good/0.png")
    flags = ["--kind=folder", f"--root={tmp_path / 'src'}", f"--data_dir={tmp_path / 'records'}"]
    ran = prepare(quick, *flags)
    assert ran.returncode == 2 and not (tmp_path / "records").exists()
    told = "error: no category was named. Categories found in .*: bolt. Pass one of them .--category=.*\n"
    assert re.fullmatch(told, ran.stderr), ran.stderr


def test_a_run_without_a_name_or_records_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"data\.category=''.*such as ddad_mvtec/bottle"):
        tiny_runs.config(tmp_path, data__kind="tfds", data__category="")
    with pytest.raises(InputError, match=r"no prepared data set 'ddad_mtd', but: nothing"):
        load_data(tiny_runs.config(tmp_path, data__kind="tfds", data__category="ddad_mtd"))
