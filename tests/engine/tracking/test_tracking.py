"""Trackers are told a run once, whatever becomes of the process, and a tracker that fails costs the run nothing."""

import json
import logging
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tiny_runs
from PIL import Image

from ddad_jax.backbones import feature_fn
from ddad_jax.engine import tracking
from ddad_jax.engine.data.splits import Data
from ddad_jax.engine.methods.ddad.points import SETTINGS, config_point, ddad_plan
from ddad_jax.engine.methods.ddad.sections import DDADSettings, TrainSettings
from ddad_jax.engine.methods.loop import learning_rate
from ddad_jax.engine.methods.point import point_settings
from ddad_jax.engine.store.tables import plain, read_jsonl
from ddad_jax.engine.sweep.journal import made_with
from ddad_jax.engine.tracking import Value, course_of, end, writer_of
from ddad_jax.engine.tracking.writer import TRACKERS
from ddad_jax.errors import InputError, first_line
from ddad_jax.pair_program import PairProgram
from ddad_jax.schedule import alpha_bar_table

CONFIG = DDADSettings().to_dict()
MADE_WITH, WEIGHTS = ("test_set",), "0123"
ROW = {**point_settings(*config_point(tiny_runs.config(Path("x")))), "image_auroc": 0.75, "test_set": "ab"}


def row_of_sweep(row: Mapping[str, Any]) -> tuple[int, dict[str, Value]]:
    return tracking.row_of_sweep(row, (*SETTINGS, *MADE_WITH), WEIGHTS)


# --- Reading event files: length, its checksum, an Event, its checksum ------------------------------------------


def events(folder: Path) -> Iterator[Any]:
    from tensorboardX.proto import event_pb2

    for path in sorted(folder.glob("events*")):
        data, at = path.read_bytes(), 0
        while at < len(data):
            length = int.from_bytes(data[at : at + 8], "little")
            yield event_pb2.Event.FromString(data[at + 12 : at + 12 + length])
            at += 16 + length


def scalars(folder: Path, name: str) -> list[tuple[int, float]]:
    """(step, value) as TensorBoard shows them: a start drops what came before it at its step and later."""
    found: list[tuple[int, float]] = []
    for event in events(folder):
        if event.HasField("session_log"):
            found = [(step, value) for step, value in found if step < event.step]
        for value in event.summary.value:
            if value.tag == name:
                found.append((event.step, round(value.simple_value, 5)))
    return found


def tags(folder: Path) -> set[str]:
    return {value.tag for event in events(folder) for value in event.summary.value}


def mlflow_client(workdir: Path) -> Any:
    from mlflow.tracking import MlflowClient

    return MlflowClient(f"sqlite:///{workdir / 'mlflow.db'}")


def mlflow_runs(workdir: Path) -> list[Any]:
    client = mlflow_client(workdir)
    return client.search_runs([client.get_experiment_by_name("ddad_jax").experiment_id])


def wandb_history(workdir: Path, seconds: float = 30.0) -> list[dict[str, Any]]:
    """What its offline files hold, the last folder last; the process that writes them may be a little behind."""
    from wandb.proto import wandb_internal_pb2 as pb

    until = time.monotonic() + seconds
    while True:
        paths = sorted(workdir.glob("wandb/offline-run-*/*.wandb"))
        files = [[pb.Record.FromString(data) for data in _wandb_records(path.read_bytes())] for path in paths]
        if all(any(r.HasField("exit") for r in file) for file in files) or time.monotonic() > until:
            break
        time.sleep(0.05)
    rows = [record.history.item for file in files for record in file if record.HasField("history")]
    return [{"/".join(i.nested_key) or i.key: json.loads(i.value_json) for i in items} for items in rows]


def _wandb_records(data: bytes) -> Iterator[bytes]:
    """Blocks of 32 KiB, a header of 7 bytes, then records in LevelDB's log format: checksum, length, kind, bytes."""
    at, held = 7, b""
    while at + 7 <= len(data):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
            continue
        length, kind = int.from_bytes(data[at + 4 : at + 6], "little"), data[at + 6]
        held += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):
            yield held
            held = b""


