"""What a run will do, counted before it is paid for. Pure."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from ddad_jax.adapt import pairs, self_pairs
from ddad_jax.data.split import spread
from ddad_jax.engine.cost.work import USES, Work
from ddad_jax.engine.data.splits import Data
from ddad_jax.engine.methods.ddad.calls import Calls
from ddad_jax.engine.methods.ddad.evidence import teachers_of
from ddad_jax.engine.methods.ddad.extractor import LOOKED_AT
from ddad_jax.engine.methods.ddad.grids import TRIALS
from ddad_jax.engine.methods.ddad.lessons import lesson_number
from ddad_jax.engine.methods.ddad.points import adaptation_point, redrawn_point
from ddad_jax.engine.methods.ddad.sections import DDADSettings, StudentSettings, TrainSettings
from ddad_jax.engine.methods.point import Plan
from ddad_jax.engine.settings.training import TrainingSettings
from ddad_jax.engine.sweep.shards import dealt
from ddad_jax.first_pass import first_pass
from ddad_jax.metrics.thresholds import tuning_size
from ddad_jax.pair_program import program_key
from ddad_jax.points import OPTIMISED, ReconPoint, grid_key
from ddad_jax.solvers import SOLVERS
from ddad_jax.sweep import compiled_alike
from ddad_jax.synthetic.painted import DEFECTS, STRENGTHS
from ddad_jax.timesteps import CONTINUOUS

VALIDATED_AT = 8
"""Times of the validation loss (``ddad_jax.engine.methods.ddad.noise_predictor``)."""
GRID_TEACHER = 2
"""Calls a time that the search of a grid makes besides its teacher's (``grid_teacher.run_teacher``)."""


class PictureCounts(NamedTuple):
    """fit: trained on, and validation: what trainings measure themselves on; tiles where there are tiles. calibration
    (tuning pictures among them), synthetic (with the normal ones beside it), test: reconstructed at every point,
    ``tiles`` pieces of each."""

    fit: int
    validation: int
    calibration: int
    synthetic: int
    test: int
    tiles: int = 1

    @property
    def reconstructed(self) -> int:
        return self.tiles * (self.calibration + self.synthetic + self.test)


def picture_counts(data: Data) -> PictureCounts:
    calibration, test = len(data.calibration.labels), len(data.test.labels)
    if data.tuning is not None:
        calibration += len(data.tuning.labels)
    synthetic = sum(len(s.labels) for s in data.sets) - calibration - test
    return PictureCounts(
        len(data.fit.labels), len(data.validation.labels), calibration, synthetic, test, data.view.tiles
    )  # fmt: skip


