"""Every setting of a config, set to what it cannot be: accepted, or refused by its own name."""

import re
from pathlib import Path
from typing import Any

import pytest
import tiny_runs

from ddad_jax.engine.methods.ddad.sections import DDADSettings
from ddad_jax.engine.setting_checks import check_settings
from ddad_jax.engine.settings.need import value_at
from ddad_jax.engine.settings.section import changed
from ddad_jax.engine.settings.setting import settings_in
from ddad_jax.errors import InputError

RANGES = {each.flag: each.range for each in settings_in(DDADSettings)}
ABSURD: tuple[Any, ...] = (
    -1, -64, 0, 1, 3, 7, 33, 2**31, 10**9, 10**30, -1.0, -0.5, 1e-300, 0.5, 2.0, 1e9, 1e300, float("nan"),
    float("inf"), float("-inf"), True, False, None, "", "nonsense", (), (0,), (-1,), (1e9,), (float("nan"),), (None,),
    ("",), ("nonsense",), (1, 2, 3), ((),), (("layer4",),), (True,), [1], {"a": 1},
)  # fmt: skip


def published() -> DDADSettings:
    return changed(DDADSettings(), {"data.root": "data", "data.category": "bottle"})


def tiny() -> DDADSettings:
    return tiny_runs.config(Path("data"))


def tiled() -> DDADSettings:
    """With other settings that depend on each other: a mask, tiles, a student, a short range of times."""
    return tiny_runs.config(
        Path("data"), data__picture=(64, 64), data__overlap=8, view__mask="mask.png", sample__mask_before=True,
        sample__model="student", sample__steps=1, train__t_max=400, model__channel_mult=(1, 2), model__patch=2,
    )  # fmt: skip


@pytest.mark.parametrize("begin", [published, pytest.param(tiny, marks=pytest.mark.slow), tiled])
def test_what_is_refused_is_the_setting_that_is_wrong(begin: Any) -> None:
    c = begin()
    for flag in RANGES:
        for value in ABSURD:
            wrong = changed(c, {flag: value})
            try:
                check_settings(wrong)
            except InputError as error:
                first = re.match(r"--config\.([\w.]+)", str(error))
                assert first and "expected" in str(error), error
                # Alone it is named first; where only several together are wrong, it is among those the message names.
                if first[1] != flag:
                    assert RANGES[flag].good(value_at(wrong, flag)), f"{flag}={value!r} blamed on: {error}"
                    own = flag.rpartition(".")[2] if flag.startswith("sweep.") else flag
                    assert re.search(rf"\b{re.escape(own)}\b", str(error)), f"{flag}={value!r} is not named: {error}"


WRONG = [
    ("data.size", -64), ("data.size", 10**9), ("model.base", -1), ("model.heads", 0), ("model.channel_mult", (0,)),
    ("model.channel_mult", ("a",)), ("model.attention_sizes", (-7,)), ("adapt.eta", float("nan")), ("adapt.w", -1.0),
    ("adapt.t_prime", 1000), ("adapt.steps", 0), ("adapt.weight_decay", -1.0), ("train.weight_decay", float("inf")),
    ("train.learning_rate", float("inf")), ("sample.w", float("inf")), ("sample.t_prime", 0), ("sample.eta", 2.0),
    ("sample.fade", float("nan")), ("score.sigma", 1e9), ("sweep.sigma", (4.0, 1e9)), ("sweep.t_prime", (1000,)),
    ("student.learning_rate", float("nan")), ("grid.images", 0), ("grid.teacher_steps", 0), ("output.browser", -1),
    ("output.maps", "yes"), ("seed", 1.5), ("train.steps", None), ("train.steps", True), ("data.held_out", "much"),
    ("data.picture", (-5, 5)), ("view.mask", 3), ("threshold.k", float("inf")), ("backbone.feature_size", -32),
]  # fmt: skip


@pytest.mark.parametrize(("flag", "value"), WRONG, ids=str)
def test_a_setting_that_cannot_be_is_named_before_those_that_depend_on_it(flag: str, value: Any) -> None:
    for begin in (published, tiny):
        with pytest.raises(InputError, match=rf"^--config\.{re.escape(flag)}=.*: expected "):
            check_settings(changed(begin(), {flag: value}))


def test_a_part_of_a_sweep_is_judged_as_the_sweep_is() -> None:
    for name, values in {"w": (float("inf"),), "t_prime": (0,), "solver": ("none",), "steps": ()}.items():
        c = changed(tiny(), {"sweep.parts": {"few": {name: values}}})
        if values:
            with pytest.raises(InputError, match=rf"^--config\.sweep\.parts\.few\.{name}=.*expected a tuple"):
                check_settings(c)
        else:
            check_settings(c)


@pytest.mark.parametrize(
    ("flag", "value"),
    [("score.v", 1e38), ("score.feature_weight", 1e38), ("threshold.k", 1e30), ("data.picture", (10**6, 10**6))],
)
def test_what_no_map_or_memory_stays_finite_with_is_out_of_range(flag: str, value: object) -> None:
    assert not RANGES[flag].good(value)
