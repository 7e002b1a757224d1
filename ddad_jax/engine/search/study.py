"""Asking and telling: an Optuna study on the disk, which a search that was killed takes up where it stopped.

Trials come in groups that share a reconstruction and differ in what works on kept distances (v, sigma), groups in
batches that are asked for at once. What was asked and not answered is answered first, and each trial's draw depends on
the seed, its number and the answers to the batches before, so that a resumed search ends as an unbroken one.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ddad_jax.engine.search.space import Axis
from ddad_jax.engine.store.kept import provenance_differences
from ddad_jax.engine.store.tables import plain
from ddad_jax.errors import InputError, first_line

STARTUP = 6
"""Groups drawn at random before the sampler has a view of its own."""


class Trial(NamedTuple):
    """number: in the study, from 0. values: of the searched names."""

    number: int
    values: dict[str, float]


def require_optuna() -> None:
    """Raises InputError where it is not installed."""
    try:
        import optuna  # noqa: F401
    except ModuleNotFoundError as error:
        raise InputError(f"a search needs the package {error.name}; pip install '.[search]' brings it") from None


def require_storage(storage: str) -> None:
    """Begin the study where there is none, so that a storage is refused before there is anything to lose.

    Raises:
      InputError: the storage cannot be used.
    """
    with reported(storage):
        _study(storage)


def open_study(storage: str, identity: Mapping[str, Any]) -> Any:
    """The study in ``storage`` (a URL of SQLAlchemy), begun where there is none.

    identity: what its answers depend on.

    Raises:
      InputError: the storage cannot be used, or its study is of something else.
    """
    with reported(storage):
        study = _study(storage)
        now, before = plain(identity), study.user_attrs.get("identity")
        if before is None and not study.get_trials(deepcopy=False):
            study.set_user_attr("identity", now)
            return study
    if differing := provenance_differences(before if isinstance(before, dict) else {}, now):
        told = "\n  ".join(differing[:10])
        raise InputError(
            f"--storage={storage}: holds a search of something else:\n  {told}\nDelete it to search anew, or name "
            "another --storage"
        )
    return study


def _study(storage: str) -> Any:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    kept = optuna.storages.RDBStorage(storage)
    return optuna.create_study(storage=kept, study_name="search", direction="maximize", load_if_exists=True)


@contextlib.contextmanager
def reported(storage: str) -> Iterator[None]:
    """What goes wrong with the storage becomes an InputError that names it."""
    import optuna
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (optuna.exceptions.OptunaError, SQLAlchemyError, ImportError) as error:
        expected = "a database that can be written, such as sqlite:///FILE"
        raise InputError(f"--storage={storage}: cannot be used ({first_line(error)}); expected {expected}") from None


def ask(
    study: Any,
    axes: Sequence[Axis],
    firsts: Sequence[Mapping[str, float]],
    *,
    groups: int,
    scores: int,
    most: int,
    seed: int,
) -> list[Trial]:
    """The next batch, or what is not answered yet of the last one; nothing once the study has ``most`` trials.

    Args:
      firsts: values that the first trials of the first groups have.
      groups: of a batch; scores: trials of a group, whose number is that of the trial // ``scores``.
    """
    import optuna

    state = optuna.trial.TrialState
    trials = study.get_trials(deepcopy=False)
    asked = [trial for trial in trials if trial.state != state.WAITING]
    running = [trial for trial in asked if trial.state == state.RUNNING]
    batch = groups * scores
    begin = (running[0].number if running else len(asked)) // batch * batch
    # Nothing is told before the whole batch was asked.
    whole = bool(running) and any(trial.state != state.RUNNING for trial in asked[begin:])
    for trial in running:
        if trial.params.keys() != {axis.name for axis in axes}:  # killed between two of its values
            study.sampler = _sampler(seed, trial.number, scores)
            _suggest(optuna.trial.Trial(study, trial._trial_id), axes)
    for number in range(len(asked), len(asked) if whole else min(begin + batch, most)):
        group, place = divmod(number, scores)
        fixed = firsts[group] if group < len(firsts) and not place else {}
        now = study.get_trials(deepcopy=False)
        if place:
            fixed = {axis.name: now[group * scores].params[axis.name] for axis in axes if axis.costly}
        if fixed and len(now) == number:  # else it is waiting since a process was killed here
            study.enqueue_trial(dict(fixed))
        study.sampler = _sampler(seed, number, scores)
        _suggest(study.ask(), axes)
    running = study.get_trials(deepcopy=False, states=(state.RUNNING,))
    return [Trial(one.number, {axis.name: one.params[axis.name] for axis in axes}) for one in running]


def tell_study(study: Any, number: int, worth: float) -> None:
    """The answer to a trial; one that diverged (NaN) counts as worse than all others."""
    import optuna

    if np.isfinite(worth):
        study.tell(number, worth)
    else:
        study.tell(number, state=optuna.trial.TrialState.PRUNED)


def answered(study: Any) -> dict[int, float]:
    """Number -> worth of the trials that have been told; NaN of those that diverged."""
    trials = [trial for trial in study.get_trials(deepcopy=False) if trial.state.is_finished()]
    return {trial.number: float("nan") if trial.value is None else trial.value for trial in trials}


def importance(study: Any) -> dict[str, float]:
    """Share of each name in what tells good trials from others (PED-ANOVA); empty while there are too few."""
    import optuna

    values = [value for value in answered(study).values() if np.isfinite(value)]
    if len(values) < 20 or len(set(values)) < 4:
        return {}
    evaluator = optuna.importance.PedAnovaImportanceEvaluator()
    return dict(optuna.importance.get_param_importances(study, evaluator=evaluator))


def _sampler(seed: int, number: int, scores: int) -> Any:
    import optuna

    own = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
    startup = STARTUP * scores
    return optuna.samplers.TPESampler(seed=own, n_startup_trials=startup, multivariate=True, constant_liar=True)


def _suggest(trial: Any, axes: Sequence[Axis]) -> None:
    for axis in axes:
        if axis.asked.whole:
            trial.suggest_int(axis.name, int(axis.low), int(axis.high))
        else:
            step = axis.step or None
            trial.suggest_float(axis.name, axis.low, axis.high, step=step)
