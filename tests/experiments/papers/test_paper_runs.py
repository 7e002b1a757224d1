"""A table is made: one training for all its runs, what is there is not made again, every cell says what it is."""

import csv
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import tiny_runs
from ml_collections import ConfigDict
from trees import mvtec

from ddad_jax.engine import pipeline
from ddad_jax.engine.methods.ddad import noise_predictor
from ddad_jax.engine.methods.ddad.sections import DDADSettings
from ddad_jax.engine.settings.section import changed
from ddad_jax.engine.store.tables import read_jsonl
from ddad_jax.errors import InputError
from experiments import paper
from experiments.papers import epochs, rendering, running, settings
from experiments.papers.cells import filled
from experiments.papers.overview import described
from experiments.papers.running import (
    Ask,
    begin_with_training,
    everything,
    run_missing,
    states,
    training_fingerprint,
    weights_of,
)
from experiments.papers.settings import Named
from experiments.papers.table import Table, TableBlock, TableLine
from experiments.papers.writing import write_paper_table

pytestmark = pytest.mark.drawn

LAMBDAS = Table("19", (TableBlock("19", tuple(
    TableLine(f"lambda_DL = {x:g}", made={"adapt.lambda_dl": x, "adapt.epochs": 1}) for x in (0.0, 0.1)
)),))  # fmt: skip
EVERY = {"adapt.epochs": 2, "adapt.patience": 0, "adapt.choose": "last"}
CURVES = Table("figure7", (TableBlock("figure7", (
    TableLine("with distillation loss", made=EVERY),
    TableLine("with distillation loss, features alone", made=EVERY, point={"v": 0.0}),
)),))  # fmt: skip


class Counts(NamedTuple):
    trainings: list[int]
    runs: list[Path]


def tiny(named: Named) -> ConfigDict:
    return tiny_runs.config_dict(Path(), score__v=3.0)


@pytest.fixture(scope="module")
def small() -> Iterator[Counts]:
    """Small networks in the place of those of --size=cpu; what was trained and which runs were made."""
    counts = Counts([], [])
    with pytest.MonkeyPatch.context() as patch:
        tiny_runs.small_predictor(patch.setattr)
        tiny_runs.small_backbone(patch.setattr)
        patch.setattr(epochs, "load_backbone", lambda name, path: tiny_runs.variables())
        patch.setitem(settings.SIZES, "cpu", tiny)
        descend, run_all = noise_predictor.train_steps, running.run_all

        def counted(*args: Any, **kwargs: Any) -> Any:
            counts.trainings.append(1)
            return descend(*args, **kwargs)

        def noted(config: DDADSettings, folder: Path, **kwargs: Any) -> Any:
            counts.runs.append(folder)
            return run_all(config, folder, **kwargs)

        patch.setattr(noise_predictor, "train_steps", counted)
        patch.setattr(running, "run_all", noted)
        # The runs' own reports take longest.
        patch.setattr(pipeline.results, "write_results", lambda c, w, *args, **kwargs: (w / "report.html").touch())
        yield counts


class Made(NamedTuple):
    ask: Ask
    text: str
    trainings: int


