"""An ensemble's map is the mean of its members' own, in deviations of held-out normal pixels, at their own settings."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_runs

from ddad_jax.engine.data.splits import Data, load_data
from ddad_jax.engine.methods.ensemble.fitted import FittedEnsemble, Unit
from ddad_jax.engine.methods.ensemble.sections import MEMBERS, EnsembleMap, Members, member_settings
from ddad_jax.engine.methods.measured import MeasuredPictures
from ddad_jax.engine.methods.table import METHODS
from ddad_jax.engine.pipeline import run_all
from ddad_jax.engine.sweep.rows import measured_pictures
from ddad_jax.errors import InputError


@pytest.fixture(scope="module", autouse=True)
def small() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        tiny_runs.small_backbone(patch.setattr)
        yield


def ready(c: Any, workdir: Path, data: Data, *members: str) -> FittedEnsemble:
    fitted: FittedEnsemble = METHODS["ensemble"].restored(c, workdir)  # type: ignore[assignment]
    return fitted.ready([Members(members)], data)


def maps_of(fitted: FittedEnsemble, pictures: MeasuredPictures, *members: str) -> np.ndarray:
    (measured,) = fitted.measure(pictures, [Members(members)])
    (mapped,) = fitted.maps(measured.evidence, [EnsembleMap()], pictures)
    return mapped.maps


def test_the_map_is_the_weighted_mean_of_the_members_in_deviations_of_normal_pixels(root: Path, tmp_path: Path) -> None:
    c = tiny_runs.config(root, "ensemble", weight__padim=3.0)
    data = load_data(c)
    pictures, parts = measured_pictures(data), []
    for name in ("patchcore", "padim"):
        alone = MEMBERS[name].restored(member_settings(c, name), tmp_path)
        point = MEMBERS[name].point(alone.c)
        alone = alone.ready([point.costly], data)
        (measured,) = alone.measure(pictures, [point.costly])
        (mapped,) = alone.maps(measured.evidence, [point.cheap], pictures)
        normal = mapped.maps[: pictures.n_normal]
        parts.append((mapped.maps - normal.mean()) / normal.std())
    fitted = ready(c, tmp_path, data, "patchcore", "padim")
    expected = parts[0] / 4 + parts[1] * 3 / 4
    np.testing.assert_allclose(maps_of(fitted, pictures, "patchcore", "padim"), expected, atol=1e-3)
    np.testing.assert_allclose(maps_of(fitted, pictures, "padim"), parts[1], atol=1e-3)


def test_maps_that_say_nothing_have_a_unit(root: Path) -> None:
    assert np.isfinite(Unit.of(np.zeros((3, 4, 4), np.float32))(np.ones((1, 4, 4), np.float32))).all()


@pytest.mark.parametrize("change", [{"feature_ddad__t_prime": 300}, {"weight__patchcore": 0.1}])
def test_another_setting_of_a_member_is_another_row(change: dict[str, Any], root: Path, tmp_path: Path) -> None:
    first, again, other = (
        run_all(tiny_runs.config(root, "ensemble", **how), tmp_path / "w", sweep=False)[0] for how in ({}, {}, change)
    )
    assert first == again and first["members_at"] != other["members_at"]
    assert first["image_ap"] != other["image_ap"] or first["pixel_auroc"] != other["pixel_auroc"]


@pytest.mark.parametrize("members", [(), ("ouija",), ("padim", "padim")])
def test_members_that_are_none_are_refused(members: Any, root: Path) -> None:
    expected = r"--config\.ensemble\.members=.*one or several of feature_ddad, feature_ddad_coarse, feature_ddad_p"
    with pytest.raises(InputError, match=expected):
        tiny_runs.config(root, "ensemble", ensemble__members=members)


def test_one_method_is_there_with_several_settings_each_named_by_its_own_flag(root: Path, tmp_path: Path) -> None:
    c = tiny_runs.config(root, "ensemble", feature_ddad_coarse__pool=2)
    data = load_data(c)
    fitted = ready(c, tmp_path, data, "feature_ddad", "feature_ddad_coarse")
    (measured,) = fitted.measure(measured_pictures(data), [Members(("feature_ddad", "feature_ddad_coarse"))])
    assert [measured.evidence[name].shape[1:] for name in measured.evidence] == [(4, 4), (2, 2)]
    assert fitted.asks(Members(("feature_ddad", "feature_ddad_coarse")))["memory"].count("+") == 1
    with pytest.raises(InputError, match=r"--config\.feature_ddad_coarse\.steps=501: expected other steps, T' or grid"):
        tiny_runs.config(root, "ensemble", feature_ddad_coarse__steps=501)
    patches = {"ensemble__members": ("feature_ddad_patches",), "feature_ddad_patches__rank": 3}
    (told,) = METHODS["ensemble"].doubts(tiny_runs.config(root, "ensemble", **patches))
    assert told.startswith("--config.feature_ddad_patches.rank=3: has no effect without prior = picture")


def test_members_from_before_there_were_weights_are_named_as_they_were(root: Path, tmp_path: Path) -> None:
    """Lest a workdir that an older version wrote be of something else."""
    fitted = METHODS["ensemble"].restored(tiny_runs.config(root, "ensemble"), tmp_path)
    assert isinstance(fitted, FittedEnsemble)
    named = fitted._settings_of(("feature_ddad", "patchcore"))
    assert not {"weight", "pool", "bank"} & {*named["feature_ddad"], *named["patchcore"]}
    assert fitted._settings_of(["feature_ddad_coarse"])["feature_ddad_coarse"]["weight"] == 0.25
