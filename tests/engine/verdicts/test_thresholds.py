"""Thresholds are set where no label can be seen, and calibration.json says what they rest on."""

import ast
import json
import logging
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_runs

from ddad_jax.data import ImageSet
from ddad_jax.engine import pipeline
from ddad_jax.engine.data.splits import load_data
from ddad_jax.engine.methods.ddad.sections import DDADSettings
from ddad_jax.engine.pipeline import run_all
from ddad_jax.engine.setting_checks import check_settings
from ddad_jax.engine.settings.section import changed
from ddad_jax.engine.store.tables import read_jsonl
from ddad_jax.engine.verdicts import thresholds
from ddad_jax.engine.verdicts.thresholds import Normal, calibrate, shortage, thresholds_of, warned
from ddad_jax.errors import InputError
from ddad_jax.metrics.thresholds import PIXEL_RULES, RULES, tuning_size

ROOT = Path(__file__).parents[3]


def normal(n: int = 120, available: int = 120, seed: int = 0) -> Normal:
    maps = np.random.default_rng(seed).gamma(2.0, size=(n, 6, 6)).astype(np.float32)
    return Normal(maps.max((1, 2)), maps, available)


def asked(**changes: Any) -> Any:
    own = {f"threshold.{name}": value for name, value in changes.items()}
    return check_settings(changed(DDADSettings(), {"data.root": "somewhere", **own})).threshold


def test_every_rule_is_written_with_what_it_rests_on(tmp_path: Path) -> None:
    found, said = calibrate(tmp_path / "calibration.json", {"w": 3.0}, asked(), normal())
    content = json.loads((tmp_path / "calibration.json").read_text())
    assert content["w"] == 3.0 and said == [] == content["threshold_warnings"]
    # The default is the largest score of a held-out normal picture.
    assert content["threshold"] == max(content["normal_scores"]) == found.score.value
    assert content["threshold_rule"] == "max" and content["held_out_images"] == 120
    assert content["pixel_threshold"] == content["thresholds"]["pixel"]["max"]["value"]
    assert set(content["thresholds"]["image"]) == {*RULES} and set(content["thresholds"]["pixel"]) == {*PIXEL_RULES}
    for of_level in content["thresholds"].values():
        for one in of_level.values():
            assert one["n"] == 120 and one["guarantee"] and np.isfinite(one["value"])
    assert content["threshold_settings"]["delta"] == 0.05


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("pixel_rule", PIXEL_RULES)
def test_the_configured_rules_are_the_ones_in_use(rule: str, pixel_rule: str) -> None:
    found = thresholds_of(asked(rule=rule, pixel_rule=pixel_rule), normal())
    assert found.score == found.image[rule] and found.of_pixels == found.pixel[pixel_rule]


@pytest.mark.parametrize("rule", RULES)
def test_a_shortage_of_pictures_is_known_before_their_scores_are(rule: str) -> None:
    for n in (1, 3, 12, 300):
        enough = normal(n, available=n)
        found = thresholds_of(asked(rule=rule), enough)
        (*said,) = warned(asked(rule=rule), found._replace(of_pixels=found.of_pixels._replace(warning="")), enough)
        assert shortage(asked(rule=rule), n, n) == said


def test_too_few_pictures_are_told_with_the_flag_that_mends_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        _, said = calibrate(tmp_path / "calibration.json", {}, asked(rule="conformal_pac"), normal(32, available=80))
    (sentence,) = said
    assert "at least 59 are needed" in sentence and "--config.data.calibration=59" in sentence
    assert "data.held_out" not in sentence
    # Their number is known before a training, which is when it was said; not twice.
    assert shortage(asked(rule="conformal_pac"), 32, 80) == said and sentence not in caplog.text
    assert json.loads((tmp_path / "calibration.json").read_text())["threshold_warnings"] == said
    few = normal(3, available=3)
    for rule in RULES:
        c = asked(rule=rule)
        (sentence,) = warned(c, thresholds_of(c, few), few)
        assert "--config.data.calibration=" in sentence and "--config.data.held_out" in sentence


