"""chosen.json: the point that synthetic defects chose, kept with the model, so an evaluation need not sweep."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ddad_jax.engine.methods.method import Cost, Method
from ddad_jax.engine.methods.point import Costly, Plan, Point, key_of, point_settings
from ddad_jax.engine.store import kept
from ddad_jax.errors import InputError


class ChosenPoint(NamedTuple):
    """made_with: what the choice depends on besides the sweep. asks: what tells the student and the optimised grid
    that the point asks from others, empty where it asks neither. worth: image AUROC on the synthetic defects."""

    point: Point
    made_with: dict[str, Any]
    asks: dict[str, Any]
    worth: float


FILE = "chosen.json"


def save_chosen(workdir: Path, chosen: ChosenPoint) -> None:
    content = {
        "point": point_settings(*chosen.point),
        "synthetic_image_auroc": chosen.worth,
        "asks": chosen.asks,
    }
    kept.save_content(workdir / FILE, content, chosen.made_with)


def load_chosen(workdir: Path, method: Method, made_with: dict[str, Any]) -> ChosenPoint | None:
    """None where no point was chosen yet, or where another model or other pictures chose it.

    Raises:
      InputError: chosen.json is not what ``save_chosen`` writes.
    """
    path, again = workdir / FILE, "Delete it to choose again"
    if not path.exists():
        return None
    holds: dict[str, type] = {"point": dict, "asks": dict, "synthetic_image_auroc": float}
    content, there = kept.read_content(path, holds, mend=again)
    try:
        point = method.point_of(content["point"])
    except (InputError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: does not say which point was chosen ({error!r}). {again}") from None
    if kept.load_content(path, made_with, usual={"method": "ddad"}, otherwise="a point is chosen anew") is None:
        return None
    return ChosenPoint(point, there, content["asks"], content["synthetic_image_auroc"])


def best_on_synthetic(todo: Plan, rows: list[dict[str, Any]], cost: Cost) -> tuple[Point, float]:
    """The point of the plan that tells the synthetic defects best from normal pictures, and its worth: the greatest
    image AUROC on them, mean of the seeds; of equals the one with the greater AUPRO, then the one that costs least,
    then the first.

    Deviation: the paper gives w and the extractor's epoch a category; they were found with its test set in view.

    Raises:
      InputError: no point has finite metrics for all its seeds.
    """
    worth: dict[Point, list[tuple[float, float]]] = {}
    first_of: dict[Costly, Costly] = {}
    columns = (*todo.costly[0]._fields, *todo.cheap[0]._fields)
    by_key = {key_of(row, columns): row for row in rows}
    for point, score in todo.points:
        row = by_key[key_of(point_settings(point, score), columns)]
        values = (row["synthetic_image_auroc"], row["synthetic_aupro_30"])
        finite = all(isinstance(v, float) and np.isfinite(v) for v in values)
        # A point stands for all its seeds under the first that was computed of it.
        stands = first_of.setdefault(point._replace(seed=0), point)
        worth.setdefault(Point(stands, score), []).append(values if finite else (-np.inf, -np.inf))
    found = {point: np.mean(v, axis=0) for point, v in worth.items() if np.isfinite(v).all()}
    if not found:
        raise InputError("no point of the sweep gave finite maps, so none can be selected: lower --config.sweep.w")
    # Python's max keeps the first of equals. Means over seeds are equal where they agree to rounding.
    best = max(found, key=lambda p: (*np.round(found[p], 9), -cost([p.costly])))
    return best, float(found[best][0])
