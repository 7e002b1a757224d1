"""Thresholds keep the rate they are asked for over many random calibrations, and one that does not is found out."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ddad_jax.engine.studies import thresholds as module
from ddad_jax.engine.studies.thresholds import normal_scores, trials
from ddad_jax.errors import InputError
from ddad_jax.metrics import thresholds

pytestmark = pytest.mark.drawn

ROOT = Path(__file__).parents[3]
SCORES = np.random.default_rng(0).lognormal(size=240)
HOW: dict[str, Any] = {"splits": 400, "seed": 0, "level": 0.1, "delta": 0.1, "p": 0.95, "k": 3.0}


def of(rows: list[dict[str, Any]], rule: str) -> dict[str, Any]:
    return next(row for row in rows if row["rule"] == rule)


def test_rates_are_those_of_the_theory() -> None:
    rows = trials(SCORES, n=100, **HOW)
    for rule in ("max", "quantile", "conformal", "conformal_pac"):
        row = of(rows, rule)
        assert row["low"] <= row["mean_rate"] <= row["high"], rule
        assert row["new"] == 140 and row["splits"] == 400
    conformal, confident = of(rows, "conformal"), of(rows, "conformal_pac")
    assert conformal["expected"] == pytest.approx(1 - 91 / 101) and conformal["keeps"] is True
    assert conformal["unlucky"] > 0.3  # on average only
    assert confident["unlucky"] <= 0.1 + 3 * np.sqrt(0.09 / 400) and confident["keeps"] is True
    assert confident["mean_rate"] < conformal["mean_rate"]
    assert of(rows, "sigma")["keeps"] is None and np.isnan(of(rows, "sigma")["expected"])


def test_ties_only_lower_the_rates() -> None:
    for row in trials(np.round(SCORES), n=60, **HOW):
        if np.isfinite(row["expected"]):
            assert row["mean_rate"] <= row["high"]
        assert row["keeps"] is not False


def test_a_threshold_that_breaks_its_level_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def off_by_three(scores: Any, rule: str, **how: Any) -> thresholds.Threshold:
        right = thresholds.image_threshold(scores, rule, **how)
        below = np.sort(scores)[max(0, np.searchsorted(np.sort(scores), right.value) - 3)]
        return right._replace(value=float(below))

    monkeypatch.setattr(module, "image_threshold", off_by_three)
    rows = trials(SCORES, n=100, **HOW)
    assert of(rows, "conformal")["keeps"] is False and of(rows, "conformal_pac")["keeps"] is False


def test_too_few_to_calibrate_on_promise_nothing() -> None:
    rows = trials(SCORES[:12], n=5, **HOW)
    for rule in ("conformal", "conformal_pac"):
        assert of(rows, rule)["keeps"] is None and "are needed" in of(rows, rule)["warning"]
    for n in (0, 12):
        with pytest.raises(InputError, match=rf"--calibration={n}"):
            trials(SCORES[:12], n=n, **HOW)


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_good_rows_and_held_out_scores_are_read(tmp_path: Path) -> None:
    table = write(tmp_path / "scores.csv", "name,label,score\na,0,1.5\nb,1,9\nc,0,2\n")
    held_out = write(tmp_path / "calibration.json", json.dumps({"normal_scores": [3.0, 4.0]}))
    plain = write(tmp_path / "plain.csv", "score\n5\n")
    assert normal_scores([table, held_out, plain]).tolist() == [1.5, 2.0, 3.0, 4.0, 5.0]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("s.csv", None, "cannot be read"),
        ("s.csv", "a,b\n1,2\n", "'score'"),
        ("s.csv", "score\nx\n", "could not convert"),
        ("s.csv", "score\n1\n2\n", "2 scores; expected 4"),
        ("s.csv", "score\n1\n2\n3\nnan\n", "finite"),
        ("c.json", "{}", "normal_scores"),
        ("c.json", "[", "expected a scores.csv"),
        ("c.json", "[" * 200_000, "expected a scores.csv"),
    ],
)
def test_files_that_cannot_be_used_are_refused_by_name(tmp_path: Path, name: str, text: str | None, said: str) -> None:
    path = tmp_path / name
    if text is not None:
        write(path, text)
    with pytest.raises(InputError, match=said) as error:
        normal_scores([path])
    assert str(path) in str(error.value)


def test_the_command_prints_and_writes_its_rows_and_refuses_without_a_traceback(quick: Path, tmp_path: Path) -> None:
    table = write(tmp_path / "scores.csv", "score\n" + "\n".join(map(str, SCORES)))
    # Set, so that the program does not start itself again for it.
    environment = {**os.environ, "GLIBC_TUNABLES": ""}

    def ran(*flags: str) -> subprocess.CompletedProcess:
        command = [quick, "-m", "experiments.threshold_trials", f"--scores={table}", "--splits=20", *flags]
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)

    good = ran(f"--json={tmp_path / 'rows.json'}", "--calibration=40")
    assert good.returncode == 0, good.stderr
    assert "conformal_pac" in good.stdout and "at least 59 are needed" in good.stdout
    assert [row["rule"] for row in json.loads((tmp_path / "rows.json").read_text())] == [*thresholds.RULES]
    bad = ran("--alpha=1.5")
    assert bad.returncode == 2 and bad.stderr.strip().splitlines()[-1].startswith("error: --alpha=1.5")
    assert "Traceback" not in bad.stderr


def test_a_file_counts_once(tmp_path: Path) -> None:
    table = write(tmp_path / "scores.csv", "score\n1\n2\n3\n4\n")
    (tmp_path / "link.csv").symlink_to(table)
    for again in (table, tmp_path / "link.csv"):
        with pytest.raises(InputError, match="named twice"):
            normal_scores([table, again])


def test_trials_that_no_memory_holds_are_refused() -> None:
    with pytest.raises(InputError, match=r"--splits=100000000000000: expected at most \d+ trials of 240 scores"):
        trials(SCORES, n=100, **{**HOW, "splits": 10**14})
