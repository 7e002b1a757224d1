"""How a run divides its pictures: what may be looked at to choose a point, and when there are too few."""

from pathlib import Path

import numpy as np
import pytest
import tiny_runs

from ddad_jax.data.synthetic import painted_on
from ddad_jax.engine.data.splits import load_data, own_normal
from ddad_jax.errors import InputError


def test_a_point_is_chosen_on_held_out_pictures_filled_up_with_training_pictures(root: Path) -> None:
    how = {"select": "synthetic", "synthetic_normals": 7, "synthetic_defects": 14}
    data = load_data(tiny_runs.config(root, **how))
    assert data.choice is not None
    n, trained, defects = (len(s.labels) for s in (data.calibration, *data.choice))
    assert (n, trained, defects) == (4, 3, 14) and [len(s.labels) for s in data.sets] == [4, 3, 14, 5]
    assert set(data.choice.trained.names) <= set(data.fit.names)
    # Test pictures take no part.
    own = own_normal(data)
    assert own.tolist() == [0, 1, 2, 3, -1, -1, -1, *np.repeat([0, 1, 2, 3, -1, -1, -1], 2)]
    normal = np.concatenate([data.calibration.images, data.choice.trained.images])
    shown = normal[painted_on(data.choice.defects)]
    mask = data.choice.defects.masks[..., None]
    np.testing.assert_array_equal(np.where(mask, 0, data.choice.defects.images), np.where(mask, 0, shown))


def test_enough_held_out_pictures_need_no_training_picture(root: Path) -> None:
    data = load_data(tiny_runs.config(root, select="synthetic", synthetic_normals=3, synthetic_defects=4))
    assert data.choice is not None and not len(data.choice.trained.labels)
    assert len(data.choice.defects.labels) == len(data.calibration.labels) == 4


def test_nothing_is_painted_where_a_point_is_named(root: Path) -> None:
    assert load_data(tiny_runs.config(root)).choice is None


@pytest.mark.parametrize("flag", ["score__standardise", "sweep__standardise"])
def test_one_held_out_picture_has_no_spread_to_standardise_with(tmp_path: Path, flag: str) -> None:
    few = tiny_runs.folder(tmp_path, n_train=3)
    assert len(load_data(tiny_runs.config(few)).calibration.labels) == 1
    with pytest.raises(InputError, match="of 3 normal pictures one is held out.*standardise=False"):
        load_data(tiny_runs.config(few, **{flag: (True,) if flag.startswith("sweep") else True}))
