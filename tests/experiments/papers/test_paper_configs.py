"""The configs of experiments/configs/paper: each loads, passes its checks, and says what it is."""

import importlib
import shlex
from pathlib import Path
from typing import Any

import pytest
from ml_collections import ConfigDict

from ddad_jax.engine.methods.ddad.points import SETTINGS, ddad_plan
from ddad_jax.engine.methods.point import key_of, point_settings
from ddad_jax.engine.setting_checks import check_settings
from ddad_jax.errors import InputError
from experiments.papers.overview import FIGURES, TABLES, described
from experiments.papers.settings import DATA

ROOT = Path(__file__).parents[3]
NAMES = (*TABLES, *FIGURES)


def loaded(name: str, argument: str) -> ConfigDict:
    module = importlib.import_module(f"experiments.configs.paper.{name if name in FIGURES else f'table{name}'}")
    c: ConfigDict = module.get_config(argument)
    c.data.root = "."
    return c


def test_every_config_of_the_folder_is_in_the_index() -> None:
    files = {path.stem for path in (ROOT / "experiments/configs/paper").glob("*.py")} - {"__init__"}
    assert files == {*(f"table{name}" for name in TABLES), *FIGURES}


@pytest.mark.parametrize("name", NAMES)
def test_the_head_names_table_data_command_and_cost(name: str) -> None:
    found = described(name)
    title = f"Figure {name[6:]}:" if name in FIGURES else f"Table {name}:"
    assert found.heading.startswith(title) and found.heading.endswith(".")
    assert all(DATA[data].name in found.data for data in found.table.data())
    assert "gpu:" in found.cost and "cpu:" in found.cost
    python, module, program, *flags = shlex.split(found.command)
    assert (python, module, program) == ("python", "-m", "experiments.paper")
    given = dict(flag.removeprefix("--").split("=", 1) for flag in flags)
    assert given["table"] == name and given["size"] == "gpu" and given.keys() == {"table", "data", "size"}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", ["cpu", "gpu", "gpu,reference"])
def test_every_run_of_a_table_passes_its_checks_and_holds_its_points(name: str, size: str) -> None:
    table = described(name).table
    for data in table.data():
        for category in DATA[data].categories[:3]:
            word, _, published = size.partition(",")
            runs = table.runs(data, category, word, root=".", published=bool(published))
            for run in runs:
                todo = ddad_plan(check_settings(run.settings), sweep=True)
                there = {
                    key_of(point_settings(point, score), SETTINGS) for point in todo.costly for score in todo.cheap
                }
                assert {run.key(line) for line in run.lines} <= there
            assert sum(len(run.lines) for run in runs) == len(table.lines(data))
            assert len({run.name for run in runs}) == len(runs)


def test_a_config_takes_category_size_and_run() -> None:
    assert loaded("12", "").data.category == "carpet" and loaded("12", "").data.size == 64
    c = loaded("12", "screw,gpu")
    assert (c.data.category, c.data.size, c.model.base, c.sweep.feature_weight) == ("screw", 256, 64, (0.0,))
    assert c.sweep.w == (0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0) and c.adapt.epochs == 0
    assert loaded("17", "bottle,gpu,ddad/resnet50-lambda0.1").backbone.name == "resnet50"
    assert loaded("2", "cashew,gpu").score.v == 1.5
    with pytest.raises(InputError, match="expected CATEGORY,SIZE,RUN.*ddad/efficientnet_lite0-frozen"):
        loaded("12", "bottle,ddad/resnet18")
    with pytest.raises(InputError, match="expected CATEGORY,SIZE,RUN"):
        loaded("12", "bottle,screw")


def test_pixels_alone_ask_for_no_weights_and_no_adaptation() -> None:
    for name in ("12", "15"):
        for run in described(name).table.runs(described(name).table.data()[0], "x", "gpu"):
            assert run.config.backbone.name == "efficientnet_lite0" and run.config.adapt.epochs == 0


@pytest.mark.parametrize(
    ("category", "expected"), [("screw", (2.0, 4, 20000)), ("carpet", (0.0, 0, 20000)), ("mine", (3.0, 8, 20000))]
)
def test_at_the_papers_size_a_category_has_the_papers_settings_and_others_the_defaults(
    category: str, expected: tuple[Any, ...]
) -> None:
    (run,) = described("13").table.runs("mvtec", category, "gpu")
    c = run.config
    assert (c.sample.w, c.adapt.epochs, c.train.steps) == expected
    assert (c.model.base, c.backbone.name, c.sample.t_prime, c.sample.steps) == (64, "wide_resnet101_2", 250, 10)


def test_a_category_that_the_paper_does_not_adapt_is_one_run_whatever_the_loss() -> None:
    """As in the paper, whose four rows of Table 19 are the same for carpet."""
    (run,) = described("19").table.runs("mvtec", "carpet", "gpu")
    assert run.name == "ddad/wide_resnet101_2-frozen" and len(run.lines) == 4


def test_an_unknown_table_is_refused_by_a_list_of_all() -> None:
    with pytest.raises(InputError, match="--table=9: expected one of 1, 2.*19, figure4, figure7, figure8"):
        described("9")