# --- TensorBoard ------------------------------------------------------------------------------------------------


def test_numbers_texts_and_pictures_are_in_the_event_files_at_once(tmp_path: Path) -> None:
    write = writer_of(tmp_path, (), CONFIG, SETTINGS)
    write(0, {"train/begun": 1.0})
    for step in (10, 20):
        write(step, {"train/loss": 1.0 / step, "train/images_per_s": 5.0})
    write(0, {"run/note": "two\nlines", "run/grid": np.full((4, 5, 3), 9, np.uint8)})
    # Nothing is closed: what was said is on the disk, as after kill -9.
    assert scalars(tmp_path / "tensorboard/train", "train/loss") == [(10, 0.1), (20, 0.05)]
    assert tags(tmp_path / "tensorboard/run") == {
        "run/config/text_summary", "run/note/text_summary", "run/grid"
    }  # fmt: skip
    (picture,) = [v.image for e in events(tmp_path / "tensorboard/run") for v in e.summary.value if v.tag == "run/grid"]
    assert (picture.height, picture.width) == (4, 5)


def test_a_row_of_a_sweep_is_a_run_with_settings_and_metrics_of_its_own(tmp_path: Path) -> None:
    write = writer_of(tmp_path, (), CONFIG, SETTINGS)
    step, values = row_of_sweep({**ROW, "missed": None, "selected": True})
    write(step, values)
    write(*row_of_sweep({**ROW, "w": 4.0}))
    assert len(list((tmp_path / "tensorboard/sweep").iterdir())) == 2
    own = tmp_path / "tensorboard/sweep" / f"{step:08x}"
    assert scalars(own, "sweep/image_auroc") == [(0, 0.75)]
    from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData

    (start,) = [
        HParamsPluginData.FromString(v.metadata.plugin_data.content).session_start_info
        for e in events(own) for v in e.summary.value if v.tag == "_hparams_/session_start_info"
    ]  # fmt: skip
    assert start.hparams["w"].number_value == 3.0 and start.hparams["layers"].string_value == "layer2+layer3"


