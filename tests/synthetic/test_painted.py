"""Synthetic defects: functions of picture, kind, strength and seed alone; visible, and masked where they are."""

from itertools import product

import cv2
import numpy as np
import pytest

from ddad_jax.data.split import subset
from ddad_jax.errors import InputError
from ddad_jax.synthetic.painted import DEFECTS, LARGEST, LEVEL, damage, synthetic_defects
from ddad_jax.synthetic.shapes import object_map, smooth_noise

STRENGTHS = (0.35, 0.6, 1.0)
WEAVE, THING, GREY, EMPTY = "weave", "thing", "grey", "empty"


def ellipse(h: int, w: int) -> np.ndarray:
    return cv2.ellipse(np.zeros((h, w), np.uint8), (w // 2, h // 2), (w // 3, h // 4), 20, 0, 360, 1, -1) > 0


def picture(what: str, h: int, w: int | None = None, number: int = 0) -> np.ndarray:
    """A colour texture, a plain thing on a plain ground, a grey texture, or nothing at all."""
    w = w or h
    rng = np.random.default_rng(number)
    if what == WEAVE:
        image = np.stack([120 + 25 * smooth_noise(rng, (h, w), 6.0) for _ in range(3)], -1)
    elif what == THING:
        on = ellipse(h, w)[..., None]
        image = np.where(on, (180, 140, 90), (60, 70, 80)) + 3 * rng.standard_normal((h, w, 1))
    elif what == GREY:
        image = np.repeat((90 + 20 * smooth_noise(rng, (h, w), (h, 2.0)))[..., None], 3, -1)
    else:
        image = np.full((h, w, 3), 255.0)
    return np.clip(np.round(image), 0, 255).astype(np.uint8)


def changed(after: np.ndarray, before: np.ndarray) -> np.ndarray:
    return np.abs(after.astype(int) - before).max(-1)


def weaves(n: int) -> np.ndarray:
    return np.stack([picture(WEAVE, 32, number=i) for i in range(n)])


@pytest.mark.parametrize("kind", DEFECTS)
@pytest.mark.parametrize("shape", [(32, 32), (64, 64), (40, 96), (128, 128)])
def test_every_defect_shows_and_its_mask_is_where(kind: str, shape: tuple[int, int]) -> None:
    for what, strength in product((WEAVE, THING, GREY, EMPTY), (0.35, 1.0)):
        before = picture(what, *shape)
        after, mask = damage(before, kind, strength, seed=1)
        assert after.dtype == np.uint8 and mask.dtype == bool and mask.shape == shape
        change = changed(after, before)
        assert not change[~mask].any() and change[mask].all()
        assert (change[mask] >= LEVEL).mean() > 0.75 and change[mask].mean() > 1.5 * LEVEL
        assert 6 <= mask.sum() <= LARGEST.get(kind, 0.1) * mask.size, (what, strength)
        if what == GREY:
            assert (after == after[..., :1]).all()


@pytest.mark.parametrize("kind", DEFECTS)
def test_stronger_defects_change_more(kind: str) -> None:
    before = [picture(what, 64, number=i) for what, i in product((WEAVE, THING, GREY), range(5))]
    mean = [np.mean([changed(damage(b, kind, s, seed=0)[0], b).mean() for b in before]) for s in STRENGTHS]
    assert mean[0] < mean[1] < mean[2]


def test_defects_lie_on_the_object_where_there_is_one() -> None:
    thing = picture(THING, 64)
    on = object_map(thing.astype(np.float32))
    overlap = (on & ellipse(64, 64)).sum() / (on | ellipse(64, 64)).sum()
    assert overlap > 0.85  # a little larger, for the picture is smoothed first
    for kind, seed in product(DEFECTS, range(3)):
        assert (damage(thing, kind, 0.6, seed=seed)[1] & on).any()
    for what in (WEAVE, GREY, EMPTY):
        assert object_map(picture(what, 64).astype(np.float32)).all()


def test_a_copy_depends_on_its_picture_and_the_seed_alone() -> None:
    images = weaves(3)
    whole = synthetic_defects(images, seed=3, per_image=24)
    again = synthetic_defects(images, seed=3, per_image=24)
    np.testing.assert_array_equal(again.images, whole.images)
    # Picture 2 is now the first, and comes without the others.
    alone = synthetic_defects(images[2:], seed=3, per_image=24)
    for i, name in enumerate(alone.names):
        at = whole.names.index(name.replace("0000/", "0002/"))
        np.testing.assert_array_equal(alone.images[i], whole.images[at])
        np.testing.assert_array_equal(alone.masks[i], whole.masks[at])
    other = synthetic_defects(images, seed=4, per_image=24)
    assert (other.images != whole.images).any(axis=(1, 2, 3)).all()


def test_a_strength_does_not_depend_on_the_others() -> None:
    one = synthetic_defects(weaves(1), seed=0, per_image=1, kinds=("crack",), strengths=(0.6,))
    three = synthetic_defects(weaves(1), seed=0, per_image=3, kinds=("crack",), strengths=STRENGTHS)
    np.testing.assert_array_equal(one.images[0], three.images[three.names.index("0000/crack/0.6")])


@pytest.mark.parametrize(
    "kinds", [tuple(DEFECTS), ("crack", "blob", "scar", "colour", "texture", "cut_paste"), ("scar",)]
)
def test_kinds_and_strengths_take_turns(kinds: tuple[str, ...]) -> None:
    every = len(kinds) * len(STRENGTHS)
    got = synthetic_defects(weaves(2), seed=0, per_image=every, kinds=kinds, strengths=STRENGTHS)
    wanted = {f"{k}/{s:g}" for k, s in product(kinds, STRENGTHS)}
    for i in range(2):
        assert {name.split("/", 1)[1] for name in got.names[i * every : (i + 1) * every]} == wanted
    few = synthetic_defects(weaves(3), seed=0, per_image=1, kinds=kinds, strengths=STRENGTHS)
    assert {name.rsplit("/", 1)[1] for name in few.names} == {"0.35", "0.6", "1"}


def test_the_set_says_what_it_holds() -> None:
    got = synthetic_defects(weaves(2), seed=0)
    assert got.images.shape == (4, 32, 32, 3) and got.masks.shape == (4, 32, 32)
    assert got.labels.dtype == np.int32 and got.labels.all() and got.has_mask.all() and got.masks.any((1, 2)).all()
    assert got.defects == ("synthetic_texture", "synthetic_cut_paste", "synthetic_scar", "synthetic_deformation")
    assert got.names == ("0000/texture/0.35", "0000/cut_paste/0.6", "0001/scar/1", "0001/deformation/0.35")
    assert subset(got, [2]).names == ("0001/scar/1",)


@pytest.mark.parametrize(
    ("images", "settings", "message"),
    [
        (weaves(1), {"kinds": ("dust",)}, "dust.*texture"),
        (weaves(1), {"kinds": ()}, "kinds"),
        (weaves(1), {"kinds": ("scar", "scar")}, "each once"),
        (weaves(1), {"strengths": (0.0, 1.0)}, r"\(0, 1\]"),
        (weaves(1), {"strengths": (1.5,)}, r"\(0, 1\]"),
        (weaves(1), {"strengths": (float("nan"),)}, r"\(0, 1\]"),
        (weaves(1), {"strengths": ()}, "strengths"),
        (weaves(1), {"per_image": 0}, "per_image is 0"),
        (weaves(1), {"per_image": 25}, "per_image is 25: expected 1 to 24"),
        (weaves(1), {"seed": -1}, "seed is -1"),
        (weaves(1)[:0], {}, "no pictures"),
        (weaves(1)[0], {}, r"uint8 \[n, h, w, 3\]"),
        (weaves(1)[..., :1], {}, r"uint8 \[n, h, w, 3\]"),
        (weaves(1)[:, :31], {}, "at least 32"),
        (weaves(1) / 255, {}, "float64"),
        (
            weaves(1),
            {"kinds": ("colour",), "strengths": (1e-3,), "per_image": 1},
            "no 'colour' of strength 0.001 shows",
        ),
    ],
)
def test_what_cannot_be_used_is_refused(images: np.ndarray, settings: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        synthetic_defects(images, **{"seed": 0, **settings})
