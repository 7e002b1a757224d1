"""Settings that can be used but hardly do what was meant are said, and the usual ones are not."""

from pathlib import Path
from typing import Any

import jax
import pytest
import tiny_runs

from ddad_jax.engine.methods.settings import settings_from
from ddad_jax.engine.setting_doubts import doubts
from experiments.configs import demo, folder, mtd, mvtec, visa


def of(**changes: Any) -> list[str]:
    return doubts(tiny_runs.config(Path("data"), **changes))


def test_the_default_attention_is_not_doubted_where_small_pictures_have_none() -> None:
    assert of(model__attention_sizes=(32, 16, 8), model__patch=8, data__size=32) == []
    assert of() == []


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"model__attention_sizes": (7,)}, "attention_sizes=(7,): no feature map has the side 7"),
        ({"model__attention_sizes": (32, 64)}, "no feature map has the side 64, so there is no attention for it"),
        ({"model__attention_sizes": (32,), "model__patch": 2}, "the sides are 16 (data.size = 32, model.patch = 2)"),
        ({"model__groups": 64}, "--config.model.groups=64: the narrowest level has 16 channels"),
        ({"train__accumulate": 100}, "--config.train.accumulate=100: more than --config.train.steps=6"),
        ({"train__warmup_steps": 6}, "--config.train.warmup_steps=6: the training ends after 6 steps"),
        ({"score__layers": ("layer2", "layer2")}, "--config.score.layers: ('layer2', 'layer2') names a layer twice"),
        ({"threshold__level": 0.2}, "--config.threshold.level=0.2: has no effect without --config.threshold.rule=conf"),
        ({"threshold__k": 2.0, "threshold__rule": "quantile"}, "--config.threshold.k=2.0: has no effect without"),
        ({"threshold__delta": 0.2, "threshold__rule": "conformal"}, "--config.threshold.rule=conformal_pac"),
        ({"threshold__pixel_p": 0.9}, "has no effect without --config.threshold.pixel_rule=quantile"),
        ({"score__batch": 4}, "--config.score.batch=4: has no effect without --config.score.normalise=batch"),
        ({"data__overlap": 4}, "--config.data.overlap=4: has no effect without --config.data.picture="),
        ({"view__name": "A"}, "--config.view.name='A': has no effect without --config.view.mask=FILE"),
        ({"view__reference": "a.png"}, "has no effect without --config.view.register=scored or all"),
        ({"teacher_images": 4}, "--config.teacher_images=4: has no effect without --config.teacher=STEPS"),
        ({"sweep__w": (1.0, 2.0, 1.0)}, "--config.sweep.w=(1.0, 2.0, 1.0): a value stands twice"),
    ],
    ids=str,
)
def test_a_setting_without_effect_is_named(changes: dict[str, Any], says: str) -> None:
    (sentence,) = of(**changes)
    assert says in sentence


OURS = [(demo, "lemon_soda"), *((folder, each) for each in ("ddad", "gaussian", "gpu", *folder.SWEPT)), (mtd, "cpu"),
        (mvtec, "screw"), (mvtec, "screw,s,reference"), (visa, "candle,reference")]  # fmt: skip


@pytest.mark.parametrize(("config", "argument"), OURS)
def test_no_config_file_of_ours_is_doubted(config: Any, argument: str) -> None:
    assert doubts(settings_from(config.get_config(argument).to_dict())) == []


def test_a_setting_that_is_used_is_not_called_idle() -> None:
    assert of(threshold__rule="sigma", threshold__k=2.0) == []
    assert of(threshold__pixel_rule="sigma", threshold__k=2.0) == []
    assert of(threshold__rule="conformal_pac", threshold__level=0.2, threshold__delta=0.1) == []
    assert of(score__normalise="batch", score__batch=4) == []
    assert of(data__picture=(64, 96), data__overlap=8) == []


def test_other_arithmetic_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with jax.enable_x64(True):
        (sentence,) = of()
    assert "JAX_ENABLE_X64 is set" in sentence
    with jax.default_matmul_precision("bfloat16"):
        assert "JAX_DEFAULT_MATMUL_PRECISION=bfloat16" in of()[0]
