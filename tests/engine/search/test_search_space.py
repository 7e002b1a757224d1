"""What can be searched over: usual ranges that training allows, and ranges that are refused by their flag."""

from pathlib import Path

import pytest
import tiny_runs

from ddad_jax.engine.methods.ddad.search import AXES
from ddad_jax.engine.methods.ddad.sections import DDADSettings
from ddad_jax.engine.search.space import Axis, parse_axes, point_at, values_of
from ddad_jax.errors import InputError


@pytest.mark.parametrize(
    ("over", "says"),
    [
        (["steps"], r"--over=steps: steps cannot be searched; expected some of w, t_prime"),
        (["layers"], r"layers cannot be searched"),
        ([], r"--over=: expected one or more"),
        ([""], r"nothing cannot be searched"),
        (["w", "w:0:2"], r"w is named twice"),
        (["w:3:3"], r"range 3 to 3 is empty"),
        (["w:5:1"], r"is empty; expected LOW below HIGH"),
        (["w:a:b"], r"expected w:LOW:HIGH with two numbers"),
        (["t_prime:1.5:20"], r"two whole numbers"),
        (["w:0"], r"expected w:LOW:HIGH"),
        (["w:-1:2"], r"--over=w:-1:2: .*sample\.w=-1"),
        (["w:0:inf"], r"--over=w:0:inf"),
        (["t_prime:1:100"], r"--over=t_prime:1:100"),
        (["t_prime:10:1000"], r"--over=t_prime:10:1000"),
        (["eta:0:2"], r"--over=eta:0:2: .*sample\.eta=2"),
        (["v:-1:2"], r"--over=v:-1:2: --config.score.v"),
    ],
)
def test_ranges_that_cannot_be_searched_name_their_flag(config: DDADSettings, over: list[str], says: str) -> None:
    with pytest.raises(InputError, match=says):
        parse_axes(config, over)


def test_settings_that_make_no_difference_are_refused(root: Path) -> None:
    with pytest.raises(InputError, match=r"--over=eta: makes no difference with model = teacher, solver = dpm2m"):
        parse_axes(tiny_runs.config(root, sample__solver="dpm2m"), ["eta"])
    with pytest.raises(InputError, match=r"--config.sample.grid=reference takes T' divisible"):
        parse_axes(tiny_runs.config(root, sample__grid="reference"), ["t_prime"])


def test_usual_ranges_end_where_the_training_does(root: Path) -> None:
    c = tiny_runs.config(root, train__t_max=300)
    assert parse_axes(c, ["t_prime"]) == [Axis("t_prime", 50, 299, AXES["t_prime"])]
    every = {axis.name: axis for axis in parse_axes(c, list(AXES))}
    assert every.keys() == AXES.keys() and every["t_prime"].high * (1 + every["rise"].high) < 300
    with pytest.raises(InputError, match=r"at their largest values together: --config.train.t_max=300"):
        parse_axes(c, ["t_prime:50:200", "rise:0:0.9"])
    own = point_at(c, {"w": 1.25, "t_prime": 77, "sigma": 3.5})
    assert values_of(c, parse_axes(c, ["w", "t_prime", "sigma"]), own) == {"w": 1.25, "t_prime": 77, "sigma": 3.5}
    assert values_of(c, parse_axes(c, ["w"]), own) is None, "another T' is out of reach"