@pytest.mark.parametrize("tuning", [0.2, 0.4, 0.5])
@pytest.mark.parametrize("rule", ["conformal", "conformal_pac", "quantile"])
def test_the_pictures_told_are_enough_where_others_choose(rule: str, tuning: float) -> None:
    (sentence,) = shortage(asked(rule=rule), 5, 9, tuning)
    told = int(re.findall(r"--config\.data\.calibration=(\d+)", sentence)[0])
    assert f"hold out {told} pictures" in sentence.lower() and "--config.data.tuning" in sentence
    enough, few = (n - tuning_size(n, tuning) for n in (told, told - 1))
    assert shortage(asked(rule=rule), enough, told, tuning) == [] and shortage(asked(rule=rule), few, told - 1, tuning)


def test_no_normal_picture_and_maps_that_diverged_are_refused() -> None:
    with pytest.raises(InputError, match="held-out"):
        thresholds_of(asked(), Normal(np.zeros(0), np.zeros((0, 4, 4)), 0))
    diverged = normal(4)._replace(maps=np.full((4, 6, 6), np.nan))
    with pytest.raises(InputError, match="NaN"):
        thresholds_of(asked(), diverged)


@pytest.mark.parametrize(
    ("name", "value"),
    [("rule", "median"), ("pixel_rule", "conformal"), ("level", 0.0), ("p", 1.0), ("delta", -1.0), ("k", np.inf)],
)
def test_settings_that_cannot_be_used_name_their_flag(name: str, value: Any) -> None:
    with pytest.raises(InputError, match=rf"--config\.threshold\.{name}="):
        asked(**{name: value})


# --- Labels of test pictures are out of reach ------------------------------------------------------------------------

ALLOWED = {
    "ddad_jax/engine/verdicts/thresholds.py": {
        "ddad_jax.metrics.thresholds",
        "ddad_jax.engine.store.tables",
        "ddad_jax.engine.settings.threshold",
    },
    "ddad_jax/engine/settings/threshold.py": {
        "ddad_jax.metrics.thresholds",
        "ddad_jax.engine.settings.section",
        "ddad_jax.engine.settings.setting",
    },
    "ddad_jax/engine/settings/section.py": {"ddad_jax.errors", "ddad_jax.engine.settings.setting"},
    "ddad_jax/engine/settings/setting.py": set(),
    "ddad_jax/metrics/thresholds.py": {"ddad_jax.errors", "ddad_jax.metrics.curve"},
    "ddad_jax/metrics/curve.py": {"ddad_jax.errors"},
    "ddad_jax/engine/store/tables.py": {"ddad_jax.errors"},
}
"""What the code that sets thresholds imports, all the way down, besides the standard library, NumPy and SciPy."""
PLAIN = {
    "contextlib",
    "itertools",
    "json",
    "tempfile",
    "logging",
    "math",
    "csv",
    "io",
    "os",
    "collections",
    "dataclasses",
    "numbers",
    "pathlib",
    "typing",
    "fractions",
    "numpy",
    "scipy",
}


@pytest.mark.parametrize("path", ALLOWED)
def test_the_code_that_sets_thresholds_imports_nothing_that_knows_test_pictures(path: str) -> None:
    found = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(str(node.module))
    assert {name for name in found if name.partition(".")[0] not in PLAIN} <= ALLOWED[path]
    below = {name.replace(".", "/") + ".py" for name in ALLOWED[path] if name.startswith(("ddad_jax", "experiments"))}
    assert below - {"ddad_jax/errors.py"} <= set(ALLOWED)


