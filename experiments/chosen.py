"""chosen.json: the point that synthetic defects chose, kept with the model, so an evaluation need not sweep."""

import json
import logging
from pathlib import Path
from typing import Any

from ddad_jax.errors import InputError
from ddad_jax.points import ReconPoint, ScorePoint
from experiments.plan import UNSAID, Point, settings_of
from experiments.tables import write_text

log = logging.getLogger(__name__)


def save_chosen(workdir: Path, point: Point, made_with: dict[str, Any], worth: float) -> None:
    """made_with: what the choice depends on besides the sweep; worth: image AUROC on the synthetic defects."""
    said = {"point": settings_of(*point), "synthetic_image_auroc": worth, "made_with": made_with}
    write_text(workdir / "chosen.json", json.dumps(said, indent=1))


def load_chosen(workdir: Path, made_with: dict[str, Any]) -> Point | None:
    """The point, or None where none was chosen yet or another model or other pictures chose it.

    Raises:
      InputError: chosen.json is not what ``save_chosen`` writes.
    """
    path = workdir / "chosen.json"
    if not path.exists():
        return None
    try:
        said = json.loads(path.read_text())
        before, row = said["made_with"], {**UNSAID, **said["point"]}
        recon = ReconPoint(**{name: row[name] for name in ReconPoint._fields})
        score = ScorePoint(**{name: row[name] for name in ScorePoint._fields})
        point = (recon, score._replace(layers=tuple(row["layers"].split("+"))))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path}: does not say which point was chosen ({error!r}). Delete it to choose again"
        ) from None
    if before != json.loads(json.dumps(made_with)):
        log.info("%s: another model or other pictures chose that point, so one is chosen anew", path)
        return None
    return point
