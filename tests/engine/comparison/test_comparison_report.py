"""From ordinary runs to the page: costs of a real detector, files, what the page shows and what it escapes."""

import csv
import html
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import tiny_runs
from finished_runs import compared, finish, runs_of

from ddad_jax.engine.comparison.cost import detector_costs, write_costs
from ddad_jax.engine.comparison.figures import pareto, shown_pictures
from ddad_jax.engine.comparison.plan import ComparedRun, Comparison, Power
from ddad_jax.engine.comparison.report import write_comparison
from ddad_jax.engine.comparison.rows import outcomes_of
from ddad_jax.engine.comparison.table import Published
from ddad_jax.engine.pipeline import run_all
from ddad_jax.engine.store.tables import append_jsonl, read_jsonl
from ddad_jax.errors import InputError

REAL, FAKE, FAILED, UNMEASURED = (f"{name}/bolt/seed0" for name in ("PatchCore", "Fake", "A_b", "Unmeasured"))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, root: Path) -> tuple[Comparison, dict[str, ComparedRun], Path, Any]:
    """A real run, one whose scores are written, one that failed, and one whose costs could not be measured."""
    folder = tmp_path_factory.mktemp("compared")
    comparison = compared(["PatchCore", "Fake", "A <b>", "Unmeasured"], {"bolt": "fixed"}, pictures=50)
    runs, settings = runs_of(comparison, folder), tiny_runs.config(root, "patchcore")
    with pytest.MonkeyPatch.context() as patch:
        tiny_runs.small_backbone(patch.setattr)
        run_all(settings, runs[REAL].workdir, sweep=False)
        write_costs(runs[REAL], Power(core=20.0), 50)
    rows = _csv(runs[REAL].workdir / "scores.csv")
    names, labels = [row["name"] for row in rows], [int(row["label"]) for row in rows]
    finish(runs[FAKE], settings, [0.9 * label for label in labels], names=names, labels=labels, ms=500.0)
    finish(runs[UNMEASURED], settings, [0.5] * len(labels), names=names, labels=labels)
    for name in (FAKE, UNMEASURED):
        shutil.copyfile(runs[REAL].workdir / "selected.npz", runs[name].workdir / "selected.npz")
    ended = {"seconds": 1.0, "cpu_seconds": 1.0, "peak_gib": 1.0, "kwh": 1.0, "energy": "estimate", "settings": "x"}
    append_jsonl(runs[FAILED].beside(".jsonl"), {"stage": "fit", "error": "no <tea> here", **ended})
    runs[UNMEASURED].beside(".cost.json").unlink()
    append_jsonl(runs[UNMEASURED].beside(".jsonl"), {"stage": "cost", "error": "no <memory>", **ended})
    return comparison, runs, folder, settings


def _csv(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.open()))


def test_costs_are_those_of_the_detector_in_use(made: Any) -> None:
    _, runs, _, _ = made
    cost = json.loads(runs[REAL].beside(".cost.json").read_text())
    assert cost["ms_8"] > 0 and 0 < cost["ms_1"] <= cost["p95_ms_1"] and cost["compile_s"] > 0
    # Three convolutions of stride 4, 2, 2 on 32 px, from 3, 6 and 6 channels to 6; beside them distances to the memory.
    convolutions = 8 * 8 * 4 * 4 * 3 * 6 + 4 * 4 * 2 * 2 * 6 * 6 + 2 * 2 * 2 * 2 * 6 * 6
    assert convolutions < cost["gmac"] * 1e9 < 20 * convolutions
    assert cost["parameters"] > 600 and cost["model_mib"] == pytest.approx(4 * cost["parameters"] / 2**20, rel=0.05)
    assert cost["judge_kwh"] > 0 and cost["pictures"] == 50 and cost["energy"] == "estimate: 20 W a busy core"


def test_the_page_has_every_method_whatever_became_of_it(made: Any) -> None:
    comparison, runs, folder, settings = made
    numbers = {"PatchCore": {"bolt": {"image_auroc": 0.25}}, "GLASS": {"bolt": {"image_auroc": 0.5}}}
    paper = Published(numbers, notes=("Of <another> split.",))
    said = write_comparison(comparison, list(runs.values()), lambda run: settings, folder, paper)
    rows = {row["method"]: row for row in read_jsonl(folder / "comparison.jsonl")}
    assert rows["Fake"]["image_auroc"] == 1.0 and rows["PatchCore"]["missing"] == 0
    assert rows["A <b>"]["doubt"] == "1 of 1 runs failed: no <tea> here"
    assert [row["state"] for row in read_jsonl(folder / "runs.jsonl")] == ["done", "done", "failed", "done"]
    assert rows["Unmeasured"]["cost_failure"] == "no <memory>" and rows["Fake"]["cost_failure"] == ""
    page = (folder / "comparison.html").read_text()
    text = html.unescape(re.sub(r"<[^>]+>", " ", page))
    assert (
        "no <tea> here" in text
        and "<tea>" not in page
        and "Unmeasured on bolt, seed 0: no <memory>" in text
        and "A <b>" in text
    )
    assert not re.search(r"""(?:src|href)=["'](?:https?:)?//""", page) and 'src="data:image/png' in page
    assert f'href="runs/{REAL}/report.html"' in page
    own = next(row for row in read_jsonl(folder / "published.jsonl") if row["method"] == "PatchCore")
    assert own["image_auroc"] == rows["PatchCore"]["image_auroc"] and own["image_auroc, paper"] == 0.25
    assert "most accurate: Fake" in said and "A <b>" in said
    markdown = (folder / "comparison.md").read_text()
    assert "| 1 | Fake | 1.0" in markdown and "Beside the paper" in markdown and "GLASS" in markdown
    assert "- Of <another> split." in markdown and "Of <another> split." in text
    for name in ("cost", "side_by_side"):
        assert (folder / "figures" / f"{name}.png").stat().st_size


def test_pictures_shown_are_of_every_kind_the_hardest_first(made: Any) -> None:
    _, runs, _, settings = made
    found = [one for one in outcomes_of(list(runs.values()), lambda run: settings, 0.475) if one.scores]
    names = found[0].scores.names
    shown = [names[i].split("/")[-2] for i in shown_pictures(found)]
    assert {*shown} == {"good", "bent", "rust"} and len(shown) <= 8


def test_the_front_is_of_what_nothing_beats() -> None:
    assert pareto([3.0, 1.0, 2.0, 2.0], [0.9, 0.5, 0.5, 0.8]) == [1, 3, 0]


def test_a_run_without_a_detector_has_no_costs(made: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        detector_costs(tmp_path / "nothing", Power(), 10)
