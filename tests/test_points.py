import math
from typing import Any

import pytest

from ddad_jax.errors import InputError
from ddad_jax.points import ScorePoint, blend_at_end, blend_in_total, recon_grid, time_grid

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
        ({"rise": (-0.1,)}, "rise = -0.1"),
        ({"rise": (math.inf,)}, "rise = inf"),
        ({"rise": (0.5,), "grid": ("reference",)}, "rise = 0.5 with grid = reference"),
        ({"reuse": (0,)}, "reuse = 0: expected a whole number"),
        ({"reuse": (1, -2)}, "reuse = -2: expected a whole number"),
        ({"reuse": (2.5,)}, r"reuse = 2\.5: expected a whole number"),
        ({"reuse": (True,)}, "reuse = True: expected a whole number"),
        ({"reuse": ()}, r"reuse = \(\): expected a tuple of at least one"),
        ({"model": ("pupil",)}, "model = 'pupil'.*student, teacher"),
        ({"draws": (0,)}, "draws = 0: expected a whole number"),
        ({"start": ("clean",)}, "start = 'clean'.*inversion, noise"),
        ({"start": ("inversion",), "grid": ("optimised",)}, "start = inversion with grid = optimised"),
        ({"scoring": ("norm",)}, "scoring = 'norm'.*inversion, reconstruction, resilience"),
        ({"scoring": ("inversion",), "model": ("student",)}, "scoring = inversion with model = student"),
        ({"scoring": ("inversion",), "grid": ("optimised",)}, "scoring = inversion with grid = optimised"),
        ({"blend_low": (1000,)}, "blend_low = 1000: expected a time from 0 to 999"),
        ({"blend_low": (300,), "blend_high": (200,)}, "blend_low = 300 with blend_high = 200"),
        ({"last_blend": (-0.1,)}, "last_blend = -0.1"),
        ({"last_blend": (0.1,), "rise": (0.5,)}, "last_blend = 0.1 with grid = trailing and rise = 0.5"),
        ({"total_blend": (1.0,)}, "total_blend = 1"),
        ({"last_blend": (0.1,), "total_blend": (0.1,)}, "expected one of them"),
        ({"total_blend": (0.5,), "blend_low": (300,)}, "total_blend = 0.5: expected less, or a blend that acts"),
        ({"total_blend": (0.9,), "blend_max": (0.01,)}, "total_blend = 0.9: expected less"),
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


def test_calls_count_every_draw_and_the_inversion() -> None:
    (plain,) = recon_grid(**GOOD)
    assert plain._replace(draws=4).calls == 40 and plain._replace(draws=4, rise=0.5).calls == 41
    inverted = plain._replace(start="inversion", solver="heun")
    assert inverted.calls == 10 + 20 and inverted._replace(draws=2).calls == 60
    assert plain._replace(start="inversion", draws=2, reuse=5).whole_calls == 8


def test_from_an_inversion_only_eta_is_random() -> None:
    axes = {"start": ("inversion",), "start_noise": (0.5, 1.0), "eta": (0.0, 1.0), "seed": (5, 6), "draws": (1, 4)}
    points = recon_grid(**{**GOOD, **axes})
    assert {p.start_noise for p in points} == {0.0}
    assert [(p.seed, p.draws) for p in points if p.eta == 0] == [(5, 1)]
    assert {(p.seed, p.draws) for p in points if p.eta == 1} == {(5, 1), (5, 4), (6, 1), (6, 4)}


@pytest.mark.parametrize("grid", ["trailing", "log_snr", "quadratic"])
def test_w_may_be_such_that_the_last_blend_is_the_same_for_any_number_of_steps(grid: str) -> None:
    """As it is, the last blend grows as steps get fewer, so the axis of steps is one of strength, too."""
    held = recon_grid(**{**GOOD, "grid": (grid,), "steps": (1, 3, 10), "last_blend": (0.05,), "fade": (1.0, 0.5)})
    assert len(held) == 6
    for point in held:
        assert blend_at_end(point, time_grid(point)) == pytest.approx(0.05)
    loose = recon_grid(**{**GOOD, "grid": (grid,), "steps": (1, 3, 10)})
    ends = [blend_at_end(point, time_grid(point)) for point in loose]
    assert ends[0] > 3 * ends[1] > 3 * ends[2]
    (again,) = recon_grid(**{name: (value,) for name, value in held[0]._asdict().items()})
    assert again == held[0]


