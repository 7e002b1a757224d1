"""The table: means, ranks, intervals, gains by peeking, doubts; and the rules that recommend."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_runs
from finished_runs import compared, finish, runs_of

from ddad_jax.engine.comparison.agreement import kind_rows, lone_finds
from ddad_jax.engine.comparison.recommendation import recommended
from ddad_jax.engine.comparison.rows import RunOutcome, outcomes_of
from ddad_jax.engine.comparison.running import identity_of
from ddad_jax.engine.comparison.table import AVERAGE, Published, group_rows, groups_of, published_rows
from ddad_jax.engine.settings.sections import Settings

PERFECT, POOR, AVERSE = (0.1, 0.2, 0.8, 0.9, 0.7), (0.1, 0.6, 0.3, 0.9, 0.4), (0.9, 0.8, 0.1, 0.2, 0.3)


@pytest.fixture
def settings(root: Path) -> Any:
    return tiny_runs.config(root, "patchcore")


def outcomes(folder: Path, settings: Settings, scores: dict[str, Any], **more: Any) -> tuple[Any, list[RunOutcome]]:
    """scores: METHOD/DATA/SEED -> of its test pictures, or keywords of ``finish``; runs without are not there."""
    names = [name.split("/") for name in scores]
    methods, data = (list(dict.fromkeys(name[i] for name in names)) for i in (0, 1))
    seeds = sorted({int(name[2].removeprefix("seed")) for name in names})
    c = compared(methods, dict.fromkeys(data, "") | more.pop("groups", {}), seeds=tuple(seeds), **more)
    runs = runs_of(c, folder)
    for name, given in scores.items():
        if given is not None:
            finish(runs[name], settings, **(given if isinstance(given, dict) else {"scores": given}))
    return c, outcomes_of(list(runs.values()), lambda run: settings, 0.475)


def test_means_are_over_data_sets_of_each_over_its_seeds(tmp_path: Path, settings: Settings) -> None:
    c, found = outcomes(tmp_path, settings, {
        "a/one/seed0": PERFECT, "a/one/seed1": POOR, "a/two/seed0": POOR, "a/two/seed1": POOR,
        "b/one/seed0": AVERSE, "b/one/seed1": AVERSE, "b/two/seed0": AVERSE, "b/two/seed1": AVERSE,
    }, groups={"one": "flat", "two": "round"})  # fmt: skip
    assert [group.name for group in groups_of(c)] == [AVERAGE, "flat", "round"]
    a, b = group_rows(c, found, groups_of(c)[0])
    of_poor = next(one.row["image_auroc"] for one in found if one.run.name == "a/two/seed0")
    assert (a["method"], b["method"]) == ("a", "b") and a["rank_image_auroc"] == 1 and b["rank_image_auroc"] == 2
    assert a["image_auroc"] == pytest.approx(((1.0 + of_poor) / 2 + of_poor) / 2)
    assert a["image_auroc_sd"] == pytest.approx(np.std([1.0, of_poor], ddof=1) / 2) and b["image_auroc_sd"] == 0
    assert a["image_auroc_low"] <= a["image_auroc"] <= a["image_auroc_high"] and a["sets"] == "2 of 2"
    assert a["fit_co2_kg"] == pytest.approx(0.475 * a["fit_kwh"]) and a["kwh"] == pytest.approx(1e-4 + 2e-6)
    assert a["behind"] == a["behind_low"] == a["behind_high"] == 0 < b["behind_low"] <= b["behind"] <= b["behind_high"]
    flat, _ = group_rows(c, found, groups_of(c)[1])
    assert flat["image_auroc"] == pytest.approx((1.0 + of_poor) / 2)


def test_what_peeking_gains_is_never_below_nothing_in_f1(tmp_path: Path, settings: Settings) -> None:
    scores = {"a/one/seed0": {"scores": PERFECT, "threshold": 0.75}, "b/one/seed0": {"scores": POOR, "threshold": 5.0}}
    _, found = outcomes(tmp_path, settings, scores)
    a, b = (one.row for one in found)
    assert (a["recall"], a["missed"], a["false_alarms"]) == (2 / 3, 1, 0)
    assert a["peeked_f1"] == 1.0 and a["f1_gain"] == pytest.approx(1.0 - a["f1"]) and a["recall_gain"] > 0
    assert b["f1"] == 0.0 and math.isnan(b["precision"]) and b["f1_gain"] == b["peeked_f1"] > 0


def test_a_method_with_a_run_missing_has_no_rank_and_says_why(tmp_path: Path, settings: Settings) -> None:
    c, found = outcomes(tmp_path, settings, {"a/one/seed0": PERFECT, "a/two/seed0": None, "b/one/seed0": POOR,
                                             "b/two/seed0": POOR})  # fmt: skip
    b, a = group_rows(c, found, groups_of(c)[0])
    assert a["method"] == "a" and "rank_f1" not in a and a["sets"] == "1 of 2" and b["rank_f1"] == 1
    assert a["doubt"] == "1 of 2 runs are not there yet"
    assert [one.row["state"] for one in found] == ["done", "done", "missing", "done"]


def test_what_is_no_better_than_chance_or_than_looking_for_nothing_is_said(tmp_path: Path, settings: Settings) -> None:
    c, found = outcomes(tmp_path, settings, {
        "averse/one/seed0": AVERSE, "good/one/seed0": PERFECT,
        "known/one/seed0": {"scores": PERFECT, "know_nothing": 1.0},
    })  # fmt: skip
    doubts = {row["method"]: row["doubt"] for row in group_rows(c, found, groups_of(c)[0])}
    assert doubts["good"] == "" and "chance" in doubts["averse"] and "not above the 1.000" in doubts["known"]
    (best,) = {one.method for one in recommended(group_rows(c, found, groups_of(c)[0]), margin=0.01, pictures=10)}
    assert best == "good"


def row(method: str, auroc: float, **more: Any) -> dict[str, Any]:
    ends = {f"{name}_{end}": auroc for name in ("image_auroc", "f1") for end in ("low", "high")}
    usual = {
        "ms_1": 1.0,
        "kwh": 1.0,
        "f1": auroc,
        "recall": 0.5,
        "precision": 0.5,
        "peeked_f1": 1.0,
        "doubt": "",
        "behind_low": 0.001,
    }
    return {"method": method, "image_auroc": auroc, **ends, **usual, **more}


def test_the_rules_recommend_what_they_say() -> None:
    rows = [
        row("best", 0.99, ms_1=100.0, kwh=9.0, f1=0.7), row("level", 0.985, ms_1=5.0, kwh=8.0, f1=0.8),
        row("behind", 0.97, ms_1=1.0, kwh=2.0, f1=0.9), row("doubtful", 0.98, ms_1=0.1, kwh=0.1, f1=1.0, doubt="x"),
    ]  # fmt: skip
    found = {one.role: (one.method, one.sentence) for one in recommended(rows, margin=0.01, pictures=1000)}
    assert {role: method for role, (method, _) in found.items()} == {
        "most accurate": "best", "fastest": "level", "cheapest": "behind", "best in use": "behind"
    }  # fmt: skip
    assert "as good within 0.01: level" in found["most accurate"][1] and "told apart" not in found["most accurate"][1]
    close = recommended([rows[0], {**rows[2], "behind_low": -0.001}], margin=0.01, pictures=1000)
    assert close[0].sentence.endswith("not told apart from it by these pictures: behind")
    assert "0.020 of image AUROC behind best" in found["cheapest"][1] and "2e+03 Wh" in found["cheapest"][1]
    unknown = [{**one, "ms_1": math.nan, "kwh": math.nan} for one in rows]
    assert [one.role for one in recommended(unknown, margin=0.01, pictures=1000)] == ["most accurate", "best in use"]
    assert recommended([row("x", 0.9, doubt="why")], margin=0.01, pictures=1) == []


def test_defects_that_one_method_alone_finds_are_named(tmp_path: Path, settings: Settings) -> None:
    _, found = outcomes(tmp_path, settings, {
        "a/one/seed0": (0.1, 0.2, 0.8, 0.1, 0.1), "b/one/seed0": (0.1, 0.2, 0.8, 0.9, 0.1),
    })  # fmt: skip
    lone = {(one["picture"], one["found_by"]) for one in lone_finds(found)}
    assert lone == {("bent/1", "b"), ("rusty/0", "")}
    assert [(one["kind"], one["pictures"], one.get("a"), one.get("b")) for one in kind_rows(found)] == [
        ("rusty", 1, 0.0, 0.0), ("bent", 2, 0.5, 1.0)
    ]  # fmt: skip


def test_a_picture_counts_once_and_is_found_with_more_than_half_of_the_seeds(
    tmp_path: Path, settings: Settings
) -> None:
    never, half, most = (0.1, 0.2, 0.1, 0.1, 0.1), (0.1, 0.2, 0.8, 0.8, 0.1), (0.1, 0.2, 0.8, 0.1, 0.1)
    _, found = outcomes(tmp_path, settings, {
        "a/one/seed0": half, "a/one/seed1": most, "a/one/seed2": never, "b/one/seed0": never, "b/one/seed1": never,
        "b/one/seed2": never,
    })  # fmt: skip
    rows = {one["kind"]: one for one in kind_rows(found)}
    assert {kind: (one["pictures"], one["a"], one["b"]) for kind, one in rows.items()} == {
        "bent": (2, 0.5, 0.0), "rusty": (1, 0.0, 0.0)
    }  # fmt: skip
    assert [(one["picture"], one["found_by"]) for one in lone_finds(found)] == [
        ("bent/1", ""), ("rusty/0", ""), ("bent/0", "a")
    ]  # fmt: skip
    two = [one for one in found if one.run.seed < 2]
    assert ("bent/1", "") in {(one["picture"], one["found_by"]) for one in lone_finds(two)}  # one of two is not most
    drawn = [one._replace(drawn=True) for one in found]
    assert {one["kind"]: one["pictures"] for one in kind_rows(drawn)} == {"bent": 6, "rusty": 3}
    assert ("bent/1, seed 0", "a") in {(one["picture"], one["found_by"]) for one in lone_finds(drawn)}


def test_a_method_without_runs_makes_no_kind_look_hard(tmp_path: Path, settings: Settings) -> None:
    """Of "easy" one method of two is run, which finds all; of "hard" both are, and find half."""
    caught, half = (0.1, 0.2, 0.8, 0.8, 0.8), (0.1, 0.2, 0.8, 0.1, 0.8)
    _, found = outcomes(tmp_path, settings, {
        "a/easy/seed0": caught, "b/easy/seed0": None, "a/hard/seed0": half, "b/hard/seed0": half,
    })  # fmt: skip
    rows = kind_rows(found)
    assert (rows[0]["data"], rows[0]["kind"], rows[0]["a"]) == ("hard", "bent", 0.5)
    assert all("b" not in one for one in rows if one["data"] == "easy")


def test_others_are_measured_from_the_recommended_method(tmp_path: Path, settings: Settings) -> None:
    """The best of all is doubtful; of those that are fit, who is not told apart from the best of them is said."""
    scores = np.linspace(0.0, 1.0, 40)
    names = [f"{'bent' if i >= 20 else 'good'}/{i}" for i in range(40)]
    of = {"names": names, "labels": [int(i >= 20) for i in range(40)]}
    near = scores.copy()
    near[[18, 21]] = near[[21, 18]]
    nearer = scores.copy()
    nearer[[19, 20]] = nearer[[20, 19]]
    c, found = outcomes(tmp_path, settings, {
        "doubtful/one/seed0": {"scores": scores, "know_nothing": 1.0, **of}, "fit/one/seed0": {"scores": nearer, **of},
        "near/one/seed0": {"scores": near, **of},
    })  # fmt: skip
    rows = {row["method"]: row for row in group_rows(c, found, groups_of(c)[0])}
    assert rows["doubtful"]["doubt"] and rows["fit"]["behind"] == 0 < rows["near"]["behind"]
    assert (
        rows["doubtful"]["behind"] == pytest.approx(rows["fit"]["image_auroc"] - 1.0) and rows["fit"]["behind_low"] == 0
    )
    said = recommended(list(rows.values()), margin=0.0001, pictures=10)[0]
    assert said.method == "fit" and said.sentence.endswith("not told apart from it by these pictures: near")


def test_the_note_of_a_row_has_the_settings_of_its_runs(tmp_path: Path, settings: Settings) -> None:
    c, found = outcomes(tmp_path, settings, {"a/one/seed0": PERFECT, "a/two/seed0": None})
    c = c._replace(methods=(c.methods[0]._replace(note="as published"),))
    found = [one._replace(run=one.run._replace(method=c.methods[0])) for one in found]
    (row,) = group_rows(c, found, groups_of(c)[0])
    assert row["note"] == "as published; 32 px"


def test_costs_of_other_settings_are_not_shown(tmp_path: Path, settings: Settings) -> None:
    c, found = outcomes(tmp_path, settings, {"a/one/seed0": PERFECT})
    path = found[0].run.beside(".cost.json")
    path.write_text(path.read_text().replace(identity_of(settings), "others"))
    (row,) = group_rows(c, outcomes_of([found[0].run], lambda run: settings, 0.475), groups_of(c)[0])
    assert math.isnan(row["ms_1"]) and row["fit_seconds"] == 10.0


def test_the_papers_numbers_stand_beside_ours() -> None:
    ours = [{"published_as": "DDAD", "group": "screw", "missing": 0, "image_auroc": 0.9}]
    numbers = {"DDAD": {"screw": {"image_auroc": 0.99}, "pill": {"image_auroc": 0.5}}, "GLASS": {"screw": {"f1": 0.8}}}
    assert published_rows(ours, Published(numbers)) == [
        {"method": "DDAD", "group": "screw", "image_auroc": 0.9, "image_auroc, paper": 0.99},
        {"method": "DDAD", "group": "pill", "image_auroc": None, "image_auroc, paper": 0.5},
        {"method": "GLASS", "group": "screw", "f1": None, "f1, paper": 0.8},
    ]


def test_a_papers_mean_stands_beside_ours_over_the_same_sets_alone() -> None:
    def of(group: str, auroc: float, missing: int = 0) -> dict[str, Any]:
        return {"published_as": "DDAD", "group": group, "missing": missing, "image_auroc": auroc, "ms_1": 4.0}

    alone = {name: {"image_auroc": auroc} for name, auroc in {"screw": 0.9, "pill": 0.7, "tile": 0.2}.items()}
    paper = Published(
        {"DDAD": {AVERAGE: {"image_auroc": 0.6, "ms_1": 8.0}, **alone}}, {AVERAGE: ("screw", "pill", "tile")}
    )
    ours = [of("screw", 1.0), of("pill", 0.9), of("tile", 0.8)]

    def means(rows: list[dict[str, Any]]) -> dict[str, Any]:
        return {row["group"]: row for row in published_rows(rows, paper) if row["group"] not in alone}

    whole = means(ours)
    assert list(whole) == [AVERAGE] and whole[AVERAGE]["ms_1"] == 4.0
    assert whole[AVERAGE]["image_auroc"] == pytest.approx(0.9) and whole[AVERAGE]["image_auroc, paper"] == 0.6
    for rows in (ours[:2], [*ours[:2], of("tile", 0.8, missing=1)], [*ours[:2], of("beyond", 0.1)]):
        some = means(rows)
        assert some[AVERAGE]["image_auroc"] is None and some[AVERAGE]["ms_1, paper"] == 8.0
        beside = some["mean of screw, pill"]
        assert beside["image_auroc"] == pytest.approx(0.95) and beside["image_auroc, paper"] == pytest.approx(0.8)
        assert "ms_1" not in beside
