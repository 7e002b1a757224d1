"""A search for the point of a model on synthetic defects: models made where they are missing, trials, the best kept."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ddad_jax.checkpoint import params_fingerprint
from ddad_jax.engine import hosts, tracking
from ddad_jax.engine.data.splits import load_data
from ddad_jax.engine.methods.method import Fitted, key_columns
from ddad_jax.engine.methods.point import Point, point_settings
from ddad_jax.engine.methods.table import method_of
from ddad_jax.engine.search import study as studies
from ddad_jax.engine.search.judge import Judge, judge_of, quantum_of, seeds_of, without_test, worth_of
from ddad_jax.engine.search.outcome import kept_point_command, ranked, report_search
from ddad_jax.engine.search.space import Axis, parse_axes, point_at, values_of
from ddad_jax.engine.search.study import Trial
from ddad_jax.engine.setting_checks import check_settings
from ddad_jax.engine.settings.section import changed
from ddad_jax.engine.settings.sections import Settings
from ddad_jax.engine.store.tables import append_jsonl, read_jsonl, write_jsonl
from ddad_jax.engine.sweep.choice import ChosenPoint, load_chosen, save_chosen
from ddad_jax.engine.sweep.journal import measured_with
from ddad_jax.engine.workdir import open_workdir, workdir_lock
from ddad_jax.errors import InputError
from ddad_jax.mesh import device_mesh, require_work
from ddad_jax.weights import load_backbone

log = logging.getLogger(__name__)

Rows = dict[int, dict[str, Any]]
"""Number of a trial -> its row: settings, metrics on the synthetic defects, what it was made with."""


class Search(NamedTuple):
    """How to search. over: as of ``--over``. trials: settings to try, those of earlier calls included. scores: of them
    share a reconstruction. groups: reconstructions in a batch. minutes: no batch begins after so many, 0 for no limit.
    storage: URL of the study; "": search.db of the workdir."""

    over: Sequence[str]
    trials: int = 100
    scores: int = 4
    groups: int = 4
    seed: int = 0
    minutes: float = 0.0
    storage: str = ""


class Subject(NamedTuple):
    """The model, ready to be judged. asks: what tells the student and the grid that its points ask from others.
    asked_now: the same of any point, by what the workdir holds; None where it holds no such student or grid."""

    folder: Path
    judge: Judge
    made_with: dict[str, Any]
    asks: dict[str, Any]
    asked_now: Callable[[Point], dict[str, Any] | None]
    quantum: float
    fitted: Fitted
    write: tracking.Writer


def run_search(
    config: Settings, workdir: Path, how: Search, *, track: Sequence[str] = (), evaluate: str = ""
) -> dict[str, Any]:
    """Try settings, keep the best in chosen.json, write search.jsonl and figures/search.png; the best row.

    evaluate: the command that tests it, which is printed at the end; "": one without the config's file.

    No picture or label of the test set is looked at. Ranked by image AUROC on the synthetic defects, mean of the
    seeds; of equals the one with the greater AUPRO, then the first.

    Raises:
      InputError: names that cannot be searched, numbers out of range, no held-out pictures, another search in the
        storage; every trial diverged; another program writes into the workdir; as the stages of ``pipeline.run_all``.
    """
    with workdir_lock(workdir):
        return _search(config, workdir, how, track, evaluate)


def _search(config: Settings, workdir: Path, how: Search, track: Sequence[str], evaluate: str) -> dict[str, Any]:
    c = _config_of(config)
    _require_sound(how)
    axes = parse_axes(c, how.over)
    studies.require_optuna()
    folder = workdir.expanduser().absolute()
    storage = how.storage or f"sqlite:///{folder / 'search.db'}"
    if how.storage or (folder / "search.db").exists():
        hosts.first("the storage", lambda: studies.require_storage(storage))
    if not any(axis.costly for axis in axes):
        how = how._replace(groups=1)
    elif all(axis.costly for axis in axes):
        how = how._replace(scores=1)
    subject = _subject(c, workdir, track)
    identity, command = _identity(c, axes, how, subject), evaluate or kept_point_command("CONFIG", {}, folder)
    study: Any = None
    firsts: list[dict[str, float]] = []

    def begin() -> None:
        nonlocal study, firsts
        firsts = _firsts(c, axes, subject)
        study = studies.open_study(storage, identity)
        for row in _keep_told(subject.folder, studies.answered(study)):
            subject.write(*tracking.row_of_search(row, identity))  # to whom has not heard of it

    def ask() -> list[Trial]:
        if how.minutes and time.monotonic() - started > 60.0 * how.minutes:
            return []
        batch = {"groups": how.groups, "scores": how.scores, "most": how.trials, "seed": how.seed}
        with studies.reported(storage):
            return studies.ask(study, axes, firsts, **batch)

    hosts.first("the study", begin)
    started, tried = time.monotonic(), 0
    while trials := [Trial(*trial) for trial in hosts.first("the next trials", ask)]:
        points = [point_at(c, trial.values) for trial in trials]
        judged = subject.judge(points)
        if hosts.is_first():
            with studies.reported(storage):
                for trial, point, metrics in zip(trials, points, judged, strict=True):
                    _answer(study, subject, identity, trial, point, metrics)
        tried += len(trials)
        log.info("%d trials in %.0f s, compiled programs: %d", tried, time.monotonic() - started,
                 subject.fitted.compilations)  # fmt: skip
        hosts.first("their answers", lambda: None)
    return hosts.first("the end of the search", lambda: _end(c, axes, subject, study, command))


def _config_of(config: Settings) -> Settings:
    """Where a point is chosen by synthetic defects, as an evaluation of it has to be told, too."""
    return check_settings(changed(config, {"select": "synthetic"}))


def _require_sound(how: Search) -> None:
    for name in ("trials", "scores", "groups"):
        if getattr(how, name) < 1:
            raise InputError(f"--{name}={getattr(how, name)}: expected 1 or more")
    if not 0 <= how.seed < 2**31:
        raise InputError(f"--seed={how.seed}: expected 0 to 2^31 - 1")
    if not 0 <= how.minutes < float("inf"):
        raise InputError(f"--timeout_minutes={how.minutes}: expected 0 (no limit) or more")


def _subject(c: Settings, workdir: Path, track: Sequence[str]) -> Subject:
    """The workdir's model, made where it is not."""
    data, method = without_test(load_data(c)), method_of(c)
    load_backbone(c.backbone.name, c.backbone.weights or None)
    mesh, point = device_mesh(), method.point(c)
    require_work(len(data.shown), mesh, what="pictures", mend="Raise --config.synthetic_defects")
    folder = open_workdir(workdir, c, data)
    write = tracking.writer_of(folder, track, c.to_dict(), key_columns(method))
    learnt = method.fit(c, folder, data, write, mesh)
    made_with = {"weights": params_fingerprint(learnt.weights), **measured_with(c, folder, data, learnt)}
    fitted = learnt.ready(seeds_of(c, point.costly), data, write)
    judge = judge_of(c, data, fitted, heard=hosts.is_first())

    def asked_now(point: Point) -> dict[str, Any] | None:
        try:
            return learnt.ready([point.costly], data, make=False).asks(point.costly)
        except InputError as error:
            log.info("%s", error)
            return None

    asks = fitted.asks(point.costly)
    return Subject(folder, judge, made_with, asks, asked_now, quantum_of(c, data), fitted, write)


