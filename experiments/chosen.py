"""chosen.json: the point that synthetic defects chose, kept with the model, so an evaluation need not sweep."""

import json
import logging
from pathlib import Path
from typing import Any, NamedTuple

from ddad_jax.data.json_file import parsed
from ddad_jax.errors import InputError
from experiments.plan import Point, point_of, settings_of
from experiments.tables import write_text

log = logging.getLogger(__name__)


class Chosen(NamedTuple):
    """made_with: what the choice depends on besides the sweep. asks: what tells the student and the optimised grid
    that the point asks from others, empty where it asks neither. worth: image AUROC on the synthetic defects."""

    point: Point
    made_with: dict[str, Any]
    asks: dict[str, Any]
    worth: float


def save_chosen(workdir: Path, chosen: Chosen) -> None:
    said = {
        "point": settings_of(*chosen.point),
        "synthetic_image_auroc": chosen.worth,
        "made_with": chosen.made_with,
        "asks": chosen.asks,
    }
    write_text(workdir / "chosen.json", json.dumps(said, indent=1))


def load_chosen(workdir: Path, made_with: dict[str, Any]) -> Chosen | None:
    """None where no point was chosen yet, or where another model or other pictures chose it.

    Raises:
      InputError: chosen.json is not what ``save_chosen`` writes.
    """
    path = workdir / "chosen.json"
    if not path.exists():
        return None
    try:
        said = parsed(path.read_bytes(), constants=True)
        worth = float(said["synthetic_image_auroc"])
        chosen = Chosen(point_of(said["point"]), dict(said["made_with"]), dict(said["asks"]), worth)
    except (OSError, InputError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path}: does not say which point was chosen ({error!r}). Delete it to choose again"
        ) from None
    if chosen.made_with != json.loads(json.dumps(made_with)):
        log.info("%s: another model or other pictures chose that point, so one is chosen anew", path)
        return None
    return chosen
