import math
from typing import Any

import pytest

from ddad_jax.errors import InputError
from ddad_jax.points import recon_grid

GOOD: dict[str, Any] = {
    "w": (3.0,),
    "t_prime": (250,),
    "steps": (10,),
    "eta": (1.0,),
    "grid": ("trailing",),
    "seed": (0,),
}


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"w": (0.0, -1.0)}, r"w = -1"),
        ({"w": (math.nan,)}, "w = nan"),
        ({"w": (math.inf,)}, "w = inf"),
        ({"eta": (1.01,)}, "eta = 1.01"),
        ({"eta": (-0.1,)}, "eta = -0.1"),
        ({"eta": (math.nan,)}, "eta = nan"),
        ({"t_prime": (0,)}, "T' = 0"),
        ({"t_prime": (1000,)}, "T' = 1000"),
        ({"t_prime": (-5,)}, "T' = -5"),
        ({"steps": (0,)}, "steps = 0"),
        ({"steps": (251,)}, "steps = 251"),
        ({"t_prime": (250, 5)}, "steps = 10"),
        ({"grid": ("reference",), "steps": (7,)}, "divisible"),
        ({"grid": ("leading",)}, "leading.*expected one of"),
        ({"grid": "trailing"}, "grid = 'trailing': expected a tuple"),
        ({"solver": ("euler",)}, "solver = 'euler'.*ddim"),
        ({"start_noise": (-0.5,)}, "start_noise = -0.5"),
        ({"fade": (math.nan,)}, "fade = nan"),
        ({"blend_max": (-1.0,)}, "blend_max = -1"),
        ({"model": ("pupil",)}, "model = 'pupil'.*student, teacher"),
        ({"w": ()}, r"w = \(\): expected a tuple of at least one"),
        ({"seed": ()}, r"seed = \(\): expected a tuple of at least one"),
    ],
    ids=str,
)
def test_values_out_of_range_are_refused_by_name(changed: dict[str, Any], named: str) -> None:
    with pytest.raises(InputError, match=named):
        recon_grid(**{**GOOD, **changed})


def test_a_solver_without_noise_is_not_repeated_for_every_eta() -> None:
    points = recon_grid(**{**GOOD, "eta": (0.0, 0.5, 1.0), "solver": ("ddim", "unipc2")})
    assert [(p.solver, p.eta) for p in points] == [("ddim", 0.0), ("ddim", 0.5), ("ddim", 1.0), ("unipc2", 0.0)]


def test_a_student_has_no_noise_of_its_own() -> None:
    points = recon_grid(**{**GOOD, "eta": (0.0, 1.0), "model": ("teacher", "student")})
    assert [(p.model, p.eta) for p in points] == [("teacher", 0.0), ("teacher", 1.0), ("student", 0.0)]


def test_the_calls_of_a_point_are_those_of_its_solver() -> None:
    ddim, heun = recon_grid(**{**GOOD, "eta": (0.0,), "solver": ("ddim", "heun")})
    assert (ddim.calls, heun.calls) == (10, 20)
