"""Weights & Biases: one run for a workdir, in the project WANDB_PROJECT (ddad_jax), as the user's environment says.

WANDB_MODE=offline writes to WORKDIR/wandb and asks nothing of the network; ``wandb sync`` sends it later. A process
that goes on with an offline run leaves a folder of its own with the same id, and so the same run.
"""

import html
import os
import socket
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

import numpy as np

from ddad_jax.engine.tracking.given import ROWS, SERIES, Given, Value
from ddad_jax.engine.tracking.writer import Tracker
from ddad_jax.errors import InputError, first_line

SECONDS = 30
"""That its beginning, and its end, may wait for the network."""

NOBODY_SECONDS = 3
"""That its beginning may wait where nobody listens at the server's address: it would try for all of ``SECONDS``."""


def wandb_tracker(workdir: Path, config: Mapping[str, Any]) -> Tracker:
    """Raises InputError where the user is not logged in, no server answers, or a WANDB_* has a value that it cannot."""
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # of its own crashes, to its makers
    import wandb

    try:
        server = wandb.setup().settings.base_url
    except ValueError as error:  # pydantic's, whose lines are the name, what is wrong with it, where to read more
        said = " ".join(line.strip() for line in str(error).splitlines()[1:3])
        raise InputError(f"--track=wandb: WANDB_* of the environment: {said or first_line(error)}") from None
    given, seconds = Given(workdir, "wandb"), SECONDS if _listens(server) else NOBODY_SECONDS
    try:
        run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "ddad_jax"),
            id=given.run or uuid.uuid4().hex[:8],
            name=os.environ.get("WANDB_NAME", workdir.name),
            dir=str(workdir),
            config=dict(config),
            resume="allow",
            settings=wandb.Settings(
                console="off",
                quiet=True,
                disable_code=True,
                disable_git=True,
                init_timeout=seconds,
                finish_timeout=SECONDS,
            ),
        )
    except wandb.errors.UsageError as error:
        raise InputError(
            f"--track=wandb: {error} WANDB_MODE=offline keeps the run in {workdir / 'wandb'} instead"
        ) from None
    except (wandb.errors.Error, TimeoutError, OSError) as error:
        raise InputError(
            f"--track=wandb: the run cannot be begun ({first_line(error)}). Leave it out, or keep the run here "
            "with WANDB_MODE=offline"
        ) from None
    given.note_run(run.id)
    for section in (*SERIES, *ROWS):
        counted = f"{section}/{'row' if section in ROWS else 'step'}"
        run.define_metric(counted)
        run.define_metric(f"{section}/*", step_metric=counted)

    def write(section: str, step: int, values: Mapping[str, Value]) -> None:
        said: dict[str, Any] = {name: _medium(wandb, value, section) for name, value in values.items()}
        if section in SERIES:
            said[f"{section}/step"] = step
        elif section in ROWS:
            said[f"{section}/row"] = len([1 for of, _ in given.rows if of == section])
        # A number that only grows, whatever process says it: W&B drops what comes with one that it has.
        run.log(said, step=given.calls)

    return Tracker("Weights & Biases", given, write, run.finish, (wandb.errors.Error, OSError))


def _listens(url: str) -> bool:
    """Whether somebody answers at the address; taken as given behind a proxy, or where nobody is asked."""
    if os.environ.get("WANDB_MODE", "online") not in ("online", "shared") or getproxies():
        return True
    parts = urlsplit(url)
    try:
        port = parts.port or (80 if parts.scheme == "http" else 443)
        socket.create_connection((parts.hostname or "", port), timeout=NOBODY_SECONDS).close()
    except OSError:
        return False
    return True


def _medium(wandb: Any, value: Value, section: str) -> Any:
    if isinstance(value, np.ndarray):
        return wandb.Image(value)
    if isinstance(value, str) and section not in ROWS:
        return wandb.Html(f"<pre>{html.escape(value)}</pre>")
    return value
