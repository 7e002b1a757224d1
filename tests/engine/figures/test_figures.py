"""Figures are files of sane size with something on them, whatever they are given."""

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ddad_jax.engine import figures
from ddad_jax.engine.figures.curves import smoothed
from ddad_jax.engine.figures.grid import _over, coloured, scale_of
from ddad_jax.engine.figures.verdicts import Card
from ddad_jax.errors import InputError
from ddad_jax.metrics.at_threshold import Curves

pytestmark = pytest.mark.drawn


def example(seed: int, *, label: int, size: int = 64, **changes: Any) -> figures.Example:
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (size, size, 3), np.uint8)
    mask = np.zeros((size, size), bool)
    mask[: size // 4, size // 2 :] = label
    distance = (rng.random((size, size)) * 0.1 + mask).astype(np.float32)
    fields: dict[str, Any] = {
        "name": f"test/{seed:04d}.png",
        "defect": "dent" if label else "good",
        "label": label,
        "score": float(distance.max()),
        "image": image,
        "reconstruction": image[::-1],
        "pixel_distance": distance,
        "feature_distance": distance * 3,
        "anomaly_map": distance,
        "mask": mask,
    }
    return figures.Example(**{**fields, **changes})


def pixels(path: Path | None) -> np.ndarray:
    """A figure's pixels; it must be a PNG of sane size that is not of one colour."""
    assert path is not None
    with Image.open(path) as image:
        assert image.format == "PNG" and image.mode == "RGB"
        found = np.asarray(image)
    assert min(found.shape[:2]) > 100 and max(found.shape[:2]) < 6000
    assert len(np.unique(found.reshape(-1, 3), axis=0)) > 4
    return found


def grid_rows(**constant: Any) -> list[dict]:
    return [
        {"w": w, "t_prime": 250, "eta": eta, "layers": layers, "seed": seed, "image_auroc": 0.9 + 0.01 * w}
        | {"selected": w == 3 and eta == 1.0 and seed == 0 and len(layers) == 2}
        | constant
        for w, eta, layers, seed in itertools.product(
            (0, 3, 11), (0.0, 1.0), (["layer2", "layer3"], ["layer2"]), (0, 1)
        )
    ]


def test_example_grid(tmp_path: Path) -> None:
    rows = [
        example(0, label=0, threshold=0.5),
        example(1, label=1, threshold=2.0, name="a" * 200, defect="$x_2$ <b>"),
        example(2, label=1, mask=None),
        example(3, label=1, score=math.nan, anomaly_map=np.full((64, 64), np.nan, np.float32)),
    ]
    path = figures.grid_figure(rows, tmp_path / "new" / "examples.png")
    assert path is not None and path.stat().st_size < 600_000
    height, width = pixels(path).shape[:2]
    assert width > 64 * 8 and 0.3 < height / width < 1.0


def test_example_grid_keeps_to_its_size(tmp_path: Path) -> None:
    path = figures.grid_figure([example(0, label=1, size=100)], tmp_path / "a.png", max_bytes=80_000)
    large = figures.grid_figure([example(0, label=1, size=100)], tmp_path / "b.png")
    assert path is not None and large is not None
    assert path.stat().st_size <= 80_000 < large.stat().st_size
    assert pixels(path).shape[1] < pixels(large).shape[1]


def test_a_column_shares_its_scale_so_normals_look_dark() -> None:
    maps = [example(0, label=0).anomaly_map, example(1, label=1).anomaly_map]
    scale = scale_of(maps)
    assert scale[0] == 0 and 1 < scale[1] <= 1.1
    normal, defective = (coloured(m, scale) for m in maps)
    assert normal.mean() < 0.15 < 0.8 < defective[0, -1].max()


def test_scales_of_empty_and_flat_maps_are_usable() -> None:
    assert scale_of([np.zeros((4, 4))]) == (0.0, 1.0)
    assert scale_of([np.full((4, 4), np.nan)]) == (0.0, 1.0)
    low, high = scale_of([np.full((4, 4), -2.0)])
    assert low == -2.0 and high > low


def test_overlay_shows_the_picture_where_the_map_is_low_and_the_map_where_it_is_high() -> None:
    image = np.zeros((2, 2, 3), np.uint8)
    image[0] = 255
    level = np.array([[0.0, 1.0], [0.0, 1.0]])
    out = _over(image, coloured(level, (0, 1)), level)
    assert out[0, 0].mean() - out[1, 0].mean() > 0.4
    np.testing.assert_allclose(out[0, 1], out[1, 1])


@pytest.mark.parametrize(
    ("label", "score", "threshold", "said"),
    [
        (1, 1.1, 1.0, "found"),
        (1, 0.9, 1.0, "missed"),
        (0, 1.1, 1.0, "false alarm"),
        (0, 0.9, 1.0, "passed"),
        (0, 0.9, None, ""),
        (0, 0.9, math.nan, ""),
    ],
)
def test_verdict(label: int, score: float, threshold: float | None, said: str) -> None:
    assert figures.verdict(example(0, label=label, score=score, threshold=threshold)) == said


def test_a_map_of_another_size_is_refused(tmp_path: Path) -> None:
    wrong = example(0, label=1, anomaly_map=np.zeros((32, 32), np.float32))
    with pytest.raises(InputError, match=r"test/0000\.png: anomaly_map is \(32, 32\), expected \(64, 64\)"):
        figures.grid_figure([wrong], tmp_path / "a.png")


def test_metric_curves(tmp_path: Path) -> None:
    rows = grid_rows()
    rows[0]["image_auroc"] = math.nan
    rows[1]["image_auroc"] = None
    path = figures.metric_curves(rows, tmp_path / "a.png", metric="image_auroc")
    one = figures.metric_curves(rows, tmp_path / "b.png", metric="image_auroc", parameters=("w",))
    assert pixels(path).shape[1] > 2 * pixels(one).shape[1]


def test_metric_curves_of_words_and_many_values(tmp_path: Path) -> None:
    rows = [{"grid": g, "w": w / 7, "m": 0.5} for g in ("trailing", "a$b_c") for w in range(60)]
    pixels(figures.metric_curves(rows, tmp_path / "a.png", metric="m", parameters=("w", "grid")))


@pytest.mark.parametrize("rows", [[], grid_rows(image_auroc=math.nan), grid_rows()[:1]])
def test_metric_curves_with_nothing_to_show(rows: list, tmp_path: Path) -> None:
    assert figures.metric_curves(rows, tmp_path / "a.png", metric="image_auroc") is None
    assert not list(tmp_path.iterdir())


def test_training_curves(tmp_path: Path) -> None:
    history: list[dict] = [{"step": s, "loss": 1 / s, "images_per_s": 40.0} for s in range(1, 200)]
    history += [{"step": 199, "validation_loss": 0.1}, {"step": 200, "loss": math.nan}, {"step": 201, "loss": None}]
    pixels(figures.training_curves(history, tmp_path / "a.png"))
    assert figures.training_curves([{"step": 1}], tmp_path / "c.png") is None


def test_smoothing_ignores_a_spike_and_keeps_a_line() -> None:
    line = np.linspace(0, 1, 100)
    spiked = line.copy()
    spiked[50] = 1e6
    assert np.abs(smoothed(spiked) - line).max() < 0.05
    assert smoothed(np.array([3.0])).tolist() == [3.0]


def test_adaptation_curves(tmp_path: Path) -> None:
    history = [{"epoch": e, "contrast": 1.0 + e, "loss": None if e == 0 else 1 / e} for e in range(4)]
    plain = pixels(figures.adaptation_curves(history, tmp_path / "a.png"))
    chosen = [{**row, "chosen": row["epoch"] == 2} for row in history]
    assert (pixels(figures.adaptation_curves(chosen, tmp_path / "b.png")) != plain).any()
    assert figures.adaptation_curves([], tmp_path / "d.png") is None


def test_score_histogram(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    scores = np.append(rng.random(30), [math.nan])
    labels = np.arange(31) % 2
    defects = ["dent" if label else "good" for label in labels[:-1]] + ["pa$int"]
    path = tmp_path / "a.png"
    bare = pixels(figures.score_histogram(scores, labels, defects, path))
    full = figures.score_histogram(scores, labels, defects, path, held_out=rng.random(9), threshold=0.5)
    assert pixels(full).shape[0] > bare.shape[0]
    pixels(figures.score_histogram([1.0, 1.0], [0, 0], ["good", "good"], path, threshold=math.nan))
    assert figures.score_histogram([], [], [], tmp_path / "b.png") is None
    with pytest.raises(InputError, match="a score, a label and a defect"):
        figures.score_histogram([1.0], [0, 1], ["good"], path)


def test_roc_curve(tmp_path: Path) -> None:
    path = figures.roc_curve([0.1, 0.4, 0.4, 0.9], [0, 0, 1, 1], tmp_path / "a.png")
    pixels(path)
    again = figures.roc_curve([0.1, 0.4, 0.4, 0.9], [0, 0, 1, 1], tmp_path / "again.png")
    assert path is not None and again is not None and path.read_bytes() == again.read_bytes()
    assert figures.roc_curve([0.1, 0.4], [0, 0], tmp_path / "b.png") is None
    assert figures.roc_curve([0.1, math.nan], [0, 1], tmp_path / "b.png") is None


def test_no_pyplot_state() -> None:
    source = Path(figures.__file__).parent
    assert not [p.name for p in source.glob("figure*.py") if "matplotlib.pyplot" in p.read_text()]


def curves_of(n: int = 30) -> Curves:
    recall = np.linspace(0, 1, n)
    return Curves(recall, 1 - recall / 2, recall, 1 - recall, np.linspace(3, 0.1, n), recall * (1 - recall))


NO_CURVES = Curves(*[np.zeros(0)] * 6)


def test_precision_recall_and_iou(tmp_path: Path) -> None:
    found = curves_of()
    marked = figures.precision_recall(found, tmp_path / "a.png", at=(0.5, 0.7))
    unmarked = figures.precision_recall(found, tmp_path / "b.png")
    assert (pixels(marked) != pixels(unmarked)).any()
    pixels(figures.precision_recall(NO_CURVES._replace(image_recall=np.ones(1), image_precision=np.ones(1)),
                                    tmp_path / "c.png", at=(math.nan, 0.5)))  # fmt: skip
    pixels(figures.iou_curve(found, tmp_path / "d.png", thresholds={"max": 2.0, "quantile": 0.5, "sigma": 1.0}))
    assert figures.precision_recall(NO_CURVES, tmp_path / "none.png") is None
    assert figures.iou_curve(NO_CURVES, tmp_path / "none.png", thresholds={}) is None
    assert not (tmp_path / "none.png").exists()


def test_verdict_figure_keeps_the_proportions_of_each_picture(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    shapes = ((40, 120), (120, 40), (64, 64), (30, 31), (300, 200))
    cards = [
        Card(f"test/{i}_$x^y$.png", "crack", i % 2, 0.5 * i - 1, 1.0, rng.integers(0, 256, (*shape, 3), np.uint8))
        for i, shape in enumerate(shapes)
    ]
    five = pixels(figures.verdict_figure(cards, tmp_path / "five.png"))
    four = pixels(figures.verdict_figure(cards[:4], tmp_path / "four.png"))
    assert five.shape[0] == pytest.approx(2 * four.shape[0], abs=4) and five.shape[1] == four.shape[1]
    assert (tmp_path / "five.png").stat().st_size < 600_000
    assert figures.verdict_figure([], tmp_path / "none.png") is None
