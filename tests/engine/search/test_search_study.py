"""The study of a search: what it asks follows from what it was told, wherever it was killed."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ddad_jax.engine.methods.ddad.search import AXES
from ddad_jax.engine.search import study as studies
from ddad_jax.engine.search.space import Axis
from ddad_jax.errors import InputError

pytest.importorskip("optuna", reason="an extra: pip install '.[search]'")

SPACE = [Axis("w", 0.0, 4.0, AXES["w"]), Axis("t_prime", 20, 300, AXES["t_prime"]), Axis("v", 0.0, 9.0, AXES["v"])]


def worth(values: dict[str, float]) -> float:
    return -((values["w"] - 1) ** 2) - ((values["t_prime"] - 200) / 100) ** 2 - (values["v"] - 3) ** 2 / 20


def asked_and_told(url: str, most: int, stop: int | None = None) -> dict[int, dict[str, float]]:
    """All trials; stop: the search dies when it has called the study's sampler so often."""
    study, found = studies.open_study(url, {"over": 1}), {}
    how: Any = {"groups": 2, "scores": 2, "most": most, "seed": 3}
    calls, suggest = 0, studies._suggest

    def dying(trial: Any, axes: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == stop:
            raise KeyboardInterrupt
        suggest(trial, axes)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(studies, "_suggest", dying)
        patch.setattr(studies, "STARTUP", 1)  # so that what was told decides what is asked
        while trials := studies.ask(study, SPACE, [{"w": 2.0, "t_prime": 100, "v": 1.0}], **how):
            for trial in trials:
                found[trial.number] = trial.values
                studies.tell_study(study, trial.number, worth(trial.values))
    return found


def test_where_it_was_killed_makes_no_difference_to_what_is_asked(tmp_path: Path) -> None:
    whole = asked_and_told(f"sqlite:///{tmp_path / 'whole.db'}", 8)
    assert list(whole) == list(range(8)) and whole[0] == {"w": 2.0, "t_prime": 100, "v": 1.0}
    url, found = f"sqlite:///{tmp_path / 'broken.db'}", {}
    for stop in (3, 4):
        with pytest.raises(KeyboardInterrupt):
            asked_and_told(url, 8, stop)
    found = asked_and_told(url, 8)
    study = studies.open_study(url, {"over": 1})
    kept = {t.number: t.params for t in study.get_trials(deepcopy=False)}
    assert kept == whole and found.items() <= whole.items()


def test_a_trial_that_diverged_is_worse_than_all_others(tmp_path: Path) -> None:
    study = studies.open_study(f"sqlite:///{tmp_path / 'a.db'}", {})
    trials = studies.ask(study, SPACE, [], groups=1, scores=2, most=2, seed=0)
    studies.tell_study(study, trials[0].number, float("nan"))
    studies.tell_study(study, trials[1].number, 0.25)
    told = studies.answered(study)
    assert np.isnan(told[0]) and told[1] == 0.25 == study.best_value
    assert not studies.ask(study, SPACE, [], groups=1, scores=2, most=2, seed=0)


def test_without_optuna_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(InputError, match=r"needs the package optuna; pip install '.\[search\]'"):
        studies.require_optuna()


def test_a_storage_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "search.db").write_bytes(b"no database" * 500)
    for url in (f"sqlite:///{tmp_path / 'search.db'}", "nonsense", f"sqlite:///{tmp_path / 'no' / 'x.db'}"):
        with pytest.raises(InputError, match=r"--storage=.*cannot be used"):
            studies.open_study(url, {})
