"""Every config file loads and passes its check; reference() is the published code; what a config plans."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
from ml_collections import ConfigDict
from tiny_runs import config

from ddad_jax.engine.methods.ddad.points import ddad_plan
from ddad_jax.engine.methods.table import method_of
from ddad_jax.errors import InputError
from experiments.config import base, engine_settings, reference
from experiments.configs import demo, folder, mtd, mvtec, visa
from experiments.configs.paper_settings import MVTEC, MVTEC_S, TRAIN_IMAGES, VISA, VISA_TRAIN_IMAGES
from experiments.papers.settings import Named, category_config

CONFIGS = Path(__file__).parents[2] / "experiments" / "configs"
ARGUMENTS: dict[str, list[str]] = {
    "demo": ["", "winter_melon", "lemon_soda", "coffee"],
    "folder": ["", *folder.SWEPT, *folder.PIXELS, "anoddpm,reference"],
    "scores": ["", "folder", "gaussian", "mtd"],
    "mtd": ["", "cpu", "gpu"],
    "station": ["", "winter_melon", "lemon_soda", "coffee"],
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
        c = engine_settings(config := load(name, argument))
        assert config.is_locked, "a mistyped flag must not make a new setting"
        todo = method_of(c).plan(c, sweep=True)
        assert todo.selected is None if c.select else todo.selected[0] in todo.costly
        assert json.dumps(c.to_dict())


def test_mtd_is_parted_by_tile_but_in_the_papers_table() -> None:
    assert (mtd.get_config().data.split, base("padim").data.split) == ("tile", "tile")
    for size in ("cpu", "gpu"):
        data = category_config(Named("mtd", "mtd"), size).data
        assert (data.split, data.hold_out) == ("picture", "picture")


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


def test_configs_for_gpus_compute_in_bfloat16_and_the_published_ones_never() -> None:
    sixteen = [("mvtec", ""), ("mvtec", "screw,s"), ("visa", "pcb1"), ("mtd", "gpu"), ("folder", "gpu")]
    exact = [("mvtec", "screw,reference"), ("visa", "pcb1,reference"), ("mtd", ""), ("folder", "ddad"), ("demo", "")]
    for names, dtype in ((sixteen, "bfloat16"), (exact, "float32")):
        for c in (load(*name) for name in names):
            assert c.model.dtype == c.backbone.dtype == dtype


def test_reference_keeps_data_and_category() -> None:
    c = base()
    c.data.root, c.data.category = "somewhere", "screw"
    assert (reference(c).data.root, reference(c).data.category) == ("somewhere", "screw")


def test_the_selected_point_is_in_every_plan_and_counted_once(tmp_path: Path) -> None:
    c = config(tmp_path, sweep__w=(0.0, 5.0), sweep__v=(0.0, 1.0), sweep__steps=(1, 2), sweep__seed=(4, 5))
    full, alone = ddad_plan(c, sweep=True), ddad_plan(c, sweep=False)
    assert full.selected == alone.selected and alone.costly == [full.selected[0]]
    assert full.selected[0].w == 3.0 and full.selected[0].seed == 4
    assert len(full.costly) == len(set(full.costly)) == 2 * 2 * 2 + 1
    assert len(full.cheap) == len(set(full.cheap)) == 2
    assert [p.steps for p in full.costly] == sorted(p.steps for p in full.costly)


def test_the_demo_tries_a_hundred_points() -> None:
    todo = ddad_plan(engine_settings(demo.get_config()), sweep=True)
    assert len(todo.costly) * len(todo.cheap) >= 100
