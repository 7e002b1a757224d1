"""What a search found: its trials in order of worth, a table, a figure, and the command that tests the best one."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ddad_jax.engine.figures.search import search_figure
from ddad_jax.engine.methods.table import method_of
from ddad_jax.engine.search.space import Axis
from ddad_jax.engine.settings.sections import Settings
from ddad_jax.engine.store.tables import format_table
from ddad_jax.errors import InputError

SHOWN = 8
"""Trials of the table."""


def ranked(worths: Mapping[int, float]) -> list[int]:
    """Numbers of the trials that did not diverge, the best first, of equals the first.

    Args:
      worths: number -> worth, NaN of what diverged.

    Raises:
      InputError: all of them diverged.
    """
    finite = [number for number, worth in worths.items() if np.isfinite(worth)]
    if not finite:
        raise InputError("no trial of the search gave finite maps: take smaller ranges, as in --over=NAME:LOW:HIGH")
    return sorted(finite, key=lambda number: (-worths[number], number))


def report_search(
    c: Settings,
    axes: Sequence[Axis],
    folder: Path,
    rows: Mapping[int, Mapping[str, Any]],
    order: Sequence[int],
    *,
    failed: int,
    shares: Mapping[str, float],
) -> None:
    """Print the best trials and the config's own, and draw figures/search.png of ``folder``.

    Args:
      rows: number -> row. order: ``ranked``. failed: trials that diverged. shares: of each setting, if known.
    """
    method = method_of(c)
    names, config_point = [axis.name for axis in axes], method.point(c)
    shown = [rows[number] for number in order[:SHOWN]]
    if at_config := [
        rows[n] for n in sorted(order) if method.point_of(rows[n]) == config_point and rows[n] not in shown
    ]:
        shown.append(at_config[0])
    print(
        format_table(
            shown,
            [
                "trial",
                *names,
                *(["layers"] if "layers" not in names else []),
                "synthetic_image_auroc",
                "synthetic_aupro_30",
                "ms_per_image",
            ],
        )
    )
    if shares:
        listed = ", ".join(f"{name} {share:.0%}" for name, share in shares.items())
        print(f"\nShare of each setting in what tells good trials from others: {listed}.")
    path = folder / "figures" / "search.png"
    if drawn := search_figure([rows[n] for n in sorted(order)], path, names=names, best=order[0], importance=shares):
        print(f"\n{len(order) + failed} trials, {failed} of them diverged. figure: {drawn}")


def kept_point_command(config: str, changed: Mapping[str, Any], workdir: Path) -> str:
    """The command that tests the kept point. config: the file, and its argument; changed: dotted name -> value."""
    given = [f"--config.{name}={value}" for name, value in changed.items() if name != "select"]
    command = ["python", "-m", "experiments.evaluate", f"--config={config}", *given, f"--workdir={workdir}"]
    return shlex.join([*command, "--config.select=synthetic"])
