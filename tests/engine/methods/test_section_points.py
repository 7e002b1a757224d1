"""The points of methods with a memory: a product, one seed where nothing is drawn, and no setting that cannot be."""

import itertools
from pathlib import Path
from typing import Any

import pytest
import tiny_runs

from ddad_jax.engine.methods.table import METHODS
from ddad_jax.engine.setting_doubts import doubts
from ddad_jax.errors import InputError
from experiments.config import base, reference
from experiments.configs import folder

NAMES = ("patchcore", "padim", "feature_ddad")


@pytest.mark.parametrize("name", NAMES)
def test_the_point_is_that_of_the_config_and_its_blur_belongs_to_256_pixels(name: str, tmp_path: Path) -> None:
    method, c = METHODS[name], tiny_runs.config(tmp_path, name, score__sigma=8.0)
    point = method.point(c)
    assert point.cheap.sigma == 1.0 and point.costly.share == getattr(c, name).share
    assert method.plan(c, sweep=False) == ([point.costly], [point.cheap], point)


def test_a_sweep_is_every_value_with_every_other_and_the_point(tmp_path: Path) -> None:
    swept: dict[str, Any] = {"sweep__share": (0.1, 0.5), "sweep__patch": (1, 3), "sweep__neighbours": (1, 9)}
    plan = METHODS["patchcore"].plan(tiny_runs.config(tmp_path, "patchcore", **swept), sweep=True)
    assert {(p.share, p.patch) for p in plan.costly} == {*itertools.product((0.1, 0.5), (1, 3)), (0.2, 3)}
    assert [p.neighbours for p in plan.cheap] == [1, 9]
    assert plan.selected and plan.selected.costly in plan.costly and plan.selected.cheap in plan.cheap


@pytest.mark.parametrize(
    ("name", "drawn"),
    [("patchcore", {}), ("patchcore", {"start": "starts"}), ("patchcore", {"projection": 8}), ("padim", {}),
     ("padim", {"channels": 3}), ("feature_ddad", {}), ("feature_ddad", {"eta": 1.0})],
)  # fmt: skip
def test_seeds_are_tried_where_something_is_drawn(name: str, drawn: dict[str, Any], tmp_path: Path) -> None:
    own = {f"{name}__{setting}": value for setting, value in drawn.items()}
    plan = METHODS[name].plan(tiny_runs.config(tmp_path, name, sweep__seed=(3, 4), **own), sweep=True)
    assert [point.seed for point in plan.costly] == ([3, 4] if drawn else [3])
    assert METHODS[name].random(plan.costly[0]) == bool(drawn)


@pytest.mark.parametrize(
    ("name", "changes", "told"),
    [
        ("patchcore", {"patchcore__patch": 4}, r"patchcore\.patch=4: expected an odd side"),
        ("padim", {"sweep__patch": (3, 2)}, r"sweep\.patch=\(3, 2\): expected an odd side"),
        ("padim", {"padim__layers": ("layer5",)}, r"padim\.layers=\('layer5',\): expected some of layer1"),
        ("patchcore", {"sweep__layers": (("layer5",),)}, r"sweep\.layers=.*: expected some of layer1"),
        ("patchcore", {"patchcore__share": 0.0}, r"patchcore\.share=0\.0: expected a share above 0"),
        ("patchcore", {"score__neighbours": 10}, r"score\.neighbours=10: expected a whole number, from 1 to 9"),
        ("padim", {"sweep__mask_after": (True,)}, r"sweep\.mask_after=\(True,\): expected .*--config\.view\.mask=FILE"),
    ],
)
def test_settings_that_cannot_be_are_named(name: str, changes: dict[str, Any], told: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"--config\.{told}"):
        tiny_runs.config(tmp_path, name, **changes)


def test_gaussians_of_tiles_are_doubted_and_a_bank_of_them_is_not(tmp_path: Path) -> None:
    tiles: dict[str, Any] = {"data__picture": (64, 64), "data__overlap": 8}
    said = {name: " ".join(doubts(tiny_runs.config(tmp_path, name, **tiles))) for name in NAMES}
    assert "same place of all tiles" in said["padim"] and "same place" not in said["patchcore"]


@pytest.mark.parametrize("name", ["patchcore", "padim"])
def test_the_published_choices_are_a_word_away_and_never_mixed_in(name: str) -> None:
    ours, published = base(name), reference(base(name))
    assert not (ours.score.repeat_edge or ours.score.get("squared")) and published.score.repeat_edge
    assert published.score.sigma * published.data.size / 256 == pytest.approx(4.0)
    asked = folder.get_config(f"{name},reference")
    with pytest.raises(InputError, match="folder.py:patchcore,reference"):
        folder.get_config("feature_ddad,reference")  # whose code nobody published
    assert {part: asked[part] for part in (name, "score", "backbone")} == {
        part: published[part] for part in (name, "score", "backbone")
    }
    own = {
        "patchcore": {"width": 1024, "share": 0.1, "start": "starts", "projection": 128},
        "padim": {"layers": ("layer1", "layer2", "layer3"), "embedding": "positions", "regularisation": 0.01},
    }[name]
    assert own.items() <= published[name].to_dict().items()
    for setting, value in own.items():
        assert ours[name][setting] != value
