"""Weights & Biases and MLflow, by their own packages: what they hold of a run, and what keeps them from it."""

import json
import logging
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tracked import CONFIG, ROW, row_of_sweep, scalars

from ddad_jax.engine import tracking
from ddad_jax.engine.methods.ddad.points import SETTINGS
from ddad_jax.engine.store.tables import read_jsonl
from ddad_jax.engine.tracking import writer_of
from ddad_jax.engine.tracking.writer import TRACKERS
from ddad_jax.errors import InputError


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
