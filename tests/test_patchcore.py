from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree
from scipy.special import softmax

from ddad_jax.coreset import farthest, from_middle, from_starts, random_projection
from ddad_jax.embedding import patch_descriptors
from ddad_jax.errors import InputError
from ddad_jax.patch_map import patch_map
from ddad_jax.patchcore import evidence, fit_patchcore, image_scores, patch_scores, patchcore_detect

RNG = np.random.default_rng(0)
H, W, D = 4, 3, 6


def descriptors(b: int) -> np.ndarray:
    return RNG.standard_normal((b, H, W, D)).astype(np.float32)


def as_set(rows: Any) -> set[bytes]:
    return {row.tobytes() for row in np.asarray(rows)}


def test_the_bank_is_the_choice_among_all_rows() -> None:
    x = descriptors(5)
    rows = jnp.asarray(x.reshape(-1, D))
    expected = rows[farthest(rows, from_middle(rows), 9).rows]
    for cut in ([x], [x[:2], x[2:]], list(x)):
        np.testing.assert_array_equal(fit_patchcore(cut, 9), expected)


def test_the_order_of_pictures_does_not_change_the_bank() -> None:
    x = descriptors(6)
    assert as_set(fit_patchcore([x], 11)) == as_set(fit_patchcore([x[::-1]], 11))


def test_the_published_choice_is_an_argument_away() -> None:
    x = descriptors(4)
    rows, starts, matrix = jnp.asarray(x.reshape(-1, D)), jnp.arange(10), random_projection(jax.random.key(1), D, 3)
    small = rows @ matrix
    expected = rows[farthest(small, from_starts(small, starts), 7).rows]
    got = fit_patchcore([x], 7, anchor=partial(from_starts, starts=starts), projection=matrix)
    np.testing.assert_array_equal(got, expected)
    assert as_set(got) != as_set(fit_patchcore([x], 7))


def test_more_rows_than_memory_are_thinned_on_the_way() -> None:
    """Never more than ``most`` are chosen among at once, and what is kept still covers all."""
    x = np.concatenate([descriptors(20), 8.0 + descriptors(20)])
    seen = []

    def anchor(rows: Any) -> Any:
        seen.append(len(rows))
        return from_middle(rows)

    bank = np.asarray(fit_patchcore(np.split(x, 10), 16, anchor=anchor, most=100))
    assert max(seen) <= 100 and len(seen) > 3 and bank.shape == (16, D)
    rows = x.reshape(-1, D)
    assert as_set(bank) <= as_set(rows)
    whole = np.asarray(fit_patchcore([x], 16))
    cover, best = (cKDTree(kept).query(rows)[0].max() for kept in (bank, whole))
    assert cover < 1.6 * best
    one_batch = np.asarray(fit_patchcore([x], 16, anchor=anchor, most=100))
    assert one_batch.shape == (16, D) and max(seen) <= 100


def test_a_bank_asked_for_more_than_there_is_holds_all() -> None:
    x = descriptors(1)
    assert as_set(fit_patchcore([x], 500)) == as_set(x.reshape(-1, D))


def test_evidence_is_the_distance_to_the_nearest_rows() -> None:
    x, bank = descriptors(3), descriptors(2).reshape(-1, D)
    found = evidence(jnp.asarray(bank), jnp.asarray(x), k=4)
    expected, _ = cKDTree(bank).query(x.reshape(-1, D), k=4)
    np.testing.assert_allclose(found.distances, expected.reshape(3, H, W, 4), rtol=1e-5)
    np.testing.assert_array_equal(found.weight, 1.0)


def test_the_weight_is_equation_7() -> None:
    x, bank = descriptors(3), descriptors(2).reshape(-1, D)
    tree = cKDTree(bank)
    found = evidence(jnp.asarray(bank), jnp.asarray(x), support=5)
    for picture, distance, weight in zip(x, found.distances, found.weight, strict=True):
        worst = picture.reshape(-1, D)[np.asarray(distance).ravel().argmax()]
        around = tree.query(bank[tree.query(worst)[1]], k=5)[1]
        far = np.linalg.norm(worst - bank[around], axis=1)
        np.testing.assert_allclose(weight, 1 - softmax(far)[0], rtol=1e-5)
    scores = image_scores(patch_scores(found.distances), found.weight)
    np.testing.assert_allclose(scores, np.asarray(found.weight) * np.asarray(found.distances).max((1, 2, 3)), rtol=1e-6)
    # A bank smaller than the support is all of it; far distances do not overflow.
    few = evidence(jnp.asarray(bank[:3]), 1e3 * jnp.asarray(x), support=9)
    assert np.isfinite(few.weight).all() and (np.asarray(few.weight) > 0).all()


