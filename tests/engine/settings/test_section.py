"""Settings are values: what changes them makes others, and only of what there is."""

import dataclasses

import pytest

from ddad_jax.engine.methods.ddad.sections import DDADSettings
from ddad_jax.engine.methods.settings import settings_from
from ddad_jax.engine.settings.section import changed
from ddad_jax.errors import InputError


def test_what_is_changed_is_another_and_the_first_stays() -> None:
    first = DDADSettings()
    other = changed(first, {"score.crop": 3, "sample.w": 2, "seed": 1})
    assert (first.score.crop, other.score.crop, other.seed) == (0, 3, 1)
    assert other.sample.w == 2.0 and isinstance(other.sample.w, float)
    assert changed(other, {"score.crop": 0, "sample.w": 3.0, "seed": 0}) == first
    with pytest.raises(dataclasses.FrozenInstanceError):
        first.seed = 3  # type: ignore[misc]


@pytest.mark.parametrize("flag", ["score.crpo", "scor.crop", "score", "seed.x", ""])
def test_only_settings_that_there_are_can_be_changed(flag: str) -> None:
    with pytest.raises(InputError, match=rf"--config\.{flag}: there is no such setting"):
        changed(DDADSettings(), {flag: 3})


def test_to_a_dict_and_back_is_the_same() -> None:
    settings = changed(DDADSettings(), {"sweep.parts": {"few": {"steps": (1, 3)}}, "sample.solver": "heun"})
    assert settings_from(settings.to_dict()) == settings
    assert settings.to_dict()["sweep"]["parts"] == {"few": {"steps": (1, 3)}}


def test_a_dict_of_something_else_is_refused() -> None:
    with pytest.raises(InputError, match=r"--config\.train\.stesp: there is no such setting"):
        settings_from({"train": {"stesp": 3}})
    with pytest.raises(InputError, match=r"--config\.method='ouija': expected ddad"):
        settings_from({"method": "ouija"})
