"""The eight configurations of a view: masked before or after, or not at all, of registered pictures or as they are."""

import itertools
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from ddad_jax.data.names import require_inside
from ddad_jax.engine.data.data_sets import KINDS
from ddad_jax.engine.data.splits import load_data
from ddad_jax.engine.data.view import read_registered, reference_picture
from ddad_jax.engine.figures.views import ViewCurves, view_curves, views_figure
from ddad_jax.engine.methods.ddad.sections import DDADSettings, DDADSweepSettings
from ddad_jax.engine.pipeline import run_all
from ddad_jax.engine.report.views import write_views
from ddad_jax.engine.setting_checks import check_settings
from ddad_jax.engine.settings.section import changed
from ddad_jax.engine.store.tables import format_table, plain, write_csv, write_text
from ddad_jax.engine.sweep.selected import load_selected
from ddad_jax.engine.workdir import environment
from ddad_jax.errors import InputError

log = logging.getLogger(__name__)

CONFIGURATIONS = tuple("+".join(p) for p in itertools.product(("PO", "PRE"), ("M", "NM"), ("R", "NR")))
"""As the thesis names them. Without a mask PO and PRE are the same and are computed once."""

METRICS = ("missed", "false_alarms", "image_auroc", "pixel_auroc", "aupro_30", "iou", "pixel_ap", "accuracy")
"""Columns of the tables, what got through first; counts, accuracy and IoU are those at the configured threshold, which
rests on held-out normal pictures alone."""


UNREGISTERED = "-NR"
"""Behind a view's name in that of the workdir of a model of its own, trained on pictures that are not registered."""

OURS = ("eight.csv", "eight.json", "views.html", "figures")
"""What ``report_line_clearance`` leaves beside the views' workdirs."""


class Eight(NamedTuple):
    """rows: configuration -> its row; those that the config has no mask or reference for are missing. registered:
    rows of registration.csv. curves: of the configuration that the config names."""

    rows: Mapping[str, dict[str, Any]]
    registered: Sequence[Mapping[str, str]]
    curves: ViewCurves


def require_workdirs(views: Sequence[str], *, register: str) -> None:
    """Each view has workdirs of its own, named by it, below the one of all views.

    Args:
      register: ``view.register`` of the config.

    Raises:
      InputError: a view whose name leads out of it, or whose workdir is another's or a file of the report.
    """
    mend = "Name folders of data.root, and rename the one that is in the way"
    taken = dict.fromkeys(OURS, "the report")
    for view in views:
        require_inside(view, "--views", mend=mend)
        own = PurePosixPath(view).as_posix()
        for name in (own, f"{own}{UNREGISTERED}") if register == "all" else (own,):
            if name in taken:
                raise InputError(
                    f"--views: {view!r} takes {name} for a workdir, which is that of {taken[name]}. {mend}."
                )
            taken[name] = repr(view)


def eight_of(config: DDADSettings, workdir: Path, view: str, track: Sequence[str] = ()) -> Eight:
    """Train the view's model where WORKDIR/VIEW has none, and score every configuration of it.

    Raises:
      InputError: as ``run_all``; a point of the config that masks twice.
    """
    c = _of_view(config, view)
    own, rows = c.view.register, dict[str, dict[str, Any]]()
    # The config's own comes last, so that the workdir's report is of it.
    for register in ("scored", "") if own == "" else ("", own):
        c = changed(c, {"view.register": register})
        if register and register != own:
            try:
                reference_picture(c, KINDS[c.data.kind].pictures(c.data, c.seed).train)
            except InputError as error:
                log.warning("view %s without its configurations R: %s", view, error)
                continue
        # Pictures of a training that are all registered are other pictures, which takes a model of their own.
        apart = UNREGISTERED if own == "all" and not register else ""
        found = run_all(c, workdir / f"{view}{apart}", sweep=True, track=track)
        rows |= {name: row for row in found for name in names_of(row, bool(register))}
    c = changed(c, {"view.register": own})
    data, shown = load_data(c), load_selected(workdir / view)
    curves = view_curves(shown["maps"], shown["scores"], data.test, crop=c.score.crop)
    kept = {name: rows[name] for name in CONFIGURATIONS if name in rows}
    return Eight(kept, read_registered(workdir / view), curves)


def names_of(row: Mapping[str, Any], registered: bool) -> list[str]:
    """The configurations that a row is; none for one masked both before and after."""
    if row["mask_before"] and row["mask_after"]:
        return []
    moved = "R" if registered else "NR"
    if not (row["mask_before"] or row["mask_after"]):
        return [f"PO+NM+{moved}", f"PRE+NM+{moved}"]
    return [f"{'PRE' if row['mask_before'] else 'PO'}+M+{moved}"]


def _of_view(config: DDADSettings, view: str) -> DDADSettings:
    """The config at its one point, with masks and registration as the only things swept."""
    if config.sample.mask_before and config.score.mask_after:
        raise InputError("--config.sample.mask_before and --config.score.mask_after: expected one of them at most")
    both = (False, True) if config.view.mask else ()
    sweep = DDADSweepSettings(seed=config.sweep.seed[:1], mask_before=both, mask_after=both)
    own = {"data.category": view, "view.name": config.view.name or view}
    point = {"at_threshold": True, "select": "", "teacher": 0}
    return check_settings(replace(changed(config, {**own, **point}), sweep=sweep))


def report_line_clearance(config: DDADSettings, workdir: Path, views: Mapping[str, Eight]) -> None:
    """eight.csv, eight.json, views.html and the printed tables."""
    rows = [
        {"view": view, "configuration": name, **{metric: row.get(metric) for metric in METRICS},
         **{k: row.get(k) for k in ("threshold", "pixel_threshold", "precision", "recall", "f1")}}
        for view, eight in views.items() for name, row in eight.rows.items()
    ]  # fmt: skip
    write_csv(workdir / "eight.csv", rows, columns=list(rows[0]))
    write_text(workdir / "eight.json", json.dumps(plain({"rows": rows, "environment": environment()}), indent=1))
    figure = views_figure({name: eight.curves for name, eight in views.items()}, workdir / "figures" / "views.png")
    registered = {view: eight.registered for view, eight in views.items()}
    write_views(workdir / "views.html", rows, METRICS, figure, registered, config.to_dict(), environment())
    for view in views:
        print(f"\n{view}")
        print(format_table([row for row in rows if row["view"] == view], ["configuration", *METRICS], max_rows=8))
    print(f"\nreport: {workdir / 'views.html'}")
