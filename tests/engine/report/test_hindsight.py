"""What labels say of a choice that was made without them: rank, regret, and whether synthetic defects rank alike."""

from typing import Any

import pytest

from ddad_jax.engine.report.hindsight import hindsight


def row(w: float, real: float | None, synthetic: float | None = None, seed: int = 0, **more: Any) -> dict[str, Any]:
    said = {} if synthetic is None else {"synthetic_image_auroc": synthetic}
    return {"w": w, "seed": seed, "image_auroc": real, **said, **more}


def test_rank_regret_and_correlation_are_of_points_not_of_seeds() -> None:
    rows = [
        row(0.0, 0.9, 0.7), row(0.0, 0.7, 0.7, seed=1),
        row(1.0, 0.7, 0.9, selected=True), row(1.0, 0.7, 0.9, seed=1, selected=True),
        row(2.0, 0.5, 0.5), row(2.0, 0.5, 0.5, seed=1),
        row(3.0, 0.7, 0.8), row(3.0, 0.7, 0.8, seed=1),
    ]  # fmt: skip
    back = hindsight(rows)
    assert back and (back.points, back.rank, back.ties) == (4, 2, 1) and back.regret == pytest.approx(0.1)
    # Ranks 4, 2.5, 1, 2.5 against 2, 4, 1, 3.
    assert back.correlation == pytest.approx(0.316, abs=1e-3)
    assert back.sentence().startswith("rank 2 of 4 points by image AUROC on test pictures, level with 1 others, 0.100")
    assert back.sentence().endswith("at 0.32 over the points (Spearman)")


def test_what_is_not_known_is_not_said() -> None:
    rows = [row(0.0, 0.6), row(1.0, 0.8, selected=True)]
    back = hindsight(rows)
    assert back and (back.rank, back.ties, back.regret) == (1, 0, 0.0) and "Spearman" not in back.sentence()
    alike = hindsight([row(0.0, 1.0, 0.5), row(1.0, 1.0, 0.6, selected=True)])
    assert alike and alike.ties == 1 and "Spearman" not in alike.sentence()
    for none in ([], rows[1:], rows[:1], [row(0.0, 0.6), row(1.0, None, selected=True)]):
        assert hindsight(none) is None
