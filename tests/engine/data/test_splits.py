"""How a run divides its pictures: what may be looked at to choose a point, and when there are too few."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_runs

from ddad_jax.data.cans import cans
from ddad_jax.engine.data.splits import load_data, own_normal, split_data, tuning_share
from ddad_jax.engine.settings.section import changed
from ddad_jax.errors import InputError
from ddad_jax.synthetic.painted import painted_on


def test_a_point_is_chosen_on_held_out_pictures_filled_up_with_training_pictures(root: Path) -> None:
    how = {"select": "synthetic", "synthetic_normals": 7, "synthetic_defects": 14}
    data = load_data(tiny_runs.config(root, **how))
    assert data.choice is not None
    assert data.tuning is not None and data.scale is data.tuning
    n, trained, defects = (len(s.labels) for s in (data.tuning, *data.choice))
    assert (n, trained, defects) == (2, 5, 14) and [len(s.labels) for s in data.sets] == [2, 5, 14, 2, 5]
    assert set(data.choice.trained.names) <= set(data.fit.names)
    # Test pictures take no part.
    own = own_normal(data)
    assert own.tolist() == [0, 1, *[-1] * 5, *np.repeat([0, 1, *[-1] * 5], 2), -1, -1]
    normal = np.concatenate([data.tuning.images, data.choice.trained.images])
    shown = normal[painted_on(data.choice.defects)]
    mask = data.choice.defects.masks[..., None]
    np.testing.assert_array_equal(np.where(mask, 0, data.choice.defects.images), np.where(mask, 0, shown))


def test_enough_held_out_pictures_need_no_training_picture(root: Path) -> None:
    data = load_data(tiny_runs.config(root, select="synthetic", synthetic_normals=2, synthetic_defects=4))
    assert data.choice is not None and data.tuning is not None and not len(data.choice.trained.labels)
    assert len(data.choice.defects.labels) == 2 * len(data.tuning.labels) == 4


@pytest.mark.parametrize(
    "chooses",
    [
        {"select": "synthetic", "synthetic_normals": 1},
        {"adapt__epochs": 1},
        {"adapt__epochs": 1, "adapt__choose": "last"},
        {"sample__grid": "optimised"},
        {"sweep__grid": ("trailing", "optimised")},
        {"sweep__parts": {"grids": {"grid": ("optimised",)}}},
    ],
)
def test_what_chooses_gives_no_threshold(root: Path, chooses: dict[str, Any]) -> None:
    data = load_data(tiny_runs.config(root, **chooses))
    assert data.tuning is not None and len(data.tuning.names) == len(data.calibration.names) == 2
    looked_at = {name for part in (*data.choosing, data.validation) for name in part.names}
    assert not looked_at & {*data.calibration.names}
    assert {*data.tuning.names, *data.calibration.names} == {*data.held_out.names}
    every = [name for part in data.sets for name in part.names]
    assert tuple(every[data.calibrating]) == data.calibration.names


def test_the_share_that_chooses_is_what_whole_recordings_make_of_it(root: Path) -> None:
    c = tiny_runs.config(root, adapt__epochs=1, data__tuning=0.4)
    data = load_data(c)
    assert tuning_share(c, data) == 0.4  # 2 of 4, as many as that share gives
    more = data._replace(tuning=data.held_out)
    assert tuning_share(c, more) == pytest.approx(4 / 6) and tuning_share(c, data._replace(tuning=None)) == 0.0


@pytest.mark.parametrize("fixed", [{}, {"adapt__epochs": 1, "adapt__choose": "last", "adapt__patience": 0}])
def test_where_nothing_is_chosen_all_held_out_pictures_give_the_threshold(root: Path, fixed: dict[str, Any]) -> None:
    data = load_data(tiny_runs.config(root, **fixed))
    assert data.choice is None and data.tuning is None and data.scale is data.calibration
    assert data.calibrating == slice(0, 4) and len(data.validation.names) == 4


def test_too_few_held_out_pictures_do_both_and_it_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    few = tiny_runs.folder(tmp_path, n_train=6)
    data = load_data(tiny_runs.config(few, adapt__epochs=1))
    assert data.tuning is None and len(data.calibration.names) == 3
    assert "bound on false alarms does not hold" in data.notes[-1] and data.notes[-1] in caplog.text


@pytest.mark.parametrize("flag", ["score__standardise", "sweep__standardise"])
def test_one_held_out_picture_has_no_spread_to_standardise_with(tmp_path: Path, flag: str) -> None:
    few = tiny_runs.folder(tmp_path, n_train=3)
    assert len(load_data(tiny_runs.config(few)).calibration.labels) == 1
    with pytest.raises(InputError, match="of 3 normal pictures one is held out.*standardise=False"):
        load_data(tiny_runs.config(few, **{flag: (True,) if flag.startswith("sweep") else True}))


def test_the_recordings_of_what_gives_the_threshold_are_known_where_whole_ones_are_held_out(
    root: Path,
) -> None:
    normal = cans(32, n_train=40, n_test_good=2, n_defect=2)
    c = tiny_runs.config(root, data__held_out=0.4)
    data, single = (split_data(one, normal) for one in (c, changed(c, {"data.hold_out": "picture"})))
    known = dict(zip(normal.train.names, normal.recordings, strict=True))
    assert data.calibration_recordings == tuple(known[name] for name in data.calibration.names)
    assert 1 < len({*data.calibration_recordings}) < len(data.calibration.names)
    assert single.calibration_recordings == ()
    alike = split_data(c, normal._replace(recordings=("one",) * 40))
    assert alike.calibration_recordings == (), "of the only recording there is, its frames are all a bound can be of"


def test_a_balanced_set_is_split_as_any_other(root: Path) -> None:
    plain, balanced = (load_data(tiny_runs.config(root, data__balance=balance)) for balance in (False, True))
    assert [int((data.test.labels == label).sum()) for data in (plain, balanced) for label in (0, 1)] == [2, 3, 3, 3]
    assert balanced.n_fit + balanced.n_held_out == plain.n_fit + plain.n_held_out - 1
    assert any("1 of 9 normal training pictures were moved" in note for note in balanced.notes)
    assert not {*balanced.test.names} & {*balanced.fit.names, *balanced.held_out.names}