def test_published_scores_are_means_of_squares() -> None:
    d = jnp.asarray(np.sort(RNG.random((2, H, W, 3)), -1), jnp.float32)
    np.testing.assert_array_equal(patch_scores(d), d[..., 0])
    np.testing.assert_allclose(patch_scores(d, k=3), np.asarray(d).mean(-1), rtol=1e-6)
    np.testing.assert_allclose(patch_scores(d, k=2, squared=True), np.square(d)[..., :2].mean(-1), rtol=1e-6)


def test_training_pictures_are_nearer_than_any_other() -> None:
    train, test = descriptors(4), descriptors(4)
    bank = fit_patchcore([train], 4 * H * W)
    _, own = patchcore_detect(bank, jnp.asarray(train), size=(8, 6), sigma=0.0)
    _, other = patchcore_detect(bank, jnp.asarray(test), size=(8, 6), sigma=0.0)
    assert float(own.max()) == 0.0 < float(other.min())


@pytest.mark.parametrize("settings", [{}, {"k": 2, "support": 5, "squared": True, "repeat_edge": True}])
def test_batch_mates_order_and_budget_leave_a_score_as_it_is(settings: Any) -> None:
    bank, x = jnp.asarray(descriptors(2).reshape(-1, D)), jnp.asarray(descriptors(5))
    run = jax.jit(
        lambda x, budget: patchcore_detect(bank, x, size=(8, 6), sigma=1.0, budget=budget, **settings), static_argnums=1
    )
    maps, scores = run(x, 2**22)
    order = np.array([4, 2, 0, 1, 3])
    for got, expected in zip(run(x[order], 2**22), (maps, scores), strict=True):
        np.testing.assert_array_equal(got, np.asarray(expected)[order])
    for got, expected in zip(run(x, 20), (maps, scores), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-5)
    alone = evidence(bank, x[2:3]).distances
    np.testing.assert_array_equal(alone, evidence(bank, x).distances[2:3])


def test_the_map_is_bilinear_between_centres_and_blurred_with_either_border() -> None:
    scores = jnp.asarray(RNG.random((2, H, W)), jnp.float32)
    plain = np.asarray(patch_map(scores, (16, 12), sigma=0.0))
    np.testing.assert_allclose(plain, jax.image.resize(scores, (2, 16, 12), "linear"), atol=1e-6)
    for repeat_edge, mode in ((True, "reflect"), (False, "mirror")):
        got = patch_map(scores, (16, 12), sigma=4.0, repeat_edge=repeat_edge)
        expected = [gaussian_filter(one.astype(np.float64), 4.0, mode=mode, truncate=4) for one in plain]
        np.testing.assert_allclose(got, expected, atol=2e-6)


def test_it_can_be_exported_for_any_number_of_pictures() -> None:
    bank = jnp.asarray(descriptors(3).reshape(-1, D))

    def run(bank: Any, layer2: Any, layer3: Any) -> Any:
        made = patch_descriptors({"layer2": layer2, "layer3": layer3}, ("layer2", "layer3"))
        return patchcore_detect(bank, made, size=(16, 12), sigma=2.0, support=5)

    (b,) = export.symbolic_shape("b")
    shapes = [(H, W, 4), (H // 2, W // 2 + 1, 2)]
    abstract = [jax.ShapeDtypeStruct((b, *shape), jnp.float32) for shape in shapes]
    exported = export.export(jax.jit(run), platforms=["cpu", "cuda", "tpu"])(bank, *abstract)
    layers = [jnp.asarray(RNG.standard_normal((2, *shape)), jnp.float32) for shape in shapes]
    for got, expected in zip(exported.call(bank, *layers), jax.jit(run)(bank, *layers), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fit_patchcore([], 3), "no normal pictures"),
        (lambda: fit_patchcore([descriptors(1)], 0), r"bank of 0"),
        (lambda: fit_patchcore([descriptors(1)], 60, most=100), r"most = 100.*2 n = 120"),
        (lambda: fit_patchcore([np.full((1, 1, 1, 2), np.nan)], 1), "not finite"),
        (lambda: patch_scores(jnp.zeros((1, 2, 2, 1)), k=2), r"k = 2.*1 to 1"),
        (lambda: evidence(jnp.zeros((2, D)), jnp.zeros((1, H, W, D)), k=3), r"k = 3.*1 to 2"),
    ],
)
def test_refusals(call: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()
