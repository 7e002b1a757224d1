"""A whole search asks what no label has told, answers each trial once and keeps the best point."""

import json
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_runs
from ml_collections import ConfigDict

from ddad_jax.checkpoint import params_fingerprint
from ddad_jax.engine import pipeline
from ddad_jax.engine.data.splits import load_data
from ddad_jax.engine.methods.ddad import evidence
from ddad_jax.engine.methods.ddad import method as ddad_method
from ddad_jax.engine.methods.ddad.method import DDAD
from ddad_jax.engine.methods.ddad.points import SETTINGS, config_point, ddad_point_of
from ddad_jax.engine.methods.ddad.sections import DDADSettings
from ddad_jax.engine.methods.point import key_of, point_settings
from ddad_jax.engine.pipeline import run_all
from ddad_jax.engine.search import outcome
from ddad_jax.engine.search import search as search_search
from ddad_jax.engine.search.judge import quantum_of, without_test, worth_of
from ddad_jax.engine.search.outcome import kept_point_command
from ddad_jax.engine.search.search import Search, run_search
from ddad_jax.engine.search.space import point_at
from ddad_jax.engine.settings.section import changed
from ddad_jax.engine.store.tables import read_jsonl
from ddad_jax.engine.sweep.choice import ChosenPoint, load_chosen, save_chosen
from ddad_jax.errors import InputError

pytest.importorskip("optuna", reason="an extra: pip install '.[search]'")

OVER = ["w:0:6", "t_prime", "fade", "v", "sigma:2:6"]
HOW = Search(OVER, trials=12, scores=3, groups=2)
MEASURED = ("ms_per_image",)


@pytest.fixture(scope="module")
def programs() -> Iterator[Any]:
    """Those that were made: one for all searches of a model, as compiling it is most of what a small search takes."""
    made: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        tiny_runs.small_predictor(patch.setattr)
        tiny_runs.small_backbone(patch.setattr)
        program_of = evidence.program_of

        def shared(c: Any, params: Any, variables: Any, mesh: Any = None) -> Any:
            key = params_fingerprint((params, variables))
            made[key] = made.get(key) or program_of(c, params, variables, mesh)
            return made[key]

        for module in (evidence, ddad_method):
            patch.setattr(module, "program_of", shared)
        yield made.values()


