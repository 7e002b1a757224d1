"""A value that cannot be used is refused by its flag's name before anything runs."""

import re
from pathlib import Path
from typing import Any

import pytest
from ml_collections import ConfigDict
from tiny_runs import config

from ddad_jax.engine.methods.ddad.points import ddad_plan
from ddad_jax.engine.setting_checks import check_settings
from ddad_jax.engine.settings.section import changed
from ddad_jax.errors import InputError


def test_the_checked_config_is_the_one_given(tmp_path: Path) -> None:
    c = config(tmp_path)
    assert check_settings(c) is c


REFUSED = [
    ("data__kind", "film"),
    ("data__root", ""),
    ("sample__solver", "euler"),
    ("sweep__fade", ("1",)),
    ("sweep__rise", (True,)),
    ("sweep__rise", (float("nan"),)),
    ("sample__rise", -1.0),
    ("sweep__solver", (["ddim"],)),
    ("sweep__standardise", ([1],)),
    ("sweep__layers", (("layer4",),)),
    ("sweep__layers", ("layer1", "layer2")),
    ("sweep__layers", (1,)),
    ("sweep__parts__few", ConfigDict({"seed": (-1,)})),
    ("sweep__parts__few", ConfigDict({"solver": (["ddim"],)})),
    ("sweep__parts", ConfigDict({"few": {"step": (1,)}})),
    ("sweep__parts__few", ConfigDict({"steps": (1.5,)})),
    ("sweep__parts__few", ConfigDict({"steps": 1})),
    ("teacher_images", 0),
    ("synthetic_normals", 0),
    ("synthetic_defects", 0),
    ("model__groups", 0),
    ("data__size", 16),
    ("data__size", 0),
    ("data__held_out", 0.0),
    ("data__held_out", float("nan")),
    ("data__calibration", 0),
    ("data__flips", "d"),
    ("model__base", 12),
    ("model__heads", 3),
    ("model__heads", 0),
    ("model__patch", 3),
    ("model__patch", 0),
    ("model__dropout", 1.0),
    ("model__dtype", "float16"),
    ("model__res_blocks", 0),
    ("train__steps", 0),
    ("train__batch_size", 0),
    ("train__accumulate", 0),
    ("train__learning_rate", 0.0),
    ("train__learning_rate", float("nan")),
    ("train__max_minutes", -1.0),
    ("train__max_minutes", float("nan")),
    ("train__warmup_steps", -1),
    ("train__clip_norm", -1.0),
    ("train__reduce", "max"),
    ("train__t_max", 1001),
    ("train__t_max", 200),
    ("train__ema_decay", 1.0),
    ("train__min_snr", -5.0),
    ("train__checkpoint_every", 0),
    ("seed", -1),
    ("seed", 2**31),
    ("backbone__name", "resnet18"),
    ("backbone__feature_size", 16),
    ("backbone__dtype", "int8"),
    ("adapt__epochs", -1),
    ("adapt__batch_size", 0),
    ("adapt__learning_rate", -1e-4),
    ("adapt__lambda_dl", float("inf")),
    ("adapt__batch_norm", "batch"),
    ("adapt__choose", "best"),
    ("sample__batch_size", 0),
    ("sample__grid", "leading"),
    ("sample__reuse", 0),
    ("score__normalise", "test"),
    ("score__crop", 33),
    ("score__crop", -1),
    ("score__batch", 0),
    ("score__v", -1.0),
    ("score__sigma", float("nan")),
    ("score__layers", ()),
    ("score__layers", ("layer4",)),
    ("sweep__w", ("a",)),
    ("sweep__w", (True,)),
    ("sweep__v", (1.0, float("nan"))),
    ("sweep__sigma", (-4.0,)),
    ("sweep__t_prime", (100.5,)),
    ("sweep__t_prime", ("250",)),
    ("sweep__steps", (2.0,)),
    ("sweep__seed", ()),
    ("sweep__seed", (-1,)),
    ("sweep__seed", (2**32,)),
    ("output__examples", 0),
]


@pytest.mark.parametrize(("name", "value"), REFUSED, ids=str)
def test_a_value_that_cannot_be_used_is_refused_by_its_flag(tmp_path: Path, name: str, value: Any) -> None:
    # The check may name the setting that another one is at odds with, but always a flag.
    section = {"sample__grid": "adapt|sample"}.get(name, name.replace("__", r"\."))
    with pytest.raises(InputError, match=rf"--config\.({section}).*expected"):
        config(tmp_path, **{name: value})


def test_a_size_that_the_levels_do_not_halve_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--config\.data\.size=33: expected a multiple of 2"):
        config(tmp_path, data__size=33, model__channel_mult=(1, 2))


