"""The promise of a threshold after a point was chosen: broken by pictures that do both, kept by a run's parts."""

import numpy as np
import pytest

from ddad_jax.engine.studies import chain as module
from ddad_jax.engine.studies.chain import Chain, chains
from ddad_jax.errors import InputError

LUCK = Chain(held_out=40, points=24, correlation=0.3, defects=20, normals=0, differ=0.0, level=0.1)


def of(rows: list, way: str) -> dict:
    return next(row for row in rows if row["way"] == way)


@pytest.fixture(scope="module")
def rows() -> list:
    return chains([LUCK], draws=150, seed=0)


def test_only_disjoint_pictures_keep_the_promise(rows: list) -> None:
    fixed, same, apart = (of(rows, way) for way in ("fixed", "same", "disjoint"))
    assert fixed["keeps"] and apart["keeps"] and not same["keeps"]
    assert same["rate"] > 1.25 * same["at_most"]
    for row in (fixed, apart):
        assert row["at_most"] <= 0.1 and abs(row["rate"] - row["at_most"]) < 3.29 * row["error"]


def test_it_says_how_many_chose_and_how_many_gave_the_threshold(rows: list) -> None:
    assert [(row["chose"], row["calibrate"]) for row in rows] == [(0, 40), (40, 40), (16, 24)]


def test_a_part_finds_what_differs_nearly_as_well() -> None:
    rows = chains([LUCK._replace(differ=0.5, correlation=0.7)], draws=60, seed=1)
    assert of(rows, "fixed")["auroc"] < of(rows, "disjoint")["auroc"] <= of(rows, "same")["auroc"] + 0.01
    assert all(row["auroc"] <= row["best"] for row in rows)


def test_too_few_pictures_do_both() -> None:
    rows = chains([LUCK._replace(held_out=3)], draws=2, seed=0)
    assert of(rows, "disjoint")["chose"] == of(rows, "disjoint")["calibrate"] == 3


def test_the_chain_chooses_and_calibrates_by_the_functions_of_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "split_held_out", lambda images, **how: (images, images))
    rows = chains([LUCK], draws=60, seed=0)
    np.testing.assert_allclose(of(rows, "disjoint")["rate"], of(rows, "same")["rate"])


@pytest.mark.parametrize(
    ("wrong", "said"),
    [({"correlation": 1.0}, "correlation = 1"), ({"points": 0}, "points = 0"), ({"tuning": 0.0}, "tun")],
)
def test_settings_out_of_range_are_refused(wrong: dict, said: str) -> None:
    with pytest.raises(InputError, match=said):
        chains([LUCK._replace(**wrong)], draws=2, seed=0)
    with pytest.raises(InputError, match="scores; expected at most"):
        chains([LUCK], draws=10**9, seed=0)
