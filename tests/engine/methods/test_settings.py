"""Another method brings its settings in one class and a line of the table; configs, checks and old runs follow."""

import json
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ddad_jax.engine.methods.settings import settings_from
from ddad_jax.engine.methods.table import METHODS
from ddad_jax.engine.setting_checks import check_settings
from ddad_jax.engine.setting_doubts import doubts
from ddad_jax.engine.settings.need import Need
from ddad_jax.engine.settings.section import Section, changed
from ddad_jax.engine.settings.sections import Settings
from ddad_jax.engine.settings.setting import COUNT, TEXT, number, setting
from ddad_jax.engine.workdir import saved_config
from ddad_jax.errors import InputError
from experiments.config import base, engine_settings


@dataclass(frozen=True)
class BlurSettings(Section):
    """What is measured against the mean picture."""

    radius: float = setting(2.0, number(0, 32), "of the blur, in pixels")
    copies: int = setting(1, COUNT, "of the mean")


@dataclass(frozen=True)
class MeanSettings(Settings):
    method: str = setting("mean", TEXT, "the mean picture")
    blur: BlurSettings = BlurSettings()


def together(c: MeanSettings, need: Need) -> None:
    need("blur.radius", c.blur.radius < c.data.size, f"below data.size = {c.data.size}", ["data.size"])


@pytest.fixture(autouse=True)
def mean(monkeypatch: pytest.MonkeyPatch) -> None:
    method: Any = SimpleNamespace(settings=MeanSettings, together=together, doubts=lambda c: [])
    monkeypatch.setitem(METHODS, "mean", method)


def test_a_config_has_the_sections_of_its_method_alone() -> None:
    c, ours = base("mean"), base()
    assert c.blur.to_dict() == {"radius": 2.0, "copies": 1} and "sample" not in c and "blur" not in ours
    assert (c.method, ours.method) == ("mean", "ddad") and c.data == ours.data
    with pytest.raises(InputError, match=r"--config\.method='median': expected ddad or "):
        base("median")


def test_it_becomes_typed_settings_and_is_judged_as_its_lines_say() -> None:
    c = base("mean")
    c.data.root, c.data.size = "somewhere", 64
    typed = engine_settings(c)
    assert isinstance(typed, MeanSettings) and typed.blur.radius == 2.0 and doubts(typed) == []
    with pytest.raises(InputError, match=r"--config\.blur\.copies=0: expected a whole number, at least 1"):
        check_settings(changed(typed, {"blur.copies": 0}))
    with pytest.raises(InputError, match=r"--config\.blur\.radius=32\.0 with .*size=32: expected below data.size = 32"):
        check_settings(changed(typed, {"blur.radius": 32, "data.size": 32}), given=["blur.radius", "data.size"])


def test_a_method_named_for_the_settings_of_another_is_refused() -> None:
    c = base()
    c.method = "mean"
    with pytest.raises(InputError, match=r"--config\.method='mean': .*another method \(.*sample.*begins with base\("):
        engine_settings(c)


def test_a_workdir_says_its_method_and_one_of_before_there_were_several_is_ddads(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(
        json.dumps({"method": "mean", "data": {"root": "x"}, "blur": {"radius": 3.0}})
    )
    assert saved_config(tmp_path) == changed(
        MeanSettings(), {"data.root": "x", "data.hold_out": "picture", "blur.radius": 3.0}
    )
    (tmp_path / "config.json").write_text(json.dumps({"data": {"root": "x"}, "sample": {"w": 5.0}}))
    assert saved_config(tmp_path).sample.w == 5.0
    (tmp_path / "config.json").write_text(json.dumps({"method": "median"}))
    with pytest.raises(InputError, match=r"config\.json: .*knows no method median"):
        saved_config(tmp_path)


@pytest.mark.parametrize("name", METHODS)
def test_the_defaults_of_a_method_are_what_its_lines_allow(name: str) -> None:
    own = settings_from({**METHODS[name].settings().to_dict(), "method": name})
    assert own == METHODS[name].settings() and check_settings(changed(own, {"data.root": "x", "data.category": "y"}))
