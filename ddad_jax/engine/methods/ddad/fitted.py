"""DDAD once it has learnt: networks and times, from pictures to distances, maps, and one program."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ddad_jax.data import ImageSet
from ddad_jax.data.split import spread
from ddad_jax.detector import Calibration, Detector
from ddad_jax.distance_maps import blurred
from ddad_jax.engine import hosts
from ddad_jax.engine.data.splits import Data
from ddad_jax.engine.methods.backbone import backbone_columns, backbone_settings
from ddad_jax.engine.methods.ddad import student as students
from ddad_jax.engine.methods.ddad.evidence import (
    Starts,
    Taught,
    program_of,
    reconstructed,
    starts_of,
    student_of,
    teacher_of,
    teacher_x0,
)
from ddad_jax.engine.methods.ddad.extractor import adaptation_record
from ddad_jax.engine.methods.ddad.grids import optimised_grids
from ddad_jax.engine.methods.ddad.maps import mapped
from ddad_jax.engine.methods.ddad.sections import DDADSettings
from ddad_jax.engine.methods.ddad.side_by_side import keeper
from ddad_jax.engine.methods.ddad.trajectories import keep as keep_trajectories
from ddad_jax.engine.methods.loop import trained_steps
from ddad_jax.engine.methods.measured import Constants, Mapped, Measured, MeasuredPictures
from ddad_jax.engine.methods.point import Point
from ddad_jax.engine.settings.section import changed
from ddad_jax.engine.tracking import Write, silent
from ddad_jax.first_pass import First
from ddad_jax.pair_program import PairProgram
from ddad_jax.points import (
    OPTIMISED,
    GridKey,
    ReconPoint,
    ScorePoint,
    blend_at_end,
    blend_in_total,
    grid_key,
    time_grid,
)
from ddad_jax.sweep import Distances
from ddad_jax.timesteps import TimeGrid
from ddad_jax.types import Variables
from ddad_jax.vision.tiles import stitch_one


@dataclass(frozen=True)
class FittedDDAD:
    """``method.Fitted``. params: of the noise predictor; variables: of the feature network, adapted for ``epoch``
    epochs; program: both. student, grids: those that the points it is ready for ask. test: the test pictures, for what
    a report shows of them; None where nothing is to be shown."""

    c: DDADSettings
    workdir: Path
    params: Any
    variables: Variables
    epoch: int
    program: PairProgram
    student: Taught | None = None
    grids: Mapping[GridKey, TimeGrid] | None = None
    test: ImageSet | None = None

    @property
    def weights(self) -> Any:
        return self.program.weights

    def ready(
        self, points: Sequence[ReconPoint], data: Data, write: Write = silent, *, make: bool = True
    ) -> "FittedDDAD":
        c, student = self.c, None
        if any(point.model == "student" for point in points):

            def learnt() -> students.Distilled:
                if make:
                    return students.distilled(c, self.workdir, data, self.params, write)
                return students.restored_student(c, self.workdir, self.params)

            student = self._taught(learnt())

        def times() -> dict[GridKey, TimeGrid]:
            return optimised_grids(c, self.workdir, data, self.params, points, find=make)

        grids = hosts.in_turn("optimised grids", times) if make else times()
        return replace(self, student=student, grids=grids, test=data.test)

    def _taught(self, learnt: students.Distilled) -> Taught:
        how: Any = {"made_with": learnt.made_with}
        return student_of(self.c, learnt.params, self.variables, self.program.mesh, **how)

    def with_student(self, learnt: students.Distilled) -> "FittedDDAD":
        return replace(self, student=self._taught(learnt))

    def with_grids(self, grids: Mapping[GridKey, TimeGrid]) -> "FittedDDAD":
        return replace(self, grids=grids)

    @property
    def columns(self) -> dict[str, Any]:
        c = self.c
        return {
            "train_steps": trained_steps(self.workdir),
            "adapt_epoch": self.epoch,
            **backbone_columns(c.backbone),
            "dtype": c.model.dtype,
            "normalise": c.score.normalise,
            "clip": c.sample.clip,
            **({"score_batch": c.score.batch} if c.score.normalise == "batch" else {}),
        }

    def columns_at(self, costly: ReconPoint) -> dict[str, Any]:
        teacher: dict[str, Any] = {}
        if self.c.teacher and costly.reconstructs:
            fine = teacher_of(costly, self.c.teacher)
            teacher = {"teacher": self.c.teacher, "teacher_images": self.c.teacher_images}
            # Rows of before were held against DDIM on the trailing grid.
            teacher |= {"teacher_solver": fine.solver, "teacher_grid": fine.grid}
        times = "-".join(map(str, time_grid(costly, self.grids).t.tolist()))
        return {**teacher, **self._student_columns(costly), "times": times}

    def _student_columns(self, costly: ReconPoint) -> dict[str, Any]:
        return self.student.made_with if self.student and costly.model == "student" else {}

    def asks(self, costly: ReconPoint) -> dict[str, Any]:
        if costly.grid != OPTIMISED:
            return self._student_columns(costly)
        assert self.grids is not None
        return {**self._student_columns(costly), "times": self.grids[grid_key(costly)].t.tolist()}

    def measure(
        self,
        pictures: MeasuredPictures,
        points: Sequence[ReconPoint],
        *,
        progress: Callable[[int], object] = lambda _: None,
        judged: Mapping[ReconPoint, Mapping[str, Any]] = {},  # noqa: B006 - never written to
        selected: Point | None = None,
    ) -> Iterator[Measured]:
        c, chunk, images = self.c, self.c.sample.batch_size, pictures.images
        how: dict[str, Any] = {"chunk": chunk, "watched": pictures.watched}
        starts = starts_of(self.program, images, points, pictures.n_normal, timer=time.perf_counter, **how)
        compared = pictures.first_test + spread(pictures.n_test, c.teacher_images)
        asked = [point for point in points if point in judged and point.reconstructs] if c.teacher else []
        fine = None
        if asked:
            later = {point: times[compared] for point, times in starts.times.items()}
            fine = teacher_x0(self.program, images[compared], asked, steps=c.teacher, chunk=chunk, starts=later)
        kept: dict[str, int] = {"most": c.teacher_images, "seed": c.sweep.seed[0]}
        keep = keeper(self.workdir, self.test, selected, **kept) if asked and self.test else None
        # Of what is shown, or compared; nothing else looks at a reconstruction again.
        redrawn = {point: np.zeros(len(images), bool) for point in points}
        for point in asked:
            redrawn[point][compared] = True
        if selected and selected.costly in points and selected.costly.reconstructs:
            redrawn[selected.costly][pictures.first_test * pictures.tiles :] = True
        how |= {"optimised": self.grids, "starts": starts.times, "keep_x0": redrawn, "spill": self.workdir}
        for point, distances in reconstructed(self.program, self.student, images, points, progress=progress, **how):
            columns = self._sampling(point, starts, pictures)
            if fine and point in asked and hosts.is_first():
                assert distances.x0 is not None
                x0 = distances.x0[np.cumsum(redrawn[point])[compared] - 1]
                columns |= fine.columns(point, x0)
                if keep:
                    keep(point, judged[point], x0, fine.of(point))
            seconds = distances.seconds + starts.seconds.get(point, 0.0)
            first = starts.normal.get(point)
            # Numbers of calibration.npz.
            own: dict[str, Any] = (
                {} if first is None else {"first_ratio": np.float64(first.ratio), "first_scores": first.scores}
            )
            yield Measured(point, distances, seconds, columns, own)

    def _sampling(self, point: ReconPoint, starts: Starts, pictures: MeasuredPictures) -> dict[str, Any]:
        """What every row of a point says of how its reconstructions were come by: calls, first pass included."""
        tiles, first = pictures.tiles, pictures.first_test
        risen = {"t_prime_mean": float(starts.times[point][first:].mean())} if point in starts.times else {}
        # Of the times of T' itself where pictures start later.
        grid = time_grid(point, self.grids)
        blends: dict[str, Callable[[ReconPoint, TimeGrid], float]] = (
            {"blend_at_end": blend_at_end, "blend_in_total": blend_in_total} if point.reconstructs else {}
        )
        end = {name: of(point, grid) for name, of in blends.items()}
        return {"unet_calls": tiles * point.calls, "whole_calls": tiles * point.whole_calls, **end, **risen}

    def maps(self, evidence: Distances, points: Sequence[ScorePoint], pictures: MeasuredPictures) -> Iterator[Mapped]:
        return mapped(self.c.score, evidence, points, pictures)

    def shown(self, evidence: Distances, point: Point, pictures: MeasuredPictures) -> dict[str, np.ndarray]:
        tiling, tiles, n = pictures.tiling, pictures.tiles, pictures.n_test
        if not point.costly.reconstructs:
            return {}
        assert evidence.x0 is not None
        # The test pictures are the last of those that were redrawn, and of all.
        last = slice(pictures.first_test, None)
        how: Any = {"upsampling": point.cheap.upsampling, "tiling": tiling, "rows": last}
        pixel, feature = blurred(evidence, point.cheap.layers, 0.0, **how)
        x0 = np.empty((*pixel.shape, 3), np.uint8)
        half = {name: np.empty(pixel.shape, np.float16) for name in ("pixel", "feature")}
        for i in range(n):
            begin = len(evidence.x0) - (n - i) * tiles
            own = evidence.x0[begin : begin + tiles]
            whole = own[0] if tiling is None else np.stack([stitch_one(own[..., c], tiling) for c in range(3)], axis=-1)
            x0[i] = np.round((np.clip(whole.astype(np.float32), -1, 1) + 1) * 127.5)
            half["pixel"][i : i + 1], half["feature"][i : i + 1] = pixel[i : i + 1], feature[i : i + 1]
        return {"x0": x0, **half}

    def detector(self, point: Point, numbers: Mapping[str, Any], constants: Constants, *, crop: int) -> Detector:
        own = constants.own
        first = First(float(own["first_ratio"]), own["first_scores"]) if "first_ratio" in own else None
        calibration = Calibration(numbers["ratio"], constants.spread, first, constants.watched)
        program = self.student.program if self.student and point.costly.model == "student" else self.program
        return Detector(program, *point, calibration, crop=crop, optimised=self.grids)

    @property
    def identity(self) -> dict[str, Any]:
        return {"model": self.c.model.to_dict(), "backbone": backbone_settings(self.c.backbone)}

    @property
    def networks(self) -> dict[str, Any]:
        return {
            "size": self.c.data.size,
            "unet": self.c.model.to_dict(),
            "backbone": backbone_settings(self.c.backbone),
        }

    @property
    def compilations(self) -> int:
        return self.program.compilations + (self.student.program.compilations if self.student else 0)

    def told(self, data: Data, row: Mapping[str, Any]) -> tuple[list[str], list[str]]:
        from ddad_jax.engine.methods.ddad import report  # which draws, as a run that is only used does not

        adapted = adaptation_record(self.workdir) if self.c.adapts else {}
        return report.network_notes(self.c, data, row, adapted), report.warnings(self.c, data, row, adapted)

    def figures(self, data: Data, rows: Sequence[Mapping[str, Any]], folder: Path) -> dict[str, Any]:
        from ddad_jax.engine.methods.ddad import report

        return report.ddad_figures(self.c, self.workdir, data, rows, self.epoch, folder)

    def in_types(self, unet: str, backbone: str) -> "FittedDDAD":
        """The same, computing in other types ("float32" | "bfloat16"); parameters stay as they are."""
        c = changed(self.c, {"model.dtype": unet, "backbone.dtype": backbone})
        own = replace(self, c=c, program=program_of(c, self.params, self.variables))
        if self.student is None:
            return own
        learnt = students.Distilled(self.student.program.weights[0], self.student.made_with)
        return own.with_student(learnt)

    def keep_steps(self, data: Data, point: Point) -> None:
        if not point.costly.reconstructs:
            return
        student = self.student.program if self.student else None
        shown: dict[str, Any] = {"most": self.c.output.browser, "chunk": self.c.sample.batch_size}
        keep_trajectories(self.workdir, data, point, self.program, student, self.grids, **shown)
