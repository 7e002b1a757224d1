"""protocol.json of a run: measured once, of whole pictures, whatever the method and the view."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_runs
import trees

from ddad_jax.engine.data.splits import Data, load_data
from ddad_jax.engine.report import protocol_check as measuring
from ddad_jax.engine.report.protocol_check import FILE, protocol_check_of, protocol_verdict
from ddad_jax.protocol_check import ProtocolCheck


@pytest.fixture
def networks(monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_runs.small_predictor(monkeypatch.setattr)
    tiny_runs.small_backbone(monkeypatch.setattr)


def never(*asked: Any) -> Any:
    raise AssertionError("measured a second time")


@pytest.mark.usefixtures("networks")
def test_it_is_measured_once(root: Path, data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    c = tiny_runs.config(root)
    found = protocol_check_of(c, tmp_path, data)
    content = json.loads((tmp_path / FILE).read_text())
    assert (found.n_good, found.n_defective, found.n_train) == (2, 3, data.n_fit)
    assert 0 <= content["know_nothing"] <= 1 and content["near_recordings"] is None, "no recording is known"
    assert content["verdict"] == protocol_verdict(found)
    monkeypatch.setattr(measuring, "_measured", never)
    np.testing.assert_array_equal(protocol_check_of(c, tmp_path, load_data(c)), found)


@pytest.mark.usefixtures("networks")
def test_other_pictures_are_measured_anew(root: Path, data: Data, tmp_path: Path) -> None:
    c, few = tiny_runs.config(root), data._replace(test=data.test._replace(labels=np.array([0, 0, 0, 1, 1], np.int32)))
    assert protocol_check_of(c, tmp_path, data).n_good == 2
    assert protocol_check_of(c, tmp_path, few).n_good == 3


@pytest.mark.usefixtures("networks")
def test_memory_is_bounded_by_a_batch_and_the_most_that_are_remembered(
    root: Path, data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    c, batches = tiny_runs.config(root), []
    monkeypatch.setattr(measuring, "MOST", 3)
    monkeypatch.setattr(measuring, "BATCH", 2)
    of = measuring._vectors_of

    def watched(*how: Any) -> Any:
        vectors = of(*how)
        return lambda images: batches.append(images.shape) or vectors(images)

    monkeypatch.setattr(measuring, "_vectors_of", watched)
    assert protocol_check_of(c, tmp_path, data).n_train == 3
    assert batches == [(n, 32, 32, 3) for n in (2, 1, 2, 2, 1)], "3 training pictures, 5 test pictures"


@pytest.mark.usefixtures("networks")
def test_pictures_that_are_cut_into_tiles_are_compared_whole(root: Path, tmp_path: Path) -> None:
    c = tiny_runs.config(root, data__picture=(48, 64), data__overlap=8)
    data = load_data(c)
    assert data.whole.shape == (data.n_fit, 32, 32, 3) and len(data.fit.names) > data.n_fit
    assert protocol_check_of(c, tmp_path, data).n_train == data.n_fit


@pytest.mark.usefixtures("networks")
def test_the_papers_rule_on_mtd_is_seen_to_test_what_was_trained_on(tmp_path: Path) -> None:
    """``trees.mtd`` with the second exposure of a tile a brighter copy of the first."""
    root = trees.mtd(tmp_path / "mtd", n_free=80)
    for i in range(40):
        first = np.asarray(trees.pixels(i, 20, 28)[..., 0] // 2)
        for exposure, frame in ((1, 100 * i), (2, 100 * i + 20)):
            name = f"MT_Free/Imgs/exp{exposure}_num_{frame:04d}"
            trees.save(first + np.uint8(5 * exposure), root / f"{name}.jpg")
            trees.save(np.zeros(first.shape, np.uint8), root / f"{name}.png")
    found = {}
    for split in ("tile", "picture"):
        c = tiny_runs.config(root, data__kind="mtd", data__category="", data__split=split)
        data = load_data(c)
        assert len(data.recordings) == data.n_fit
        found[split] = protocol_check_of(c, tmp_path / split, data)
    assert found["picture"].leaking and found["picture"].saturated
    assert not found["tile"].leaking


@pytest.mark.parametrize(
    ("figures", "told"),
    [
        ((0.72, 0.68, 0.76, 0.05, 0.01), "leaves room"),
        ((0.9, 0.86, 0.94, 0.05, 0.01), "without looking for a defect"),
        ((0.985, 0.98, 0.99, 0.99, 0.9), "cannot tell detectors apart.*0.985 (0.980 to 0.990).*99 % of the good test"),
        ((0.985, 0.98, 0.99, np.nan, np.nan), "cannot tell detectors apart"),
        ((np.nan, np.nan, np.nan, np.nan, np.nan), "not known: it takes good and defective"),
    ],
)
def test_the_verdict_says_what_the_figures_mean(figures: tuple[float, ...], told: str) -> None:
    said = protocol_verdict(ProtocolCheck(*figures, near_pictures=0.5, n_train=100, n_good=50, n_defective=50))
    parts = told.split(".*")
    assert all(part in said for part in parts)
    assert ("trained on:" in said) == (figures[3] > 0.9)