def test_nothing_there_has_a_place_for_labels() -> None:
    assert Normal._fields == ("scores", "maps", "available", "watched", "tuning", "recordings")
    words = {
        node.id for node in ast.walk(ast.parse(Path(thresholds.__file__).read_text())) if isinstance(node, ast.Name)
    }
    assert not words & {"labels", "masks", "has_mask", "defects", "test", "data"}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_runs.small_predictor(monkeypatch.setattr)
    tiny_runs.small_backbone(monkeypatch.setattr)


def poisoned(test: ImageSet, seed: int) -> ImageSet:
    """The same pictures with labels, masks and kinds drawn by lot."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(test.labels)
    masks = (rng.random(test.masks.shape) < 0.3) & (labels == 1)[:, None, None]
    defects = tuple("poison" if label else "good" for label in labels)
    return test._replace(labels=labels, masks=masks, defects=defects, has_mask=np.ones(len(labels), bool))


@pytest.mark.usefixtures("quick")
def test_poisoned_test_labels_change_no_bit_of_the_calibration(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    c = tiny_runs.config(root, threshold__rule="conformal", threshold__level=0.3, data__held_out=0.4)
    run_all(c, tmp_path / "clean", sweep=False)
    clean = (tmp_path / "clean" / "calibration.json").read_bytes()
    data = load_data(c)
    wrong = data._replace(test=poisoned(data.test, 0))
    assert (wrong.test.labels != data.test.labels).any()
    monkeypatch.setattr(pipeline, "load_data", lambda config: wrong)
    run_all(c, tmp_path / "poisoned", sweep=False)
    assert (tmp_path / "poisoned" / "calibration.json").read_bytes() == clean
    # The poison did reach the evaluation.
    found = [read_jsonl(tmp_path / name / "results.jsonl")[0]["pixel_auroc"] for name in ("clean", "poisoned")]
    assert found[0] != found[1]


@pytest.mark.usefixtures("quick")
def test_pictures_that_give_the_threshold_choose_nothing(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few: dict[str, Any] = {"synthetic_defects": 4, "synthetic_normals": 2, "adapt__epochs": 1}
    c = tiny_runs.config(root, select="synthetic", sweep__w=(0.0, 3.0), sweep__standardise=(False, True), **few)
    data = load_data(c)
    dark = data.calibration._replace(images=data.calibration.images // 3)

    def run(name: str, calibration: ImageSet) -> tuple[list[Any], dict[str, Any]]:
        workdir = tmp_path / name
        monkeypatch.setattr(pipeline, "load_data", lambda config: data._replace(calibration=calibration))
        run_all(c, workdir, sweep=True)
        chosen = json.loads((workdir / "chosen.json").read_text())
        epoch = json.loads((workdir / "adapt" / "chosen.json").read_text())
        rows = read_jsonl(workdir / "results.jsonl")
        seen = [{n: v for n, v in row.items() if "auroc" in n or "ratio" in n} for row in rows]
        told = json.loads((workdir / "calibration.json").read_text())
        return [chosen["point"], chosen["synthetic_image_auroc"], epoch, seen], told

    (chosen, light), (still, other) = run("a", data.calibration), run("b", dark)
    # Neither what was chosen nor any score of another picture has seen them; the threshold has seen nothing else.
    assert chosen == still and light["normal_scores"] != other["normal_scores"]
    assert light["tuning_images"] == light["held_out_images"] == 2 and light["threshold"] != other["threshold"]


def test_a_quantile_is_of_pictures_and_a_conformal_bound_of_recordings() -> None:
    many = normal(50)._replace(recordings=[str(i % 25) for i in range(50)])
    (of_pictures,) = warned(asked(rule="quantile"), thresholds_of(asked(rule="quantile"), many), many)
    assert "it takes 100" in of_pictures and "recordings" not in of_pictures
    few = many._replace(recordings=[str(i % 2) for i in range(50)])
    (of_recordings,) = warned(asked(rule="conformal"), thresholds_of(asked(rule="conformal"), few), few)
    assert "2 calibration recordings (50 pictures)" in of_recordings and "until 19 recordings" in of_recordings