def assumed_pictures(c: DDADSettings, n_test: int, n_train: int, tiles: int = 1) -> PictureCounts:
    """As many as ``ddad_jax.engine.data.splits.split_data`` makes of ``n_train`` >= 2 normal pictures without known
    recordings."""
    held_out = min(max(round(c.data.held_out * n_train), 4), n_train // 2)
    calibration, fit = min(held_out, c.data.calibration), n_train - held_out
    tuning = tuning_size(calibration, c.data.tuning) if c.tunes else 0
    synthetic = _synthetic(c, tuning or calibration, fit) if c.select == "synthetic" else 0
    looked_at = tuning or held_out
    if tiles > 1:
        most = max(1, c.data.train_tiles // 8)
        fit, looked_at = min(fit * tiles, c.data.train_tiles), min(looked_at * tiles, most)
    return PictureCounts(fit, min(looked_at, c.data.calibration), calibration, synthetic, n_test, tiles)


def _synthetic(c: DDADSettings, scale: int, fit: int) -> int:
    """Pictures of ``ddad_jax.engine.data.splits.choice_of``: normal ones besides the held-out ones that choose, and
    the defects."""
    trained = min(max(c.synthetic_normals - scale, 0), fit)
    normal = scale + trained
    return trained + normal * min(math.ceil(c.synthetic_defects / normal), len(DEFECTS) * len(STRENGTHS))


def _examined(s: TrainingSettings) -> int:
    """How often a training looks at held-out pictures: every so many steps, and at the end."""
    often = {n for every in (s.validate_every, s.checkpoint_every) for n in range(every, s.steps + 1, every)}
    return len(often | {s.steps})


def _padded(n: int, size: int) -> int:
    return -(-n // size) * size


def training(s: TrainSettings, have: PictureCounts, devices: int = 1) -> Work:
    seen = _padded(have.validation, _padded(min(s.batch_size, have.validation), devices))
    return Work(
        "training", update=s.steps * s.batch_size, unet=_examined(s) * seen * VALIDATED_AT, programs=2,
        limit=60.0 * s.max_minutes, looks=s.steps, cut=devices,
    )  # fmt: skip


def adaptation(c: DDADSettings, have: PictureCounts) -> Work:
    """Every epoch; early stopping (``adapt.patience``) can only make it shorter."""
    a = c.adapt
    if not c.adapts:
        return Work("adaptation")
    if a.pairs == "self":
        targets = self_pairs(have.fit, a.batch_size, epoch=1, seed=c.seed)
    else:
        targets, _ = pairs(have.fit, 2 * a.batch_size, epoch=1, seed=c.seed)
    learnt, point = a.epochs * targets.size, adaptation_point(c)
    checked = targets[: -(-LOOKED_AT // targets.shape[1])].size
    seen = _padded(have.validation, min(c.sample.batch_size, have.validation))
    work = Work(
        "adaptation", unet=(learnt + seen + checked) * point.calls, feature=2 * learnt + (a.epochs + 1) * 4 * seen,
        feature_update=2 * learnt, programs=3, limit=60.0 * a.max_minutes, looks=a.epochs,
    )  # fmt: skip
    if a.choose == "synthetic":
        scale = tuning_size(have.calibration, c.data.tuning) or have.calibration
        painted = scale + (have.synthetic or _synthetic(c, scale, have.fit))
        judge = redrawn_point(c)[0]
        calls = judge._replace(rise=0.0).calls
        more = painted * calls, 2 * painted * (a.epochs + 1)
        work = work._replace(unet=work.unet + more[0], feature=work.feature + more[1], programs=5)
    return work


def student(s: StudentSettings, have: PictureCounts) -> Work:
    lessons = len({lesson_number(step, s.reuse) for step in range(s.steps)})
    taught = s.teacher_steps * SOLVERS[s.teacher_solver].calls + 1
    seen = _padded(2 * have.validation, min(s.batch_size, 2 * have.validation))
    return Work(
        "student", update=s.steps * s.batch_size * s.calls, programs=3, limit=60.0 * s.max_minutes, looks=s.steps,
        unet=lessons * s.batch_size * taught + seen * (taught + (_examined(s) + 1) * s.calls),
    )  # fmt: skip


def grid_search_work(c: DDADSettings, have: PictureCounts, points: Sequence[ReconPoint]) -> Work:
    """At most: a search that finds nothing to try makes fewer calls."""
    keys = {grid_key(p) for p in points if p.grid == OPTIMISED}
    images = min(c.grid.images, have.validation)
    fine = {t_prime: min(c.grid.teacher_steps, t_prime) for t_prime in {key.t_prime for key in keys}}
    each = SOLVERS[c.grid.teacher_solver].calls
    calls = sum(n * (each + GRID_TEACHER) for n in fine.values())
    for n in fine.values():
        # The run that distances are measured to, and the one of half its steps.
        steps = c.grid.teacher_steps if c.grid.teacher_grid in CONTINUOUS else n
        calls += each * (steps + max(steps // 2, 1))
    for key in keys:
        # One call of all standard grids, then for each time but the first one of all its trials a round.
        tried = TRIALS * (1 + c.grid.rounds * (key.steps - 1))
        calls += tried * key.steps * SOLVERS[key.solver].calls
    programs = 3 * len(set(fine.values())) + len({(key.steps, key.solver) for key in keys})
    return Work("optimised grids", unet=images * calls, programs=programs)


def _reconstructions(points: Sequence[ReconPoint], n: int, chunk: int) -> Work:
    """``ddad_jax.sweep.sweep_distances`` of ``n`` pictures at points with start times known, whose features fit on the
    device."""
    whole, shallow, ended, feature = 0, 0, 0, 0
    before: bool | None = None
    for group in compiled_alike(points):
        computed, point = _padded(len(group) * n, chunk), group[0]._replace(rise=0.0)
        whole += computed * point.whole_calls
        shallow += computed * (point.calls - point.whole_calls)
        if point.reconstructs:
            ended += computed * point.draws
            # Every pair is given those of its picture, which are asked for once.
            feature += (_padded(n, min(chunk, n)) if point.mask_before != before else 0) - computed * point.draws
            before = point.mask_before
    return Work("", unet=whole, shallow=shallow, pairs=ended, feature=feature)


def _programs(model: str, points: Sequence[ReconPoint]) -> set[tuple]:
    return {(model, *program_key(p)) for p in points}


def sweep(c: DDADSettings, have: PictureCounts, todo: Plan, devices: int = 1) -> Work:
    """First passes, teachers and points, and what they are scored for."""
    n, chunk = have.reconstructed, _padded(c.sample.batch_size, devices)
    models = {model: [p for p in todo.costly if p.model == model] for model in ("student", "teacher")}
    runs = [_reconstructions(own, n, chunk) for own in models.values()]
    firsts = list(dict.fromkeys(first_pass(p) for p in todo.costly if p.rise))
    runs.append(_reconstructions(firsts, n, chunk))
    programs = set().union(*(_programs(model, own) for model, own in models.items()), _programs("teacher", firsts))
    if c.teacher:
        redrawn = [p for p in todo.costly if p.reconstructs]
        fine = sorted({q for p in redrawn for q in teachers_of(p, c.teacher)}, key=lambda p: p.steps)
        runs.append(_reconstructions(fine, len(spread(have.test, c.teacher_images)), chunk))
        programs |= _programs("teacher", fine)
    rows, sides = len(todo.points), len({(p.costly, p.cheap.layers, p.cheap.sigma) for p in todo.points})
    again = int(todo.selected is None)
    # The point that was chosen is reconstructed once more, for the report; which one is not known, so the dearest.
    runs.append(_reconstructions(sorted(todo.costly, key=lambda p: -p.calls)[:again], n, chunk))
    sums = {name: sum(getattr(run, name) for run in runs) for name in ("unet", "shallow", "pairs", "feature")}
    return Work("sweep", **sums, programs=len(programs), rows=rows, sides=sides + again, cut=devices)


def shards(c: DDADSettings, have: PictureCounts, todo: Plan, number: int) -> list[Plan]:
    """The points of each of ``number`` runs that share the grid, as ``--shard=K/N`` takes them; of fewer runs where
    there are fewer points."""
    compared = len(spread(have.test, c.teacher_images))
    cost = Calls(have.reconstructed, c.teacher, compared)
    every = dealt(todo.costly, min(number, len(todo.costly)), cost)
    return [todo._replace(costly=own) for own in every]


def useful(c: DDADSettings, have: PictureCounts, todo: Plan, devices: int) -> float:
    """Share of the computed pairs that is asked for; the rest fills up the last chunk of each program."""
    n, chunk = have.reconstructed, _padded(c.sample.batch_size, devices)
    return n * len(todo.costly) / sum(_padded(len(group) * n, chunk) for group in compiled_alike(todo.costly))


def works(c: DDADSettings, have: PictureCounts, todo: Plan, stages: Sequence[str], devices: int = 1) -> list[Work]:
    """Of the stages of a program, those that have something to do, in the order they run."""
    asks_student = any(point.model == "student" for point in todo.costly)
    made = {
        "training": lambda: training(c.train, have, devices),
        "adaptation": lambda: adaptation(c, have),
        # On its own a student is trained whether a point asks for it or not.
        "student": lambda: student(c.student, have) if asks_student or "adaptation" not in stages else Work("student"),
        "optimised grids": lambda: grid_search_work(c, have, todo.costly),
        "sweep": lambda: sweep(c, have, todo, devices),
    }
    found = [made[name]() for name in stages]
    return [work for work in found if any(getattr(work, count) for count in USES.values())]