def _identity(c: Settings, axes: Sequence[Axis], how: Search, subject: Subject) -> dict[str, Any]:
    settings = point_settings(*method_of(c).point(c))
    fixed = {name: value for name, value in settings.items() if name not in [axis.name for axis in axes]}
    # A trial's draw depends on what was told before its batch, so a batch of another size is another search.
    seeds = {"seeds": list(c.sweep.seed), "search_seed": how.seed, "scores": how.scores, "groups": how.groups}
    over = {"over": {axis.name: [axis.low, axis.high] for axis in axes}}
    return {**fixed, **over, **seeds, **subject.made_with, **{f"asks_{k}": v for k, v in subject.asks.items()}}


def _firsts(c: Settings, axes: Sequence[Axis], subject: Subject) -> list[dict[str, float]]:
    """Values of the points that are known, the config's and one chosen before, where the search can reach them."""
    kept_point = _kept(c, subject)
    known = [method_of(c).point(c), *([kept_point.point] if kept_point else [])]
    first_values = [values_of(c, axes, point) for point in dict.fromkeys(known)]
    return [values for values in first_values if values]


def _kept(c: Settings, subject: Subject) -> ChosenPoint | None:
    """The point chosen before, where the student and the grid that it asks are those of now."""
    chosen = load_chosen(subject.folder, method_of(c), subject.made_with)
    if chosen and chosen.asks != subject.asked_now(chosen.point):
        log.info("%s: another student or grid chose that point", subject.folder / "chosen.json")
        return None
    return chosen


def _keep_told(folder: Path, worths: Mapping[int, float]) -> list[dict[str, Any]]:
    """search.jsonl with the rows of the trials that were told, each once, and these rows.

    Raises:
      InputError: it lacks some of them.
    """
    path = folder / "search.jsonl"
    rows = _read(path)
    if missing := sorted(worths.keys() - rows.keys()):
        raise InputError(
            f"{path}: lacks the rows of {len(missing)} trials that the study knows, such as number {missing[0]}; "
            "delete the study (search.db, or what --storage names), too, to search anew"
        )
    answered_rows = [rows[number] for number in sorted(worths)]
    write_jsonl(path, answered_rows)
    return answered_rows


def _read(path: Path) -> Rows:
    return {int(row["trial"]): row for row in read_jsonl(path)}


def _answer(
    study: Any, subject: Subject, identity: dict[str, Any], trial: Trial, point: Point, metrics: Mapping[str, float]
) -> None:
    """The row first: a trial that is told has one."""
    row = {"trial": trial.number, **point_settings(*point), **metrics, **subject.made_with, **subject.asks}
    append_jsonl(subject.folder / "search.jsonl", row)
    subject.write(*tracking.row_of_search(row, identity))
    studies.tell_study(study, trial.number, worth_of(metrics, subject.quantum))


def _end(c: Settings, axes: Sequence[Axis], subject: Subject, study: Any, evaluate: str) -> dict[str, Any]:
    """Keep the best point, and say what the search found."""
    worths, rows = studies.answered(study), _read(subject.folder / "search.jsonl")
    order = ranked(worths)
    best = rows[order[0]]
    report_search(
        c, axes, subject.folder, rows, order, failed=len(worths) - len(order), shares=studies.importance(study)
    )
    worth, kept_point = float(best["synthetic_image_auroc"]), _kept(c, subject)
    if kept_point and kept_point.worth > worth + 1e-9:
        print(f"\nchosen.json keeps a better point, with {kept_point.worth:.4f}: {point_settings(*kept_point.point)}")
    else:
        save_chosen(subject.folder, ChosenPoint(method_of(c).point_of(best), subject.made_with, subject.asks, worth))
        print(f"\nThe best is kept in {subject.folder / 'chosen.json'}.")
    print(f"Test it with\n{evaluate}")
    subject.write.close()
    return best
