"""Every config file loads and passes its check; a value that cannot be used is refused by its flag's name."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
from ml_collections import ConfigDict
from tiny_runs import config

from ddad_jax.errors import InputError
from experiments.config import base, check, reference
from experiments.configs import demo, folder, mtd, mvtec, visa
from experiments.configs.paper_settings import MVTEC, MVTEC_S, TRAIN_IMAGES, VISA, VISA_TRAIN_IMAGES
from experiments.plan import plan

CONFIGS = Path(__file__).parents[2] / "experiments" / "configs"
ARGUMENTS: dict[str, list[str]] = {
    "demo": ["", "winter_melon", "lemon_soda", "coffee"],
    "folder": ["", "cpu", "gpu"],
    "mtd": ["", "cpu", "gpu"],
    "fast_sampling": ["", "demo", "folder", "mtd"],
    "mvtec": ["", *(f"{c}{o}" for c in MVTEC for o in ("", ",s", ",reference", ",s,reference"))],
    "visa": ["", *(f"{c}{o}" for c in VISA for o in ("", ",reference"))],
}


def load(name: str, argument: str) -> ConfigDict:
    """As the flag does: the file by its path, what stands behind the colon as the argument."""
    spec = importlib.util.spec_from_file_location("config_config", CONFIGS / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    c = module.get_config(*([argument] if argument else []))
    if c.data.kind != "cans":
        c.data.root = "somewhere"  # what the user adds
    return c


@pytest.mark.parametrize("name", ARGUMENTS)
def test_every_config_file_passes_its_check(name: str) -> None:
    for argument in ARGUMENTS[name]:
        c = check(load(name, argument))
        assert c.is_locked, "a mistyped flag must not make a new setting"
        todo = plan(c, sweep=True)
        assert todo.selected is None if c.select else todo.selected[0] in todo.recon
        assert json.dumps(c.to_dict())


def test_no_config_file_is_forgotten_here() -> None:
    files = {p.stem for p in CONFIGS.glob("*.py") if "def get_config" in p.read_text()}
    assert files == set(ARGUMENTS)


@pytest.mark.parametrize(
    ("get_config", "argument", "named"),
    [
        (mvtec.get_config, "srew", "'srew'.*carpet.*zipper"),
        (mvtec.get_config, "screw,small", "small: expected s or reference"),
        (visa.get_config, "bottle", "'bottle'.*candle"),
        (folder.get_config, "tpu", "folder.py:tpu"),
        (mtd.get_config, "GPU", "mtd.py:GPU"),
    ],
)
def test_an_unknown_argument_is_refused(get_config: Any, argument: str, named: str) -> None:
    with pytest.raises(InputError, match=named):
        get_config(argument)


def test_the_tables_cover_the_same_categories() -> None:
    assert set(MVTEC) == set(MVTEC_S) == set(TRAIN_IMAGES) and len(MVTEC) == 15
    assert set(VISA) == set(VISA_TRAIN_IMAGES) and len(VISA) == 12


def test_mvtec_screw_reference_is_the_published_code() -> None:
    c = load("mvtec", "screw,reference")
    assert (c.sample.w, c.sample.t_prime, c.sample.steps, c.sample.eta, c.sample.grid) == (
        2.0,
        250,
        10,
        1.0,
        "reference",
    )
    assert not c.sample.clip
    assert (c.score.normalise, c.score.crop, c.score.v, c.score.sigma) == ("batch", 224, 1.0, 4.0)
    assert (c.model.base, c.model.heads, c.model.dropout) == (64, 4, 0.0)
    assert (c.train.reduce, c.train.weight_decay, c.train.batch_size) == ("sum", 0.05, 32)
    assert c.train.steps == 2000 * (320 // 32)
    assert not (c.train.ema_decay or c.train.clip_norm or c.train.warmup_steps or c.train.min_snr)
    assert (c.adapt.epochs, c.adapt.batch_norm, c.adapt.choose) == (4, "train", "last")
    assert c.backbone.name == "wide_resnet101_2" and c.backbone.feature_size == 0
    small = load("mvtec", "carpet,s,reference")
    assert (small.model.base, small.model.heads, small.model.dropout, small.train.batch_size) == (32, 2, 0.3, 16)


def test_reference_keeps_data_and_category() -> None:
    c = base()
    c.data.root, c.data.category = "somewhere", "screw"
    assert (reference(c).data.root, reference(c).data.category) == ("somewhere", "screw")


def test_the_checked_config_is_the_one_given(tmp_path: Path) -> None:
    c = config(tmp_path)
    assert check(c) is c


REFUSED = [
    ("data__kind", "film"),
    ("data__root", ""),
    ("sample__solver", "euler"),
    ("sweep__fade", ("1",)),
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
    with pytest.raises(InputError, match=r"--config\.adapt: .*expected"):
        config(tmp_path, **{f"adapt__{name}": value})
    with pytest.raises(InputError, match="expected"):
        plan(config(tmp_path, **{f"sample__{name}": value}), sweep=False)
    with pytest.raises(InputError, match="expected"):
        plan(config(tmp_path, **{f"sweep__{name}": (value,)}), sweep=True)


def test_the_selected_point_is_in_every_plan_and_counted_once(tmp_path: Path) -> None:
    c = config(tmp_path, sweep__w=(0.0, 5.0), sweep__v=(0.0, 1.0), sweep__steps=(1, 2), sweep__seed=(4, 5))
    full, alone = plan(c, sweep=True), plan(c, sweep=False)
    assert full.selected == alone.selected and alone.recon == [full.selected[0]]
    assert full.selected[0].w == 3.0 and full.selected[0].seed == 4
    assert len(full.recon) == len(set(full.recon)) == 2 * 2 * 2 + 1
    assert len(full.score) == len(set(full.score)) == 2
    assert [p.steps for p in full.recon] == sorted(p.steps for p in full.recon)


def test_the_demo_tries_a_hundred_points() -> None:
    todo = plan(check(demo.get_config()), sweep=True)
    assert len(todo.recon) * len(todo.score) >= 100
