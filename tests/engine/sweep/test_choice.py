"""The point kept with a model: read back as it was, by that model alone."""

import json
from pathlib import Path
from typing import Any

import pytest

from ddad_jax.engine.methods.ddad.method import DDAD
from ddad_jax.engine.methods.point import Point
from ddad_jax.engine.sweep.choice import ChosenPoint, load_chosen, save_chosen
from ddad_jax.errors import InputError
from ddad_jax.points import ReconPoint, ScorePoint

POINT = Point(
    ReconPoint(1.5, 250, 3, 0.0, "optimised", 4, "dpm2m", rise=0.5),
    ScorePoint(3.0, ("layer1", "layer2"), 1.0, True),
)
CHOSEN = ChosenPoint(POINT, {"weights": "ab", "crop": 0}, {"times": [250, 90, 20]}, 0.91)


def test_a_kept_point_comes_back_whole(tmp_path: Path) -> None:
    assert load_chosen(tmp_path, DDAD(), CHOSEN.made_with) is None
    save_chosen(tmp_path, CHOSEN)
    assert load_chosen(tmp_path, DDAD(), CHOSEN.made_with) == CHOSEN


@pytest.mark.parametrize("now", [{"weights": "cd", "crop": 0}, {"weights": "ab", "crop": 24}, {"weights": "ab"}])
def test_another_model_or_score_chooses_anew(tmp_path: Path, now: dict[str, Any]) -> None:
    save_chosen(tmp_path, CHOSEN)
    assert load_chosen(tmp_path, DDAD(), now) is None


def test_a_point_of_another_hand_is_refused_by_its_file(tmp_path: Path) -> None:
    save_chosen(tmp_path, CHOSEN)
    path = tmp_path / "chosen.json"
    said = json.loads(path.read_text())
    for changed in ("{", "[]", json.dumps({**said, "point": {**said["point"], "solver": "x"}}),
                    json.dumps({**said, "point": {**said["point"], "layers": "layer7"}})):  # fmt: skip
        path.write_text(changed)
        with pytest.raises(InputError, match=r"chosen\.json.*Delete it to choose again"):
            load_chosen(tmp_path, DDAD(), CHOSEN.made_with)