def test_a_resumed_run_goes_on_and_a_step_is_there_once(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    write = writer_of(tmp_path, (), CONFIG, SETTINGS)
    for step in (10, 20, 30):
        write(step, {"train/loss": float(step)})
    # Killed after the event and before the line that says it was given: readers see it once nevertheless.
    journal = tmp_path / "tracking.jsonl"
    journal.write_text("".join(journal.read_text().splitlines(keepends=True)[:-1]))
    again = writer_of(tmp_path, (), CONFIG, SETTINGS)
    for step in (20, 30, 40):
        again(step, {"train/loss": float(step)})
    assert scalars(tmp_path / "tensorboard/train", "train/loss") == [(10, 10.0), (20, 20.0), (30, 30.0), (40, 40.0)]


def test_a_section_that_begins_anew_replaces_what_it_said(tmp_path: Path) -> None:
    write = writer_of(tmp_path, (), CONFIG, SETTINGS)
    for step in (0, 10, 20):
        write(step, {"distil/loss": 1.0})
    write(0, {"distil/begun": 1.0, "distil/loss": 7.0})
    write(10, {"distil/loss": 8.0})
    assert scalars(tmp_path / "tensorboard/distil", "distil/loss") == [(0, 7.0), (10, 8.0)]


def test_the_same_run_again_leaves_no_file_behind(tmp_path: Path) -> None:
    (tmp_path / "figures").mkdir()
    Image.new("RGB", (6, 4)).save(tmp_path / "figures" / "roc.png")

    def run() -> None:
        write = writer_of(tmp_path, (), CONFIG, SETTINGS)
        write(10, {"train/loss": 1.0})
        write(*row_of_sweep(ROW))
        end(write, tmp_path)

    run()
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert "run/roc" in tags(tmp_path / "tensorboard/run")
    run()
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_what_was_deleted_is_told_again(tmp_path: Path) -> None:
    writer_of(tmp_path, (), CONFIG, SETTINGS)(10, {"train/loss": 1.0})
    shutil.rmtree(tmp_path / "tensorboard")
    for _ in range(2):
        writer_of(tmp_path, (), CONFIG, SETTINGS)(10, {"train/loss": 1.0})
    assert scalars(tmp_path / "tensorboard/train", "train/loss") == [(10, 1.0)]


def test_a_tracker_that_fails_warns_once_and_the_others_go_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[int] = []
    write = writer_of(tmp_path, (), CONFIG, SETTINGS)
    other = write.trackers[0]._replace(write=lambda section, step, values: told.append(step))
    other = other._replace(name="other", given=tracking.given.Given(tmp_path, "other"))
    write.trackers.append(other)
    (tmp_path / "tensorboard" / "train").touch()  # where a folder has to be
    with caplog.at_level(logging.WARNING):
        for step in (1, 2, 3):
            write(step, {"train/loss": 1.0})
    assert told == [1, 2, 3]
    assert len([r for r in caplog.records if "TensorBoard failed" in r.getMessage()]) == 1
    # A defect of ours is not one of the tracker's failures.
    write.trackers[0] = other._replace(write=lambda *a: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write(4, {"train/loss": 1.0})


def test_event_files_are_checksummed_as_tensorboard_reads_them(tmp_path: Path) -> None:
    from tensorboardX.crc32c import crc32c

    assert crc32c(b"123456789") == 0xE3069283 != zlib.crc32(b"123456789")
    writer_of(tmp_path, (), CONFIG, SETTINGS)
    (path,) = (tmp_path / "tensorboard/run").iterdir()
    data = path.read_bytes()
    crc = crc32c(data[:8])
    assert int.from_bytes(data[8:12], "little") == (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


# --- Weights & Biases, MLflow -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with its tables and nothing in them: making these takes seconds."""
    pytest.importorskip("mlflow", reason="an extra: pip install '.[tracking]'")
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    from mlflow.tracking import MlflowClient

    MlflowClient(f"sqlite:///{path}").get_experiment_by_name("ddad_jax")
    return path


@pytest.fixture
def store(empty_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return Path(shutil.copy(empty_store, tmp_path))


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb", reason="an extra: pip install '.[tracking]'")
    monkeypatch.setenv("WANDB_MODE", "offline")


def test_a_run_in_wandb_goes_on_under_its_id(tmp_path: Path, offline: None) -> None:
    ids = []
    for steps in ((10, 20), (20, 30)):
        write = writer_of(tmp_path, ["wandb"], CONFIG, SETTINGS)
        ids += [row["run"] for row in read_jsonl(tmp_path / "tracking.jsonl") if row["to"] == "wandb" and "run" in row]
        for step in steps:
            write(step, {"train/loss": float(step)})
        write(*row_of_sweep(ROW))
        write(0, {"run/grid": np.zeros((4, 4, 3), np.uint8)})
        write.close()
    assert len(set(ids)) == 1
    assert len(list(tmp_path.glob(f"wandb/offline-run-*-{ids[0]}"))) >= 1
    history = wandb_history(tmp_path)
    assert [(row["train/step"], row["train/loss"]) for row in history if "train/loss" in row] == [
        (10, 10.0), (20, 20.0), (30, 30.0)
    ]  # fmt: skip
    assert [row["sweep/image_auroc"] for row in history if "sweep/w" in row] == [0.75]
    assert [row["run/grid/_type"] for row in history if "run/grid/_type" in row] == ["image-file"]
    numbers = [row["_step"] for row in history]
    assert numbers == sorted(set(numbers)), "W&B drops what does not come in order"


def test_a_run_in_mlflow_is_in_its_local_store(tmp_path: Path, store: Path) -> None:
    for steps in ((10, 20), (20, 30)):
        write = writer_of(tmp_path, ["mlflow"], CONFIG, SETTINGS)
        for step in steps:
            write(step, {"train/loss": float(step), "train/text": "word"})
        write(*row_of_sweep(ROW))
        write(0, {"run/grid": np.zeros((4, 4, 3), np.uint8)})
        write.close()
    runs = mlflow_runs(tmp_path)
    (child,) = [run for run in runs if "mlflow.parentRunId" in run.data.tags]
    (whole,) = [run for run in runs if run is not child]
    assert whole.info.status == "FINISHED" and whole.data.params["sample.w"] == "3.0"
    history = mlflow_client(tmp_path).get_metric_history(whole.info.run_id, "train/loss")
    assert [(m.step, m.value) for m in history] == [(10, 10.0), (20, 20.0), (30, 30.0)]
    assert child.data.params["w"] == "3.0" and child.data.metrics == {"sweep/image_auroc": 0.75}
    artifacts = tmp_path / "mlflow" / whole.info.run_id / "artifacts" / "run"
    assert {path.name for path in artifacts.iterdir()} == {"config.txt", "grid.png"}


def test_a_tracker_named_later_is_told_the_history(tmp_path: Path, store: Path) -> None:
    (tmp_path / "train").mkdir()
    rows = [{"step": 5, "loss": 2.0, "seconds": 1.0}, {"step": 10, "loss": 1.0, "validation_loss": 3.0}]
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    writer_of(tmp_path, ["mlflow"], CONFIG, SETTINGS).close()
    (run,) = mlflow_runs(tmp_path)
    assert run.data.metrics == {"train/loss": 1.0, "train/seconds": 1.0, "train/validation_loss": 3.0}


# --- What a user can get wrong ----------------------------------------------------------------------------------


def test_a_tracker_that_cannot_be_had_ends_the_run_before_it_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match=r"--track=comet: expected wandb, mlflow"):
        tracking.require_trackers(["comet"])
    monkeypatch.setitem(TRACKERS, "wandb", ("no_such_package",))
    with pytest.raises(InputError, match=r"--track=wandb: needs the package no_such_package; pip install '.\[tracking"):
        tracking.require_trackers(["wandb"])


def test_who_is_not_logged_in_is_told_so_before_the_work(tmp_path: Path) -> None:
    pytest.importorskip("wandb", reason="an extra: pip install '.[tracking]'")
    # In a process of its own: W&B keeps what it found out about the user.
    unset = {name: value for name, value in os.environ.items() if not name.startswith(("WANDB", "NETRC"))}
    code = (
        "import os; from pathlib import Path\n"
        "from ddad_jax.engine.tracking import writer_of\n"
        f"def begin(): writer_of(Path({str(tmp_path)!r}), ['wandb'], dict(), ())\n"
        "try: begin()\n"
        "except ValueError as error: print(error)\n"
        "del os.environ['WANDB_MODE']\n"
        "begin()"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code],
        env={**unset, "HOME": str(tmp_path), "WANDB_BASE_URL": "http://127.0.0.1:9", "WANDB_MODE": "typo"},
        cwd=Path(__file__).parents[3], capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    assert "--track=wandb: WANDB_* of the environment: mode Input should be 'online'" in ended.stdout
    last = ended.stderr.strip().splitlines()[-1]
    assert "InputError: --track=wandb:" in last and "wandb login" in last and "WANDB_MODE=offline" in last, last


def test_nobody_waits_long_for_a_server_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    from ddad_jax.engine.tracking.weights_and_biases import _listens

    for name in ("http_proxy", "https_proxy", "all_proxy", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        assert _listens(url)
    assert not _listens(url)
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    assert _listens(url)


def test_a_server_that_does_not_answer_ends_the_run_before_it_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mlflow", reason="an extra: pip install '.[tracking]'")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(
        InputError, match=r"--track=mlflow: http://127.0.0.1:9 does not take the run \(.*refused.{,5}\)\. "
    ):
        writer_of(tmp_path, ["mlflow"], CONFIG, SETTINGS)


def test_a_store_that_is_lost_later_costs_a_warning(
    tmp_path: Path, store: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write = writer_of(tmp_path, ["mlflow"], CONFIG, SETTINGS)
    write(10, {"train/loss": 1.0})
    for path in tmp_path.glob("mlflow.db*"):
        path.write_bytes(b"broken" * 1000)
    with caplog.at_level(logging.WARNING):
        for step in (20, 30):
            write(step, {"train/loss": 1.0})
    assert len([r for r in caplog.records if r.getMessage().startswith("MLflow failed")]) == 1
    assert scalars(tmp_path / "tensorboard/train", "train/loss") == [(10, 1.0), (20, 1.0), (30, 1.0)]


# --- What the programs say --------------------------------------------------------------------------------------


@pytest.mark.parametrize("warmup, accumulate", [(0, 1), (5, 1), (3, 2)])
def test_the_learning_rate_of_a_step_is_the_optimisers(warmup: int, accumulate: int) -> None:
    s = TrainSettings(learning_rate=0.2, warmup_steps=warmup, accumulate=accumulate)
    rate = optax.linear_schedule(0.0, 0.2, warmup) if warmup else optax.constant_schedule(0.2)
    for step in range(12):
        assert learning_rate(s, step) == pytest.approx(float(rate(step // accumulate)))


def test_a_run_says_its_course_its_rows_and_its_figures(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ddad_jax.engine.pipeline import run_all

    tiny_runs.small_predictor(monkeypatch.setattr)
    tiny_runs.small_backbone(monkeypatch.setattr)
    c = tiny_runs.config(root, adapt__epochs=1, sweep__w=(0.0, 1.0))
    workdir = tmp_path / "run"
    rows = run_all(c, workdir, sweep=True)
    history = read_jsonl(workdir / "train.jsonl")
    board = workdir / "tensorboard"
    for name in ("loss", "validation_loss", "images_per_s", "learning_rate"):
        expected = [(row["step"], round(row[name], 5)) for row in history if name in row]
        assert expected and scalars(board / "train", f"train/{name}") == [
            (step, pytest.approx(value, rel=1e-4)) for step, value in expected
        ]
    assert [step for step, _ in scalars(board / "adapt", "adapt/contrast")] == [0, 1]
    assert len(list((board / "sweep").iterdir())) == len(rows)
    assert {"run/examples", "run/roc", "run/config/text_summary", "run/environment/text_summary"} <= tags(board / "run")


def test_what_is_computed_anew_is_told_anew_and_what_is_there_is_told_once(
    root: Path, data: Data, tmp_path: Path
) -> None:
    from ddad_jax.engine.sweep import rows as sweep_rows

    def program(gain: float) -> PairProgram:
        features, gains = feature_fn(tiny_runs.BACKBONE, tiny_runs.variables()), jnp.float32(gain)
        return PairProgram(lambda g: (lambda x, t: g * x, features), gains, alpha_bar=jnp.asarray(alpha_bar_table()))

    def told(c: DDADSettings, with_: PairProgram) -> int:
        """Number of the one row of a sweep, which the same sweep repeated finds and tells as that."""
        said: list[int] = []
        for _ in range(2):
            write = lambda step, values: said.append(step)  # noqa: E731
            sweep_rows.compute_rows(
                c, tmp_path, data, tiny_runs.fitted(c, tmp_path, with_), ddad_plan(c, sweep=False), write=write
            )
        assert len(said) == 2 and said[0] == said[1]
        return said[0]

    c, crop, one = tiny_runs.config(root), tiny_runs.config(root, score__crop=2), program(0.5)
    numbers = [told(c, one), told(crop, one), told(c, program(0.25))]
    assert len(set(numbers)) == 3 and told(c, one) == numbers[0]


def test_the_number_of_a_row_is_that_of_all_it_was_made_with(root: Path, data: Data, tmp_path: Path) -> None:
    c = tiny_runs.config(root, synthetic_defects=2, teacher=4, at_threshold=True)
    point = config_point(c)
    own = made_with(c, tmp_path, data, tiny_runs.fitted(c, tmp_path), [point.costly])[point.costly]
    own = {**own, "student": "ab"}
    assert {"normalise", "crop", "clip", "dtype", "held_out", "backbone_weights", "teacher", "test_set"} <= own.keys()
    row = {**point_settings(*point), **own, "image_auroc": 0.5, "ms_per_image": 7.0}

    def number(row: dict[str, Any], weights: str = "01") -> int:
        return tracking.row_of_sweep(row, (*SETTINGS, *own), weights)[0]

    numbers = [number(row), number(row, "02")]
    numbers += [number({**row, name: "another"}) for name in (*point_settings(*point), *own)]
    assert len(set(numbers)) == len(numbers)
    assert number({**row, "image_auroc": 0.6, "ms_per_image": 8.0}) == numbers[0]
    assert number(json.loads(json.dumps(plain(row)))) == numbers[0], "as the journal gives it back"
    trials = [tracking.row_of_search({**row, "trial": n}, {"over": over}) for n in (0, 1) for over in ("w", "v")]
    assert len({number for number, _ in trials}) == 4 and trials[0][1]["search/image_auroc"] == 0.5


@pytest.mark.parametrize(
    "line",
    [
        "nonsense",
        '{"to": "tensorboard", "of": "train"}',
        '{"to": "tensorboard", "of": "sweep", "step": null}',
        '{"to": "tensorboard", "of": "run"}',
        '{"to": "tensorboard", "of": "train", "step": Infinity}',
    ],
)
def test_a_damaged_journal_is_set_aside_and_the_trackers_are_told_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, line: str
) -> None:
    writer_of(tmp_path, (), CONFIG, SETTINGS)(10, {"train/loss": 1.0})
    path = tmp_path / "tracking.jsonl"
    damaged = f"{line}\n{path.read_text()}"
    path.write_text(damaged)
    with caplog.at_level(logging.WARNING):
        write = writer_of(tmp_path, (), CONFIG, SETTINGS)
    assert len(caplog.records) == 1
    assert re.search(r"tracking\.jsonl: damaged \(.*kept as tracking-damaged\.jsonl", caplog.records[0].getMessage())
    assert (tmp_path / "tracking-damaged.jsonl").read_text() == damaged
    write(10, {"train/loss": 1.0})
    write(20, {"train/loss": 2.0})
    assert scalars(tmp_path / "tensorboard/train", "train/loss") == [(10, 1.0), (20, 2.0)]


def test_an_error_that_says_nothing_is_named_by_its_type() -> None:
    assert first_line(TimeoutError()) == "TimeoutError" == first_line(TimeoutError(" \n"))
    assert first_line(OSError("\none\ntwo")) == "one" and first_line(OSError("abc"), 2) == "ab"


def test_files_where_folders_have_to_be_cost_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "tensorboard").write_text("mine")
    with caplog.at_level(logging.WARNING):
        write = writer_of(tmp_path, (), CONFIG, SETTINGS)
        write(10, {"train/loss": 1.0})
        end(write, tmp_path)
    assert [r.getMessage().partition(":")[0] for r in caplog.records] == ["TensorBoard failed"]
    assert (tmp_path / "tensorboard").read_text() == "mine"


def test_histories_are_told_as_numbers() -> None:
    said: Mapping[str, Value] = course_of("adapt", {"epoch": 3, "loss": 0.5, "contrast": None, "seconds": 2})
    assert said == {"adapt/loss": 0.5, "adapt/seconds": 2.0}