@pytest.fixture(scope="module")
def made(small: Counts, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Table 12, then two rows of Table 19, of one category that the paper has."""
    base = tmp_path_factory.mktemp("paper")
    for category in ("bottle", "bolt"):
        mvtec(base / "data", category, n_train=9)
    ask = Ask({"mvtec": base / "data"}, base / "w")
    table = described("12").table
    text = write_paper_table(table, ask, run_missing(table, ask))
    run_missing(LAMBDAS, ask)
    return Made(ask, text, len(small.trainings))


def test_variants_share_one_training(made: Made) -> None:
    folder = made.ask.folder / "mvtec/bottle/ddad"
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "unet",
        "efficientnet_lite0-frozen",
        "efficientnet_lite0-lambda0-epochs1",
        "efficientnet_lite0-lambda0.1-epochs1",
    }
    assert made.trainings == 1
    assert len({training_fingerprint(path) for path in folder.iterdir()}) == 1
    assert {len(read_jsonl(path / "adapt.jsonl")) for path in folder.iterdir() if "lambda" in path.name} == {2}


def test_a_cell_of_table_12_is_the_row_of_its_w_with_pixels_alone(made: Made) -> None:
    table = described("12").table
    found = everything(table, made.ask)
    sheet = filled(table.blocks[0], {category: runs for (_, category), runs in found.items()})
    rows = read_jsonl(made.ask.folder / "mvtec/bottle/ddad/efficientnet_lite0-frozen/journal.jsonl")
    by_w = {row["w"]: row for row in rows if row["feature_weight"] == 0.0}
    assert sorted(by_w) == [float(w) for w in range(7)]
    for w, row in by_w.items():
        cell = sheet.cells[f"w = {w:g}", "bottle"]
        assert cell.ours == pytest.approx((100 * row["image_auroc"], 100 * row["pixel_auroc"]))
        assert cell.paper == sheet.numbers.cell(f"w = {w:g}", "bottle")
        assert cell.difference == pytest.approx(np.subtract(cell.ours, cell.paper))
    # Another category of the folder is not the paper's and was not asked for.
    assert sheet.run == ("bottle",) and "bolt" not in sheet.columns


def test_the_printed_table_says_size_averages_and_what_was_not_run(made: Made) -> None:
    text = made.text
    assert "NOT THE PAPER'S SIZE" in text and "Table 12" in text
    assert "not run" in text and "(1 of 15)" in text and "Averages of ours are over 1 of 15 categories" in text
    assert "[96.3, 87.5]" in text  # bottle at w = 0
    assert "The paper: No averages are printed" in text
    assert "Rows that name no feature extractor" not in text, "its rows see pixels alone"
    base = made.ask.folder / "table12"
    assert all(base.with_suffix(kind).exists() for kind in (".csv", ".md", ".html"))
    with base.with_suffix(".csv").open() as file:
        rows = list(csv.DictReader(file))
    one = next(r for r in rows if (r["row"], r["column"], r["metric"]) == ("w = 2", "bottle", "image_auroc"))
    assert float(one["paper"]) == 96.0 and float(one["difference"]) == pytest.approx(float(one["ours"]) - 96.0)
    assert {r["ours"] for r in rows if r["column"] == "screw"} == {""}


def test_what_is_there_is_not_made_again(made: Made, small: Counts) -> None:
    before = len(small.runs), len(small.trainings)
    table = described("12").table
    assert write_paper_table(table, made.ask, run_missing(table, made.ask)) == made.text
    assert (len(small.runs), len(small.trainings)) == before
    assert not [state.missing for state in states(table, made.ask) if state.missing]


def test_rows_that_a_kill_left_out_are_made_and_only_those(made: Made, small: Counts, tmp_path: Path) -> None:
    workdir = tmp_path / "w"
    shutil.copytree(made.ask.workdir, workdir)
    ask = made.ask._replace(workdir=workdir)
    folder = ask.folder / "mvtec/bottle/ddad/efficientnet_lite0-frozen"
    journal = (folder / "journal.jsonl").read_text().splitlines(keepends=True)
    (folder / "journal.jsonl").write_text("".join(journal[:-3]) + journal[-3][:20])  # the last line is torn
    table, before = described("12").table, len(small.trainings)
    run_missing(table, ask)
    again = {row["w"]: row["image_auroc"] for row in read_jsonl(folder / "journal.jsonl") if not row["feature_weight"]}
    first = read_jsonl(made.ask.folder / folder.relative_to(ask.folder) / "journal.jsonl")
    assert again == {row["w"]: row["image_auroc"] for row in first if not row["feature_weight"]}
    assert len(small.trainings) == before


def test_a_training_is_taken_over_whole_or_not_at_all(made: Made, tmp_path: Path) -> None:
    (state,) = states(described("12").table, made.ask)
    source, folder, config = state.folder.parent / "unet", tmp_path / "other", state.run.settings
    data = running.load_data(config)
    torn = folder / ".train.part" / "3"
    torn.mkdir(parents=True)
    (torn / "half").write_text("what a kill left")
    begin_with_training(folder, source, config, data)
    assert training_fingerprint(folder) == training_fingerprint(source) and not (folder / ".train.part").exists()
    shutil.rmtree(folder / "train")
    with pytest.raises(InputError, match="training that has ended|holds no training"):
        begin_with_training(tmp_path / "next", folder, config, data)


def test_another_training_or_other_settings_are_refused(made: Made, tmp_path: Path) -> None:
    (state,) = states(described("12").table, made.ask)
    config, unet, folder = state.run.settings, tmp_path / "unet", tmp_path / "variant"
    data = running.load_data(config)
    shutil.copytree(state.folder.parent / "unet", unet)
    begin_with_training(folder, unet, config, data)
    file = next(p for p in (unet / "train").rglob("*") if p.is_file())
    content = file.read_bytes()
    file.unlink()  # a link of both folders
    file.write_bytes(content + b" ")
    with pytest.raises(InputError, match=f"{folder}: began with another training than {unet}"):
        begin_with_training(folder, unet, config, data)
    config = changed(config, {"train.steps": 7})
    with pytest.raises(InputError, match="train.steps: there 6, now 7"):
        begin_with_training(folder, unet, config, data)


def test_a_category_of_ones_own_gets_a_column_without_numbers_of_the_paper(made: Made, tmp_path: Path) -> None:
    shutil.copytree(made.ask.workdir, tmp_path / "w")
    ask = made.ask._replace(workdir=tmp_path / "w", categories=("bolt",))
    table = Table("13", (TableBlock("13", (TableLine("v = 1.0", made={"adapt.epochs": 0}, point={"v": 1.0}),)),))
    text = write_paper_table(table, ask, run_missing(table, ask))
    sheet = filled(table.blocks[0], {c: runs for (_, c), runs in everything(table, ask).items()})
    assert sheet.cells["v = 1.0", "bolt"].paper is None and sheet.cells["v = 1.0", "bolt"].ours is not None
    assert sheet.cells["v = 1.0", "average"].of == (0, 15) and sheet.cells["v = 1.0", "average"].difference is None
    assert "bolt: not in the paper, run with the config's defaults" in text
    assert "Rows that name no feature extractor use EfficientNet-Lite0" in text
    assert "Averages of ours are over categories that the paper does not have" in text
    assert "bolt" in rendering.markdown(sheet) and "bolt" in rendering.html(sheet, "t")


def test_figure_7_has_a_score_for_every_epoch(made: Made, tmp_path: Path) -> None:
    shutil.copytree(made.ask.workdir, tmp_path / "w")
    ask = made.ask._replace(workdir=tmp_path / "w", categories=("bottle",))
    text = write_paper_table(CURVES, ask, run_missing(CURVES, ask))
    with (ask.folder / "figure7.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in rows] == [0, 1, 2] * 2 and (ask.folder / "figure7.png").exists()
    frozen = ask.folder / "mvtec/bottle/ddad/efficientnet_lite0-frozen/journal.jsonl"
    as_it_came = next(r for r in read_jsonl(frozen) if (r["w"], r["v"], r["feature_weight"]) == (3.0, 3.0, 1.0))
    assert float(rows[0]["image_auroc"]) == pytest.approx(100 * as_it_came["image_auroc"])
    assert "shows a course and chooses nothing" in text
    assert not states(CURVES, ask)[0].missing


def test_figure_4_draws_what_was_run_beside_the_papers(made: Made, tmp_path: Path) -> None:
    ask = made.ask._replace(workdir=tmp_path / "w")
    text = write_paper_table(described("figure4").table, ask, [])
    assert "not run" in text and "[99.8, 98.1]" in text and (ask.folder / "figure4.png").exists()


def test_absent_weights_skip_a_row_and_say_so(made: Made, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def absent(name: str, download: bool = True) -> Path:
        raise InputError(f"{name} needs a weights file")

    monkeypatch.setattr(running, "find_backbone", absent)
    with pytest.raises(InputError, match="needs a weights file"):
        run_missing(described("13").table, made.ask._replace(workdir=tmp_path))
    found = states(described("17").table, made.ask)
    assert {state.skipped for state in found} == {
        f"{name} needs a weights file" for name in ("resnet50", "wide_resnet50_2", "efficientnet_lite0")
    }
    (tmp_path / "resnet50-0676ba61.pth").touch()
    given = made.ask._replace(weights=weights_of([str(tmp_path)]))
    runs = {state.run.config.backbone.name: state for state in states(described("17").table, given)}
    assert not runs["resnet50"].skipped and runs["resnet50"].run.config.backbone.weights.endswith("0676ba61.pth")
    with pytest.raises(InputError, match="expected torchvision's files"):
        (tmp_path / "empty").mkdir()
        weights_of([str(tmp_path / "empty")])
    with pytest.raises(InputError, match="is not there"):
        weights_of([str(tmp_path / "none")])


def test_data_that_are_not_there_are_named_with_their_layout(made: Made, tmp_path: Path) -> None:
    table = described("12").table
    with pytest.raises(InputError, match="--data: expected the root of MVTec AD .ROOT/bottle/train"):
        paper.roots(table, [])
    with pytest.raises(InputError, match="is no folder"):
        states(table, made.ask._replace(roots={"mvtec": tmp_path / "none"}))
    with pytest.raises(InputError, match="--categories: .* has no screwdriver; it has bottle, bolt"):
        states(table, made.ask._replace(categories=("screwdriver",)))
    mvtec(tmp_path, "bolt")
    with pytest.raises(InputError, match="none of its categories .bolt. is one of MVTec AD.*--categories=bolt"):
        states(table, made.ask._replace(roots={"mvtec": tmp_path}))
    assert settings.chosen("mvtec", tmp_path, ["bolt", "bolt"]) == ["bolt"], "asked for twice it is run once"
    with pytest.raises(InputError, match="no folder MT_Free"):
        states(described("3").table, made.ask._replace(roots={"mtd": tmp_path}))


def test_table_4_takes_its_data_sets_by_name() -> None:
    table = described("4").table
    assert paper.roots(table, ["visa=/v", "mvtec=/m"]) == {"visa": Path("/v"), "mvtec": Path("/m")}
    assert paper.roots(table, ["visa=/v"]) == {"visa": Path("/v")}
    with pytest.raises(InputError, match="mvtec=ROOT and visa=ROOT"):
        paper.roots(table, ["/somewhere"])
    with pytest.raises(InputError, match="expected mvtec=ROOT"):
        paper.roots(described("12").table, ["visa=/v"])


@pytest.mark.parametrize(
    ("table", "given"),
    [("12", ["/a", "/b"]), ("12", ["mvtec=/a", "/b"]), ("4", ["mvtec=/a", "visa=/v", "mvtec=/b"])],
)
def test_two_roots_of_one_data_set_are_both_named(table: str, given: list[str]) -> None:
    with pytest.raises(InputError, match=f"--data: {given[0]} and {given[-1]} are both MVTec AD; expected one root"):
        paper.roots(described(table).table, given)