@pytest.mark.parametrize("more", [{}, {"blend_low": (100,)}, {"blend_max": (0.3,), "fade": (0.5,)}], ids=str)
def test_w_may_be_such_that_all_blends_together_are_the_same(more: dict[str, Any]) -> None:
    held = recon_grid(**{**GOOD, "steps": (2, 3, 10), "total_blend": (0.4,), **more})
    assert len({point.w for point in held}) == 3
    for point in held:
        assert blend_in_total(point, time_grid(point)) == pytest.approx(0.4)
    loose = recon_grid(**{**GOOD, "w": (0.5,), "steps": (1, 3, 10)})
    totals = [blend_in_total(point, time_grid(point)) for point in loose]
    assert totals[0] < totals[1] < totals[2]


def test_the_last_blend_knows_its_limit_and_its_interval() -> None:
    (point,) = recon_grid(**{**GOOD, "w": (100.0,), "blend_max": (0.8,)})
    assert blend_at_end(point, time_grid(point)) == 0.8
    assert blend_at_end(point._replace(blend_low=100), time_grid(point)) == 0.0


def test_where_nothing_is_random_one_seed_stands_for_all() -> None:
    points = recon_grid(**{**GOOD, "seed": (5, 6), "eta": (0.0, 1.0), "start_noise": (0.0, 1.0)})
    assert [(p.eta, p.start_noise, p.seed) for p in points] == [
        (0.0, 0.0, 5), (0.0, 1.0, 5), (0.0, 1.0, 6), (1.0, 0.0, 5), (1.0, 0.0, 6), (1.0, 1.0, 5), (1.0, 1.0, 6),
    ]  # fmt: skip


def test_features_are_reused_for_no_more_steps_than_there_are_and_by_no_student() -> None:
    points = recon_grid(**{**GOOD, "steps": (1, 3), "reuse": (1, 2, 5)})
    assert [(p.steps, p.reuse) for p in points] == [(1, 1), (3, 1), (3, 2), (3, 3)]
    both = recon_grid(**{**GOOD, "steps": (2,), "reuse": (2,), "model": ("teacher", "student")})
    assert [(p.model, p.reuse) for p in both] == [("teacher", 2), ("student", 1)]


def test_reuse_makes_calls_cheaper_and_not_fewer() -> None:
    points = recon_grid(**{**GOOD, "eta": (0.0,), "solver": ("ddim", "heun"), "reuse": (1, 3)})
    assert [(p.calls, p.whole_calls) for p in points] == [(10, 10), (10, 4), (20, 20), (20, 4)]


def test_without_a_reconstruction_what_it_alone_looks_at_makes_no_further_points() -> None:
    tried = {**GOOD, "w": (0.0, 3.0), "eta": (0.0, 1.0), "steps": (1, 3), "seed": (0, 1), "draws": (1, 2)}
    inverted = recon_grid(**tried, scoring=("inversion",), rise=(0.5,))
    assert [(p.steps, p.seed, p.draws, p.random, p.calls) for p in inverted] == [
        (1, 0, 1, False, 1),
        (3, 0, 1, False, 3),
    ]
    resilient = recon_grid(**tried, scoring=("resilience",))
    asked = [(p.seed, p.draws, p.random, p.calls) for p in resilient]
    assert asked == [(0, 1, True, 2), (0, 2, True, 4), (1, 1, True, 2), (1, 2, True, 4)]
    assert {(p.w, p.eta, p.rise, p.grid) for p in (*inverted, *resilient)} == {(0.0, 0.0, 0.0, "trailing")}


def test_scores_that_look_at_no_features_are_one_for_all_weights_and_layers() -> None:
    scores = [ScorePoint(v, layers, 2.0, True) for v in (0.0, 3.0) for layers in (("layer1",), ("layer2", "layer3"))]
    redrawn, inverted = recon_grid(**GOOD, scoring=("reconstruction", "inversion"))
    assert [redrawn.scored_by(score) for score in scores] == scores
    (one,) = {inverted.scored_by(score) for score in scores}
    assert (one.v, one.layers, one.feature_weight, one.sigma, one.standardise) == (1.0, (), 0.0, 2.0, True)
    assert inverted.scored_by(one) == one