@pytest.mark.parametrize(
    ("name", "value"),
    [("w", -1.0), ("w", float("nan")), ("eta", 2.0), ("t_prime", 0), ("t_prime", 1000), ("steps", 0), ("steps", 251)],
)
def test_points_out_of_range_are_refused_before_anything_runs(tmp_path: Path, name: str, value: Any) -> None:
    with pytest.raises(InputError, match=rf"--config\.adapt\.{name}=.*expected"):
        config(tmp_path, **{f"adapt__{name}": value})
    with pytest.raises(InputError, match=rf"--config\.sample.*{name} ?=.*expected"):
        ddad_plan(config(tmp_path, **{f"sample__{name}": value}), sweep=False)
    with pytest.raises(InputError, match=rf"--config\.sweep.*{name} ?=.*expected"):
        ddad_plan(config(tmp_path, **{f"sweep__{name}": (value,)}), sweep=True)


@pytest.mark.parametrize("flag", ["score.standardise=True", "sweep.standardise=(False, True)"])
def test_one_picture_is_no_spread_to_standardise_with(tmp_path: Path, flag: str) -> None:
    name, value = flag.split("=")
    changes = {name.replace(".", "__"): value == "True" or (False, True)}
    with pytest.raises(InputError, match=rf"--config\.data\.calibration=1: expected .*--config\.{re.escape(flag)}"):
        config(tmp_path, data__calibration=1, **changes)
    config(tmp_path, data__calibration=2, **changes)
    config(tmp_path, data__calibration=1, sweep__standardise=(False,))


def test_parts_of_a_sweep_are_judged_each_by_itself(tmp_path: Path) -> None:
    """No part joins a late T' to a rise, or many steps to an optimised grid; only all of them together would."""
    parts = {
        "late": {"t_prime": (280,)}, "early": {"t_prime": (100,), "rise": (1.0,)},
        "many": {"steps": (200,)}, "found": {"grid": ("optimised",), "steps": (3,)},
    }  # fmt: skip
    c = config(tmp_path, sweep__parts=ConfigDict(parts), train__t_max=300)
    assert len(ddad_plan(c, sweep=True).costly) == 5


@pytest.mark.parametrize(
    ("changes", "given", "culprit", "other"),
    [
        ({"data__size": 34, "model__patch": 4}, "data.size", "data.size=34", "model.patch=4"),
        ({"model__patch": 5}, "model.patch", "model.patch=5", ""),
        ({"model__patch": 32, "model__channel_mult": (1, 2)}, "model.patch", "model.patch=32", "data.size=32"),
        ({"model__channel_mult": (0.3,)}, "model.channel_mult", "model.channel_mult=(0.3,)", "model.base=16"),
        ({"train__t_max": 300, "sample__rise": 1e9}, "sample.rise", "sample.rise=1000000000.0", "train.t_max=300"),
        ({"train__t_max": 300, "sample__t_prime": 700}, "sample.t_prime", "sample.t_prime=700", "train.t_max=300"),
        ({"score__crop": 30, "data__size": 16, "model__patch": 2, "backbone__feature_size": 32}, "data.size",
         "data.size=16", "score.crop=30"),
        ({"train__error": "output", "train__min_snr": 5.0}, "train.min_snr", "train.min_snr=5.0", "train.error=output"),
        ({"score__v": 0.0, "score__feature_weight": 0.0}, "score.feature_weight", "score.feature_weight=0.0",
         "score.v=0.0"),
    ],
    ids=str,
)  # fmt: skip
def test_of_two_settings_that_do_not_go_together_the_one_that_was_given_is_named(
    tmp_path: Path, changes: dict[str, Any], given: str, culprit: str, other: str
) -> None:
    c = config(tmp_path)
    c = changed(c, {name.replace("__", "."): value for name, value in changes.items()})
    with pytest.raises(InputError) as refused:
        check_settings(c, given=[given])
    assert str(refused.value).startswith(f"--config.{culprit}:"), refused.value
    assert other in str(refused.value)


@pytest.mark.parametrize(
    ("changes", "flags"),
    [
        ({"sample__steps": 300}, "--config.sample.steps=300 with --config.sample.t_prime=250: steps = 300"),
        ({"sweep__t_prime": (250, 3)}, "--config.sample.steps=5 with --config.sweep.t_prime=(250, 3): steps = 5"),
    ],
    ids=str,
)
def test_steps_that_do_not_fit_are_named_with_their_times(tmp_path: Path, changes: dict[str, Any], flags: str) -> None:
    changes = {"sample__t_prime": 250, "sample__steps": 5, "sweep__steps": (), **changes}
    with pytest.raises(InputError) as refused:
        ddad_plan(config(tmp_path, **changes), sweep=True)
    assert str(refused.value).startswith(flags), refused.value


def test_where_both_were_given_both_are_named(tmp_path: Path) -> None:
    c = config(tmp_path)
    c = changed(c, {"data.size": 34, "model.patch": 4})
    with pytest.raises(InputError, match=r"^--config\.model\.patch=4 with --config\.data\.size=34: expected"):
        check_settings(c, given=["data.size", "model.patch"])
