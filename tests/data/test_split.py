"""Held-out pictures: disjoint, complete, repeatable; and the fingerprint that tells two sets apart."""

from typing import Any

import numpy as np
import pytest

from ddad_jax.data import DataSet, ImageSet
from ddad_jax.data.split import balanced, hold_out, images_fingerprint, split_held_out, subset
from ddad_jax.errors import InputError


def numbered(n: int) -> ImageSet:
    images = np.arange(n, dtype=np.uint8)[:, None, None, None] * np.ones((1, 4, 4, 3), np.uint8)
    return ImageSet(
        images=images,
        labels=np.zeros(n, np.int32),
        masks=np.zeros((n, 4, 4), bool),
        has_mask=np.ones(n, bool),
        defects=("good",) * n,
        names=tuple(f"{i:03d}" for i in range(n)),
    )


@pytest.mark.parametrize(
    ("n", "held"), [(2, 1), (3, 1), (5, 2), (8, 4), (9, 4), (28, 4), (31, 5), (100, 15), (200, 30)]
)
def test_parts_are_disjoint_complete_and_of_the_stated_size(n: int, held: int) -> None:
    fit, held_out = hold_out(numbered(n))
    assert len(held_out.names) == held
    assert not set(fit.names) & set(held_out.names)
    assert sorted(fit.names + held_out.names) == list(numbered(n).names)
    for part in (fit, held_out):
        assert list(part.names) == sorted(part.names)
        assert part.images[:, 0, 0, 0].tolist() == [int(name) for name in part.names]


def test_seed_decides() -> None:
    parts = [hold_out(numbered(40), seed=s)[1].names for s in (3, 3, 4)]
    assert parts[0] == parts[1] != parts[2]


def test_fraction_and_minimum() -> None:
    assert len(hold_out(numbered(100), fraction=0.5)[1].names) == 50
    assert len(hold_out(numbered(100), fraction=0.01, minimum=7)[1].names) == 7
    for fraction in (0.0, 1.0, float("nan")):
        with pytest.raises(InputError, match="fraction"):
            hold_out(numbered(10), fraction=fraction)
    with pytest.raises(InputError, match="minimum 0"):
        hold_out(numbered(10), minimum=0)


@pytest.mark.parametrize("n", [0, 1])
def test_fewer_than_two_pictures_cannot_be_parted(n: int) -> None:
    with pytest.raises(InputError, match=f"{n} training image.*at least 2"):
        hold_out(numbered(n))


def test_subset_keeps_the_order_asked_for() -> None:
    got = subset(numbered(6), [4, 1, 1])
    assert got.names == ("004", "001", "001")
    assert got.images[:, 0, 0, 0].tolist() == [4, 1, 1]


def test_fingerprint_sees_every_field_and_nothing_else() -> None:
    base = numbered(4)
    assert images_fingerprint(base) == images_fingerprint(numbered(4))
    assert images_fingerprint(base) == images_fingerprint(base._replace(images=np.asfortranarray(base.images)))
    assert len(images_fingerprint(base)) == 64
    changed = [
        base._replace(images=base.images + np.uint8(1)),
        base._replace(labels=1 - base.labels),
        base._replace(masks=~base.masks),
        base._replace(has_mask=~base.has_mask),
        base._replace(defects=("dent",) * 4),
        base._replace(names=base.names[::-1]),
        subset(base, [1, 0, 2, 3]),
        subset(base, [0, 1, 2]),
    ]
    assert len({images_fingerprint(s) for s in [base, *changed]}) == len(changed) + 1


def test_whole_recordings_are_held_out() -> None:
    recordings = [f"video {i % 10}" for i in range(100)]
    fit, held_out = hold_out(numbered(100), recordings=recordings)
    of = {"fit": {int(n) % 10 for n in fit.names}, "held": {int(n) % 10 for n in held_out.names}}
    assert not of["fit"] & of["held"] and len(of["held"]) == 2  # 15 of 100 asked for, 10 in each


def test_one_recording_at_least_stays_for_training_and_a_single_one_is_cut() -> None:
    fit, held_out = hold_out(numbered(20), fraction=0.5, recordings=["a"] * 15 + ["b"] * 5)
    assert {len(fit.names), len(held_out.names)} == {15, 5}
    alone = hold_out(numbered(20), recordings=["a"] * 20)
    assert alone[1].names == hold_out(numbered(20))[1].names


def test_recordings_of_other_pictures_are_refused() -> None:
    with pytest.raises(InputError, match="recordings of 3 pictures: expected 20"):
        hold_out(numbered(20), recordings=["a", "b", "c"])


