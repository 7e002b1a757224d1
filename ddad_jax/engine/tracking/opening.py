"""Who listens to a run: opened once a process, before the work begins."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from ddad_jax.engine import hosts
from ddad_jax.engine.tracking import tensorboard
from ddad_jax.engine.tracking.courses import begin
from ddad_jax.engine.tracking.writer import Tracker, Writer, require_trackers


def writer_of(workdir: Path, names: Sequence[str], config: Mapping[str, Any], settings: Collection[str]) -> Writer:
    """The writer of a run: TensorBoard files in WORKDIR/tensorboard, and the trackers of ``names``.

    Every process of a run calls this; the first one writes, what the others say goes nowhere. What the workdir's
    histories hold and a tracker has not been given, as one that was named later, it is given here.

    settings: names of what tells one row of a sweep or search from another; the rest are its metrics.

    Raises:
      InputError: a tracker that is not installed, not logged in or cannot be reached. Later on the same is a warning.
    """
    require_trackers(names)
    trackers: list[Tracker] = []
    hosts.first("the trackers", lambda: trackers.extend(_opened(workdir, names, config, settings)))
    writer = Writer(trackers)
    if trackers:
        begin(writer, workdir, config)
    return writer


def _opened(workdir: Path, names: Sequence[str], config: Mapping[str, Any], settings: Collection[str]) -> list[Tracker]:
    found = [tensorboard.tensorboard_tracker(workdir, settings)]
    # Imported where they are asked for: each takes a second or more, and is an extra.
    if "wandb" in names:
        from ddad_jax.engine.tracking import weights_and_biases

        found.append(weights_and_biases.wandb_tracker(workdir, config))
    if "mlflow" in names:
        from ddad_jax.engine.tracking import ml_flow

        found.append(ml_flow.mlflow_tracker(workdir, config, settings))
    return found
