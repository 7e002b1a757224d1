"""What a student is asked: pictures sound and damaged, themselves or others for target, all w and T' of its range."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_runs

from ddad_jax.data import to_float
from ddad_jax.engine.methods.ddad import lessons
from ddad_jax.engine.methods.ddad.lessons import lesson_number, questions, teacher_fn, with_synthetic_defects
from ddad_jax.engine.methods.ddad.networks import alpha_bar, build_unet
from ddad_jax.engine.methods.ddad.sections import ModelSettings, StudentSettings
from ddad_jax.sampler import reconstruct
from ddad_jax.solvers import DPM_SOLVER_2M
from ddad_jax.timesteps import trailing

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3), np.uint8)
HURT = np.random.default_rng(1).integers(0, 256, (5, 32, 32, 3), np.uint8)


def asking(**changes: Any) -> StudentSettings:
    small = {"batch_size": 16, "w": (1.0, 4.0), "t_prime": (150, 160)}
    return StudentSettings(**{**small, **changes})


def from_set(rows: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Whether each row is one of the images."""
    return np.array([any((row == image).all() for image in images) for row in rows])


def many(**changes: Any) -> list[lessons.Questions]:
    return [questions(asking(**changes), 0, IMAGES, HURT, number) for number in range(30)]


def test_a_batch_is_a_function_of_its_number() -> None:
    first, again, other = (questions(asking(), 0, IMAGES, HURT, number) for number in (3, 3, 4))
    jax.tree.map(np.testing.assert_array_equal, first, again)
    assert not np.array_equal(first.w, other.w) and not np.array_equal(first.x, other.x)


def test_w_and_start_come_from_the_whole_range_and_from_nowhere_else() -> None:
    asked = many()
    w, start = (np.concatenate([getattr(q, name) for q in asked]) for name in ("w", "t_prime"))
    assert w.dtype == np.float32 and 1.0 <= w.min() < 1.1 and 3.9 < w.max() <= 4.0
    assert set(start) == set(range(150, 161))


def test_defects_are_a_share_of_every_batch() -> None:
    """Deviation: the share is a setting; with none a student sees normal pictures alone, as DDAD does."""
    for share in (0.0, 0.5, 1.0):
        asked = many(damaged=share)
        hurt = np.concatenate([from_set(q.x, HURT) for q in asked])
        assert from_set(np.concatenate([q.x for q in asked])[~hurt], IMAGES).all()
        assert hurt.mean() == pytest.approx(share, abs=0.08)


def test_the_target_is_the_picture_itself_or_another_of_the_batch() -> None:
    for share in (0.0, 0.25, 1.0):
        asked = many(paired=share)
        itself = np.concatenate([(q.x == q.y).all((1, 2, 3)) for q in asked])
        # Of six pictures and five damaged ones the neighbour in the batch is sometimes the same one.
        assert 1 - share <= itself.mean() + 0.06 and itself.mean() <= 1 - share + 0.2 * share + 0.06
        assert all(from_set(q.y, q.x).all() for q in asked)


def test_the_pictures_that_are_drawn_from_stay_as_they_are() -> None:
    kept = IMAGES.copy(), HURT.copy()
    many()
    np.testing.assert_array_equal(IMAGES, kept[0])
    np.testing.assert_array_equal(HURT, kept[1])


def test_about_so_many_defects_are_painted() -> None:
    few, more = with_synthetic_defects(IMAGES, 3, 0), with_synthetic_defects(IMAGES, 13, 0)
    assert few.shape == (3, 32, 32, 3) and len(more) == 18
    assert not from_set(more, IMAGES).any()
    np.testing.assert_array_equal(more, with_synthetic_defects(IMAGES, 13, 0))


@pytest.mark.parametrize("reuse", [1, 3])
def test_each_of_the_teachers_answers_serves_equally_often_and_none_twice_in_a_row(reuse: int) -> None:
    numbers = [lesson_number(step, reuse) for step in range(4 * reuse**2)]
    assert [numbers.count(n) for n in range(4 * reuse)] == [reuse] * (4 * reuse)
    assert all(a != b for a, b in zip(numbers, numbers[1:], strict=False))
    assert all(len({*numbers[i : i + reuse]}) == reuse for i in range(0, len(numbers), reuse))


def test_the_teacher_answers_damaged_pictures_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lessons, "eps_fn", tiny_runs.eps_fn)
    s = asking(damaged=1.0, batch_size=4, teacher_steps=5, t_prime=(150, 150), teacher_grid="trailing")
    params, keys = tiny_runs.init_params(None, 0), jax.random.split(jax.random.key(0), 4)
    asked = questions(s, 0, IMAGES, HURT, 0)
    found = teacher_fn(build_unet(ModelSettings(), 32), s, params)(asked, keys)
    noise = jax.vmap(lambda key: jax.random.normal(key, (32, 32, 3)))(keys)
    x0 = reconstruct(
        tiny_runs.eps_fn(None, params), to_float(jnp.asarray(asked.x)), to_float(jnp.asarray(asked.y)),
        trailing(150, 5), w=asked.w, eta=0.0, alpha_bar=alpha_bar(), noise_fn=lambda i: noise, solver=DPM_SOLVER_2M,
    )  # fmt: skip
    np.testing.assert_allclose(found.x0, x0, atol=1e-4)
    assert np.asarray(found.grid.t).tolist() == [[150] * 4, [75] * 4]