@pytest.fixture(scope="module")
def done(programs: Any, config: DDADSettings, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    workdir = tmp_path_factory.mktemp("search") / "run"
    return workdir, run_search(config, workdir, HOW)


@pytest.fixture
def model(done: tuple[Path, dict[str, Any]], tmp_path: Path) -> Path:
    """A workdir with the same model and no search."""
    return Path(
        shutil.copytree(done[0], tmp_path / "run", ignore=shutil.ignore_patterns("search*", "chosen*", "tensorboard"))
    )


@pytest.fixture(autouse=True)
def drawn_once(done: tuple[Path, dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    """The figure was drawn once, which is enough."""
    monkeypatch.setattr(outcome, "search_figure", lambda *a, **k: None)


def bare(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if k not in MEASURED} for row in rows]


def test_every_trial_has_a_row_and_the_best_is_kept(done: tuple[Path, dict[str, Any]], config: DDADSettings) -> None:
    workdir, best = done
    rows = read_jsonl(workdir / "search.jsonl")
    assert [row["trial"] for row in rows] == list(range(12))
    ranked = max(rows, key=lambda r: (r["synthetic_image_auroc"], r["synthetic_aupro_30"], -r["trial"]))
    assert ranked == best
    said = json.loads((workdir / "chosen.json").read_text())
    assert (
        ddad_point_of(said["point"]) == ddad_point_of(best)
        and said["synthetic_image_auroc"] == best["synthetic_image_auroc"]
    )
    assert (workdir / "figures" / "search.png").exists()
    # The first is the config's own point; trials of a group share a reconstruction and nothing else.
    assert ddad_point_of(rows[0]) == config_point(config)
    recons = [ddad_point_of(row)[0] for row in rows]
    assert all(len(set(recons[at : at + 3])) == 1 for at in range(0, 12, 3)) and len(set(recons)) == 4
    assert len({ddad_point_of(row)[1] for row in rows}) == 12
    assert all(2 <= row["sigma"] * 256 / 32 <= 6 for row in rows)


def test_the_objective_is_the_sweeps(
    done: tuple[Path, dict[str, Any]], config: DDADSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the evaluation takes the kept point, without a sweep."""
    workdir, best = done
    c = changed(config, {"select": "synthetic"})
    monkeypatch.setattr(pipeline.results, "write_results", lambda *a, **k: None)
    (row,) = run_all(c, workdir, sweep=False)
    assert row["selected"] and key_of(row, SETTINGS) == key_of(point_settings(*ddad_point_of(best)), SETTINGS)
    for name in ("synthetic_image_auroc", "synthetic_aupro_30", "synthetic_pixel_auroc"):
        assert row[name] == pytest.approx(best[name], abs=1e-9)


def test_the_same_command_again_tries_nothing_and_another_search_is_refused(
    done: tuple[Path, dict[str, Any]], config: DDADSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    workdir, best = done
    before = (workdir / "search.jsonl").read_bytes()
    shutil.rmtree(workdir / "tensorboard" / "search")
    (workdir / "tracking.jsonl").unlink()  # as for a tracker that is named now
    with monkeypatch.context() as patch:
        patch.setattr(search_search, "_answer", lambda *a: pytest.fail("nothing is left to answer"))
        assert run_search(config, workdir, HOW) == best
    assert (workdir / "search.jsonl").read_bytes() == before
    assert len(list((workdir / "tensorboard" / "search").iterdir())) == 12
    with pytest.raises(InputError, match=r"(?s)holds a search of something else:.*over: there.*Delete it"):
        run_search(config, workdir, HOW._replace(over=["w", "v"]))
    with pytest.raises(InputError, match=r"(?s)something else:.*groups: there 2, now 4\n.*search_seed: there 0, now 5"):
        run_search(config, workdir, HOW._replace(seed=5, groups=4))


def test_labels_and_pictures_of_the_test_set_decide_nothing(
    done: tuple[Path, dict[str, Any]], config: DDADSettings, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workdir, best = done

    def poisoned(c: DDADSettings) -> Any:
        data = load_data(c)
        test = data.test
        flipped = test._replace(labels=1 - test.labels, masks=~test.masks, images=255 - test.images)
        return data._replace(test=flipped)

    monkeypatch.setattr(search_search, "load_data", poisoned)
    found = run_search(config, model, HOW)
    assert bare([found]) == bare([best])
    assert (model / "chosen.json").read_bytes() == _chosen_of(workdir)
    rows = [bare(read_jsonl(folder / "search.jsonl")) for folder in (workdir, model)]
    assert rows[0] == rows[1]


def _chosen_of(workdir: Path) -> bytes:
    return (workdir / "chosen.json").read_bytes()


def test_no_trial_compiles_a_program_of_its_own(done: tuple[Path, dict[str, Any]], programs: Any) -> None:
    recons = {ddad_point_of(row)[0] for row in read_jsonl(done[0] / "search.jsonl")}
    (program,) = programs
    assert len(recons) == 4 and program.compilations == 1


def test_what_works_on_kept_distances_reconstructs_once(
    config: DDADSettings, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    run = evidence.sweep_distances

    def watched(program: Any, images: Any, points: Any, **how: Any) -> Any:
        asked.extend(points)
        return run(program, images, points, **how)

    monkeypatch.setattr(evidence, "sweep_distances", watched)
    run_search(config, model, Search(["v"], trials=6, scores=3))
    assert asked == [config_point(config)[0]]


def test_a_better_point_chosen_before_stays_and_is_where_the_search_begins(
    done: tuple[Path, dict[str, Any]], config: DDADSettings, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    workdir, best = done
    made_with = json.loads((workdir / "chosen.json").read_text())["made_with"]
    before = point_at(config, {"w": 0.5, "v": 2.0})
    save_chosen(model, ChosenPoint(before, made_with, {}, 1.0))
    run_search(config, model, Search(["w", "v"], trials=4, scores=2, groups=2))
    rows = read_jsonl(model / "search.jsonl")
    assert [ddad_point_of(rows[n]) for n in (0, 2)] == [config_point(config), before]
    kept = load_chosen(model, DDAD(), made_with)
    said = capsys.readouterr().out
    assert kept and kept.point == before and "keeps a better point" in said and "best is kept" not in said
    assert "experiments.evaluate --config=CONFIG --workdir=" + str(model) in said


def test_a_better_point_that_asks_a_student_or_grid_of_another_time_does_not_stay(
    done: tuple[Path, dict[str, Any]], config: DDADSettings, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made_with = json.loads((done[0] / "chosen.json").read_text())["made_with"]
    recon, score = point_at(config, {"w": 0.5})
    gone = {"student": recon._replace(model="student"), "times": recon._replace(grid="optimised")}
    for at, (asks, point) in enumerate(gone.items()):
        save_chosen(model, ChosenPoint((point, score), made_with, {asks: [250, 125]}, 1.0))
        best = run_search(config, model, Search(["v"], trials=2 + at, scores=3))
        kept = load_chosen(model, DDAD(), made_with)
        assert kept and kept.point == ddad_point_of(best) and kept.asks == {}
        assert "The best is kept in" in capsys.readouterr().out


def test_no_aupro_outweighs_an_auroc(config: DDADSettings) -> None:
    c = changed(config, {"select": "synthetic"})
    data = load_data(c)
    labels = np.concatenate([s.labels for s in data.choosing])
    positive = int(labels.sum())
    quantum = quantum_of(c, data)
    assert quantum == 0.5 / (positive * (len(labels) - positive))

    def of(auroc: float, aupro: float) -> float:
        return worth_of({"synthetic_image_auroc": auroc, "synthetic_aupro_30": aupro}, quantum)

    assert of(0.5 + quantum, 0.0) > of(0.5, 1.0) > of(0.5, 0.9)
    assert not len(without_test(data).test.labels)
    with pytest.raises(InputError, match="no held-out pictures with synthetic defects"):
        without_test(data._replace(choice=None))


@pytest.mark.parametrize(
    ("changes", "says"),
    [({"trials": 0}, "--trials=0"), ({"scores": 0}, "--scores=0"), ({"minutes": -1.0}, "--timeout_minutes=-1.0"),
     ({"seed": -1}, "--seed=-1")],
)  # fmt: skip
def test_numbers_out_of_range_name_their_flag(config: DDADSettings, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        run_search(config, Path("never"), Search(["w"])._replace(**changes))


def test_rows_that_are_gone_are_asked_for(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"search\.jsonl: lacks the rows of 2 trials"):
        search_search._keep_told(tmp_path, {0: 1.0, 1: 2.0})


def test_a_storage_that_cannot_be_used_is_named_before_anything_is_made(config: DDADSettings, tmp_path: Path) -> None:
    workdir = tmp_path / "run"
    for url in ("foo", f"sqlite:///{tmp_path / 'no' / 'x.db'}"):
        with pytest.raises(InputError, match=r"--storage=.*cannot be used"):
            run_search(config, workdir, HOW._replace(storage=url))
    assert not workdir.exists()
    workdir.mkdir()
    (workdir / "search.db").write_bytes(b"no database" * 500)
    with pytest.raises(InputError, match=r"--storage=.*search\.db: cannot be used"):
        run_search(config, workdir, HOW)
    assert [path.name for path in workdir.iterdir()] == ["search.db"]


def test_the_command_that_evaluates_means_the_settings_of_the_search() -> None:
    from absl import flags
    from ml_collections import config_flags

    here = str(Path(__file__).parents[3] / "experiments/configs/demo.py")
    argv = ["x", "--config", here, "--config.data.root", "/x y", "--noconfig.score.standardise",
            "--config.sweep.seed=(3, 4)", "--config.select=none", "--config.sample.w=2.5"]  # fmt: skip

    def read(argv: list[str]) -> tuple[Any, ConfigDict]:
        own = flags.FlagValues()
        config_flags.DEFINE_config_file("config", flag_values=own, sys_argv=argv)
        flags.DEFINE_string("workdir", "", "", flag_values=own)
        own(argv)
        return own["config"], own.config

    flag, config = read(argv)
    given = config_flags.get_override_values(flag)
    command = shlex.split(kept_point_command(config_flags.get_config_filename(flag), given, Path("runs/a b")))
    assert command[:3] == ["python", "-m", "experiments.evaluate"] and "--workdir=runs/a b" in command
    again = read(command[2:])[1]
    config.select = "synthetic"
    assert again == config and again.sweep.seed == (3, 4) and again.data.root == "/x y"
