"""Weights & Biases: one run for a workdir, in the project WANDB_PROJECT (ddad_jax), as the user's environment says.

WANDB_MODE=offline writes to WORKDIR/wandb and asks nothing of the network; ``wandb sync`` sends it later. A process
that goes on with an offline run leaves a folder of its own with the same id, and so the same run.
"""

import html
import os
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from ddad_jax.errors import InputError, first_line
from experiments.tracking.given import ROWS, SERIES, Given, Value
from experiments.tracking.writer import Tracker

SECONDS = 30
"""That its beginning, and its end, may wait for the network."""


def opened(workdir: Path, config: ConfigDict) -> Tracker:
    """Raises InputError where the user is not logged in or the server does not answer."""
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # of its own crashes, to its makers
    import wandb

    given = Given(workdir, "wandb")
    try:
        run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "ddad_jax"),
            id=given.run or uuid.uuid4().hex[:8],
            name=os.environ.get("WANDB_NAME", workdir.name),
            dir=str(workdir),
            config=config.to_dict(),
            resume="allow",
            settings=wandb.Settings(
                console="off",
                quiet=True,
                disable_code=True,
                disable_git=True,
                init_timeout=SECONDS,
                finish_timeout=SECONDS,
            ),
        )
    except wandb.errors.UsageError as error:
        raise InputError(
            f"--track=wandb: {error} WANDB_MODE=offline keeps the run in {workdir / 'wandb'} instead"
        ) from None
    except (wandb.errors.Error, TimeoutError, OSError) as error:
        raise InputError(
            f"--track=wandb: the server cannot be reached ({first_line(error)}). Leave it out, or keep the run here "
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


def _medium(wandb: Any, value: Value, section: str) -> Any:
    if isinstance(value, np.ndarray):
        return wandb.Image(value)
    if isinstance(value, str) and section not in ROWS:
        return wandb.Html(f"<pre>{html.escape(value)}</pre>")
    return value