# --- Those that choose and those that give thresholds --------------------------------------------------------------


def parts_of(images: ImageSet, **how: Any) -> tuple[set[str], set[str]]:
    parts = split_held_out(images, **{"share": 0.4, **how})
    assert parts is not None
    tuning, calibration = parts
    assert [*tuning.names] == sorted(tuning.names) and [*calibration.names] == sorted(calibration.names)
    return set(tuning.names), set(calibration.names)


@pytest.mark.parametrize(("n", "tuning"), [(4, 2), (5, 2), (9, 4), (19, 8), (32, 13), (100, 40)])
def test_those_that_choose_give_no_threshold(n: int, tuning: int) -> None:
    images = numbered(n)
    chose, others = parts_of(images)
    assert not chose & others and chose | others == set(images.names) and len(chose) == tuning
    assert {len(part) for part in parts_of(images, recordings=[str(i) for i in range(n)])} == {tuning, n - tuning}
    assert split_held_out(subset(images, range(3)), share=0.4) is None


def test_a_part_depends_on_pixels_and_seed_alone() -> None:
    images = numbered(40)
    renamed = images._replace(names=tuple(reversed(images.names)))
    reversed_order = subset(images, range(39, -1, -1))
    first, other, turned = (split_held_out(one, share=0.4) for one in (images, renamed, reversed_order))
    assert first and other and turned
    np.testing.assert_array_equal(first[0].images, other[0].images)
    assert set(turned[0].names) == set(first[0].names)
    assert parts_of(images, seed=1)[0] != parts_of(images)[0]


def test_copies_of_a_picture_and_frames_of_a_recording_stay_together() -> None:
    images = numbered(20)
    twice = subset(images, [*range(20), *range(20)])._replace(names=tuple(f"{i:03d}" for i in range(40)))
    chose, others = parts_of(twice)
    assert {int(name) % 20 for name in chose}.isdisjoint(int(name) % 20 for name in others)
    assert split_held_out(subset(images, [3] * 6), share=0.4) is None
    of = [str(i // 5) for i in range(20)]
    chose, others = parts_of(images, recordings=of)
    assert len(chose) == 5 and len({int(name) // 5 for name in chose}) == 1  # 8 asked for: one fits, two do not
    # Where none fits the smallest chooses, and the threshold has most pictures.
    assert len(parts_of(images, recordings=["a"] * 9 + ["b"] * 11)[0]) == 9
    assert len(parts_of(images, recordings=["a"] + ["b"] * 19)[0]) == 8
    assert parts_of(images, recordings=["a"] * 20)[0] == {f"{i:03d}" for i in range(8)}


def with_test(n: int, good: int, bad: int, recordings: tuple[str, ...] = ()) -> DataSet:
    test = numbered(good + bad)._replace(
        labels=np.r_[np.zeros(good, np.int32), np.ones(bad, np.int32)], names=tuple(f"t{i}" for i in range(good + bad))
    )
    return DataSet("set", numbered(n), test, recordings)


@pytest.mark.parametrize(
    ("n", "good", "bad", "moved"), [(60, 12, 30, 18), (20, 2, 30, 10), (20, 30, 30, 0), (9, 9, 2, 0)]
)
def test_a_balanced_test_has_as_many_normal_pictures_as_half_of_the_training_allows(
    n: int, good: int, bad: int, moved: int
) -> None:
    before = with_test(n, good, bad)
    after = balanced(before)
    assert len(after.train.names) == n - moved and len(after.test.names) == good + bad + moved
    assert int((after.test.labels == 0).sum()) == good + moved
    assert after.test.names[: good + bad] == before.test.names
    gone = after.test.names[good + bad :]
    assert sorted(gone + after.train.names) == list(before.train.names)
    assert after.test.images[good + bad :, 0, 0, 0].tolist() == [int(name) for name in gone]
    assert bool(after.notes) == bool(moved) and balanced(before).test.names == after.test.names


def test_balancing_moves_whole_recordings_and_of_one_alone_its_end() -> None:
    of = tuple(f"video {i % 5}" for i in range(40))
    after = balanced(with_test(40, 0, 18, of))
    went = {of[int(name)] for name in after.test.names[18:]}
    assert len(went) == 2 and not went & set(after.recordings) and len(after.recordings) == len(after.train.names) == 24
    alone = balanced(with_test(40, 0, 18, ("video",) * 40))
    assert [int(name) for name in alone.test.names[18:]] == list(range(22, 40))
