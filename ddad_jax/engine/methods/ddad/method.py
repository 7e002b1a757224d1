"""DDAD behind the seam: a noise predictor trained, a feature network adapted, pictures redrawn and compared."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from ddad_jax.engine import hosts
from ddad_jax.engine.data.splits import Data
from ddad_jax.engine.methods.ddad import (
    checks,
    doubts,
    extractor,
    noise_predictor,
    points,
    search,
    student,
    trajectories,
)
from ddad_jax.engine.methods.ddad.calls import Calls
from ddad_jax.engine.methods.ddad.evidence import compared_pictures, program_of
from ddad_jax.engine.methods.ddad.fitted import FittedDDAD
from ddad_jax.engine.methods.ddad.sections import DDADSettings
from ddad_jax.engine.methods.ddad.settings import ADAPTED_WITH, STUDENT_WITH, TRAINED_WITH, adaptation_grid
from ddad_jax.engine.methods.measured import Steps
from ddad_jax.engine.methods.method import at_dotted, is_count, is_finite_number
from ddad_jax.engine.methods.point import Plan, Point, SearchableSetting
from ddad_jax.engine.settings.need import Need
from ddad_jax.engine.settings.section import changed
from ddad_jax.engine.settings.sections import LABEL_FREE
from ddad_jax.engine.tracking import Write
from ddad_jax.errors import InputError
from ddad_jax.optimised_grid import grid_of
from ddad_jax.points import OPTIMISED, ReconPoint, ScorePoint, grid_key

REDRAWN = (
    "It adds noise to a test picture and takes it away again step by step, steered towards the picture itself, and so "
    "redraws the part as it would look without a defect. Where the picture and its redrawing differ, in their pixels "
    "and in the features of a trained network, the anomaly map is bright."
)
SCORED_WITHOUT = {
    "inversion": "Its network leads a picture back to the noise that belongs to it, without redrawing anything. Where "
    "that noise is longer than good parts' noise is, the anomaly map is bright.",
    "resilience": "It puts a little noise on a picture and asks its network for that noise, without redrawing "
    "anything. Where the network does not see it, the anomaly map is bright.",
}
"""``sample.scoring`` -> how a picture is judged without a reconstruction."""
NUMBERS = ("clip", "normalise", "adapt_epoch")
"""Of calibration.json, besides the settings of the point and the ratio."""


class DDAD:
    """``method.Method``.

    Source: Mousakhan et al. 2023, "Anomaly Detection with Conditioned Denoising Diffusion Models".
    """

    name, title, settings = "ddad", "DDAD", DDADSettings
    costly, cheap = ReconPoint, ScorePoint
    axes: Mapping[str, SearchableSetting] = search.AXES
    searched = ("w", "t_prime", "v")
    printed = ("w", "t_prime", "steps", "eta", "v", "layers")
    apart = ("student",)

    def together(self, c: DDADSettings, need: Need) -> None:
        checks.check_ddad_jointly(c, need)

    def doubts(self, c: DDADSettings) -> list[str]:
        return doubts.ddad_doubts(c)

    def plan(self, c: DDADSettings, *, sweep: bool) -> Plan:
        return points.ddad_plan(c, sweep=sweep)

    def point(self, c: DDADSettings) -> Point:
        return points.config_point(c)

    def point_of(self, row: Mapping[str, Any]) -> Point:
        return points.ddad_point_of(row)

    def usual(self, c: DDADSettings, name: str, names: Sequence[str]) -> tuple[float, float]:
        return search.usual(c, name, names)

    def refused(self, c: DDADSettings, name: str) -> str:
        return search.refused(c, name)

    def beside(self, c: DDADSettings) -> str:
        of = {"reconstruction": f"model = {c.sample.model}, solver = {c.sample.solver}"}
        return f"with {of.get(c.sample.scoring, f'scoring = {c.sample.scoring}')}"

    def fit(self, c: DDADSettings, workdir: Path, data: Data, write: Write, mesh: Mesh | None = None) -> FittedDDAD:
        params = noise_predictor.trained(c, workdir, data, write)
        adapted = hosts.in_turn("adaptation", lambda: extractor.adapted(c, workdir, data, params, write))
        return _fitted(c, workdir, params, *adapted, mesh)

    def restored(self, c: DDADSettings, workdir: Path, mesh: Mesh | None = None) -> FittedDDAD:
        params = noise_predictor.restored_params(c, workdir)
        # As ``fit`` has them where there are several devices.
        params = params if mesh is None else jax.tree.map(np.asarray, params)
        return _fitted(c, workdir, params, *extractor.restored_extractor(c, workdir), mesh)

    def restored_at(self, c: DDADSettings, workdir: Path, point: Point, numbers: Mapping[str, Any]) -> FittedDDAD:
        if numbers["normalise"] != "held_out":
            raise InputError(
                f"{workdir}: normalise = {numbers['normalise']!r} takes the scale of a score from the pictures of its "
                "batch, so a picture has no score of its own; expected a run with --config.score.normalise=held_out"
            )
        fitted = self.restored(c, workdir)
        if point.costly.model == "student":
            fitted = fitted.with_student(student.restored_student(c, workdir, fitted.params))
        if point.costly.grid != OPTIMISED:
            return fitted
        try:
            times = grid_of([int(t) for t in numbers["times"].split("-")])
        except (InputError, KeyError, ValueError, AttributeError) as error:
            raise InputError(f"{workdir / 'calibration.json'}: no times of an optimised grid ({error})") from None
        return fitted.with_grids({grid_key(point.costly): times})

    def random(self, costly: ReconPoint) -> bool:
        return costly.random

    def cost(self, c: DDADSettings, data: Data) -> Calls:
        images = data.view.tiles * sum(len(s.labels) for s in data.sets)
        return Calls(images, c.teacher, len(compared_pictures(data.test, c.teacher_images)))

    def needed(self, numbers: Mapping[str, Any]) -> dict[str, tuple[Callable[[Any], bool], str]]:
        held_out = numbers.get("normalise") == "held_out"
        ratio = {"ratio": (lambda value: is_finite_number(value) and value > 0, "a number above 0")} if held_out else {}
        return {
            "clip": (lambda value: isinstance(value, bool), "true or false"),
            "normalise": (lambda value: isinstance(value, str), "held_out or batch"),
            "adapt_epoch": (is_count, "a whole number, at least 0"),
            **ratio,
        }

    def numbers(self, row: Mapping[str, Any]) -> dict[str, Any]:
        # Rows of before there were optimised grids visit what their grid says. With normalise = "batch", as published,
        # there is no ratio to keep: every test batch makes its own.
        more = [*(["times"] if "times" in row else []), *(["ratio"] if row["normalise"] == "held_out" else [])]
        return {name: row[name] for name in (*NUMBERS, *more)}

    def settled(self, c: DDADSettings, numbers: Mapping[str, Any]) -> DDADSettings:
        own = {"score.crop": "crop", "score.normalise": "normalise", "sample.clip": "clip"}
        return changed(c, {flag: numbers[name] for flag, name in own.items()})

    def published(self, c: DDADSettings) -> bool:
        return c.score.normalise == "batch"

    def origin(self, c: DDADSettings) -> str:
        return "" if c.sample.origin == LABEL_FREE else c.sample.origin

    def bound(self, workdir: Path, settings: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """What has not been made yet binds nobody: the noise predictor's settings count once it has a checkpoint, the
        extractor's once an adaptation has begun, the student's once its distillation has."""

        def of(names: tuple[str, ...]) -> dict[str, Any]:
            found = {name: at_dotted(settings, name) for name in names}
            # What counts is what adaptation took of it.
            return {name: adaptation_grid(v) if name == "sample.grid" else v for name, v in found.items()}

        parts = {"train": TRAINED_WITH, "adapt": ADAPTED_WITH, "student": STUDENT_WITH}
        return {folder: of(names) for folder, names in parts.items() if (workdir / folder).exists()}

    def steps(self, workdir: Path) -> Steps | None:
        return trajectories.load_trajectory(workdir)

    def explained(self, n_train: int, subject: str, row: Mapping[str, Any]) -> str:
        scored = SCORED_WITHOUT.get(row.get("scoring", "reconstruction"), REDRAWN)
        return (
            f"DDAD learnt from {n_train} pictures of good parts ({subject}) what they look like; it has never seen a "
            f"defect. {scored} The map's highest value is the picture's score."
        )


def _fitted(c: DDADSettings, workdir: Path, params: Any, variables: Any, epoch: int, mesh: Mesh | None) -> FittedDDAD:
    return FittedDDAD(c, workdir, params, variables, epoch, program_of(c, params, variables, mesh))
