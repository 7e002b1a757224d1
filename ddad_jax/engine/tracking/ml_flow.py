"""MLflow: one run for a workdir, a child run for each row of settings; in the experiment MLFLOW_EXPERIMENT_NAME.

Where MLFLOW_TRACKING_URI names no server, WORKDIR/mlflow.db holds it and WORKDIR/mlflow its pictures and texts:
``mlflow ui --backend-store-uri sqlite:///WORKDIR/mlflow.db`` shows them.
"""

import logging
import os
import re
import time
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ddad_jax.engine.tracking.given import ROWS, Given, Value
from ddad_jax.engine.tracking.writer import Tracker
from ddad_jax.errors import InputError, first_line

QUICK = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
"""Unless the user says otherwise: a server that is gone costs a minute and not many, and nobody else is told."""


def mlflow_tracker(workdir: Path, config: Mapping[str, Any], settings: Collection[str]) -> Tracker:
    """settings: as of ``writer_of``. Raises InputError where the store cannot be reached or does not take the run."""
    for name, value in QUICK.items():
        os.environ.setdefault(name, value)
    from mlflow.entities import Metric, Param, RunTag
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient
    from sqlalchemy.exc import SQLAlchemyError

    for noisy in ("mlflow", "alembic"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # it tells every attempt
    local = f"sqlite:///{workdir.absolute() / 'mlflow.db'}"
    uri = os.environ.get("MLFLOW_TRACKING_URI", local)
    errors = (MlflowException, SQLAlchemyError, OSError)
    given = Given(workdir, "mlflow")
    try:
        client = MlflowClient(tracking_uri=uri)
        within = _experiment(client, (workdir.absolute() / "mlflow").as_uri() if uri == local else None)
        if given.run and not _is_there(client, given.run, MlflowException):
            given.run = ""
        run = given.run or client.create_run(within, run_name=workdir.name).info.run_id
        client.update_run(run, status="RUNNING")
        params = [Param(name, str(value)[:500]) for name, value in _flat(config)]
        known = client.get_run(run).data.params
        for first in range(0, len(params), 100):
            # A parameter of MLflow is written once; what a later stage of the run changed is in its artifacts.
            batch = [p for p in params[first : first + 100] if p.key not in known]
            client.log_batch(run, params=batch)
    except errors as error:
        raise InputError(
            f"--track=mlflow: {uri} does not take the run ({first_line(_behind(error))}). Leave it out, or set "
            "MLFLOW_TRACKING_URI"
        ) from None
    given.note_run(run)

    def write(section: str, step: int, values: Mapping[str, Value]) -> None:
        now = int(time.time() * 1000)
        numbers = {name: v for name, v in values.items() if isinstance(v, float)}
        if section in ROWS:
            told = {k: v for k, v in values.items() if k.partition("/")[2] in settings or isinstance(v, str)}
            tags = {"mlflow.parentRunId": run}
            child = client.create_run(within, run_name=f"{section} {step:08x}", tags=tags).info.run_id
            client.log_batch(
                child,
                [Metric(_name(k), v, now, 0) for k, v in numbers.items() if k not in told],
                [Param(_name(k.partition("/")[2]), str(v)[:500]) for k, v in told.items()],
                [RunTag("section", section)],
            )
            client.set_terminated(child)
            return
        client.log_batch(run, [Metric(_name(k), v, now, step) for k, v in numbers.items()])
        for name, value in values.items():
            if isinstance(value, str):
                client.log_text(run, value, f"{name}.txt")
            elif isinstance(value, np.ndarray):
                client.log_image(run, value, f"{name}.png")

    return Tracker("MLflow", given, write, lambda: client.set_terminated(run), errors)


def _behind(error: BaseException) -> BaseException:
    """What the network or the disk said, where that is behind the error: MLflow wraps it in a page."""
    found, at = error, error.__cause__ or error.__context__
    while at:
        found, at = at if isinstance(at, OSError) else found, at.__cause__ or at.__context__
    return found


def _experiment(client: Any, artifacts: str | None) -> str:
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "ddad_jax")
    found = client.get_experiment_by_name(name)
    return found.experiment_id if found else client.create_experiment(name, artifact_location=artifacts)


def _is_there(client: Any, run: str, missing: type[Exception]) -> bool:
    """Whether the store knows the run; it may be another store than that of before."""
    try:
        client.get_run(run)
    except missing:
        return False
    return True


def _name(name: str) -> str:
    """As MLflow takes it."""
    return re.sub(r"[^\w\-./: ]", "_", name)


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
