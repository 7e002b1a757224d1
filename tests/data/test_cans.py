"""The synthetic cans: pure functions of their arguments, geometry that closes, masks that are exact."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from ddad_jax.data import can_labels
from ddad_jax.data.can_defects import Dent, Paint, draw_dent, draw_paint
from ddad_jax.data.can_render import develop, expose
from ddad_jax.data.can_scene import (
    LID_DEPTH,
    LID_RADIUS,
    Scene,
    can_frame,
    can_outline,
    hit_can,
    march_dent,
    rays,
)
from ddad_jax.data.cans import FACING, KINDS, PRODUCTS, cans, render_frame, station, write_folder
from ddad_jax.errors import InputError

BUMP = Dent(theta=0.0, z=1.6, half=(0.5, 0.5), turn=0.4, depth=0.25, crease=0.4, bend=0.3, second=(0.3, 0.1))
STAIN = Paint(0.0, 1.6, 0.5, np.ones((128, 128), np.float32), (0.9, 0.0, 0.6), 0.0)


def grown(mask: np.ndarray, pixels: int) -> np.ndarray:
    return cv2.dilate(mask.astype(np.uint8), np.ones((2 * pixels + 1, 2 * pixels + 1), np.uint8)) > 0


@pytest.fixture(scope="module", params=PRODUCTS)
def small(request):
    return cans(64, product=request.param, seed=3, n_train=3, n_test_good=2, n_defect=4)


def test_a_set_has_what_it_says(small):
    assert small.train.images.shape == (3, 64, 64, 3) and small.train.images.dtype == np.uint8
    assert small.test.images.shape == (10, 64, 64, 3) and small.test.masks.dtype == bool
    assert small.test.defects == ("good",) * 2 + ("dent",) * 4 + ("paint",) * 4
    assert small.train.labels.tolist() == [0] * 3 and small.test.labels.tolist() == [0] * 2 + [1] * 8
    assert small.train.has_mask.all() and small.test.has_mask.all()
    assert small.name.startswith("cans/") and small.test.names[2] == f"{small.name}/test/dent/0000"
    assert len(set(small.train.names + small.test.names)) == 13
    per_image = small.test.masks.sum(axis=(1, 2))
    assert (per_image[:2] == 0).all() and not small.train.masks.any()
    # A person finds a defect at 64 px: a good dozen pixels, well below half of the can.
    assert (per_image[2:] >= 12).all() and (per_image[2:] < 400).all()


def test_frames_do_not_depend_on_how_many_are_asked_for(small):
    product = small.name.split("/")[1]
    fewer = cans(64, product=product, seed=3, n_train=2, n_test_good=1, n_defect=2)
    np.testing.assert_array_equal(fewer.train.images, small.train.images[:2])
    keep = [0, 2, 3, 6, 7]
    np.testing.assert_array_equal(fewer.test.images, small.test.images[keep])
    np.testing.assert_array_equal(fewer.test.masks, small.test.masks[keep])
    assert fewer.test.names == tuple(small.test.names[i] for i in keep)


def test_the_seed_the_split_and_the_product_change_everything():
    a, b = (cans(32, seed=s, n_train=2, n_test_good=2, n_defect=0) for s in (0, 1))
    c = cans(32, seed=0, product=PRODUCTS[1], n_train=2, n_test_good=0, n_defect=0)
    pictures = [*a.train.images, *a.test.images, *b.train.images, *b.test.images, *c.train.images]
    assert len({p.tobytes() for p in pictures}) == len(pictures)


def test_another_size_shows_the_same_defects():
    large, little = (cans(n, seed=5, n_train=0, n_test_good=0, n_defect=2) for n in (128, 64))
    for m, n in zip(large.test.masks, little.test.masks, strict=True):
        halved = cv2.resize(m.astype(np.float32), (64, 64), interpolation=cv2.INTER_AREA) > 0.5
        assert (halved & n).sum() > 0.8 * (halved | n).sum()
    assert large.train.images.shape == (0, 128, 128, 3)


def test_stations_vary_but_little():
    scenes = [station(PRODUCTS[0], np.random.default_rng(i)) for i in range(50)]
    elevation = np.rad2deg([s.elevation for s in scenes])
    assert 2 < np.ptp(elevation) < 5 and len({s.wall_seed for s in scenes}) == 50


@pytest.mark.parametrize("kind", ["dent", "paint"])
def test_outside_the_mask_nothing_changes_and_inside_it_does(kind):
    draw = draw_dent if kind == "dent" else draw_paint
    scene = Scene(tilt=(0.01, -0.01), offset=(0.03, 0.02))
    inside = []
    for i in range(6):
        product = PRODUCTS[i % 3]
        defect = draw(np.random.default_rng(i), towards=FACING - 0.7 * i, height=can_labels.ART[product][0])
        sound, none = expose(product, size=64, phase=0.7 * i, scene=scene)
        light, share = expose(product, size=64, phase=0.7 * i, scene=scene, defect=defect)
        assert not none.any() and share.max() == 1.0
        change = np.abs(light - sound).max(axis=2)
        # A dent runs out over two pixels below DENT_EDGE, a stain's border is half a pixel soft.
        assert change[~grown(share > 0, 2)].max() == 0.0
        assert change[~grown(share > 0.5, 1)].mean() < 1e-3 * change[share > 0.5].mean()
        inside.append(np.mean(change[share > 0.5] > 0.01))
    assert np.mean(inside) > 0.9


def test_camera_noise_is_the_same_for_a_sound_and_a_defective_can():
    common: dict[str, Any] = {"size": 64, "phase": 0.3, "scene": Scene(), "noise": 7}
    stain = STAIN._replace(theta=FACING - 0.3)
    sound, empty = render_frame("coffee", **common)
    stained, mask = render_frame("coffee", **common, defect=stain)
    far = ~grown(mask, 4)
    np.testing.assert_array_equal(sound[far], stained[far])
    assert not empty.any() and np.abs(sound[mask].astype(int) - stained[mask]).max(axis=1).mean() > 40
    assert (sound != render_frame("coffee", **{**common, "noise": 8})[0]).any()


@pytest.mark.parametrize("defect", [BUMP, STAIN])
def test_the_mask_converges_with_finer_sampling(defect):
    defect = defect._replace(theta=FACING + 0.4)
    coarse, fine = (expose(PRODUCTS[0], size=64, phase=0.0, scene=Scene(), defect=defect, step=s)[1] for s in (3, 9))
    assert np.abs(coarse - fine).max() < 0.4 and np.abs(coarse - fine).mean() < 5e-3
    assert ((coarse > 0.5) != (fine > 0.5)).sum() <= 0.06 * (fine > 0.5).sum()


@pytest.mark.parametrize("defect", [BUMP, STAIN])
def test_a_defect_turns_with_the_can_and_is_hidden_behind_it(defect):
    shown = []
    for phase in (FACING - 0.6, FACING, FACING + 0.6, FACING + np.pi):
        light, share = expose(PRODUCTS[0], size=48, phase=phase, scene=Scene(), defect=defect)
        columns = np.flatnonzero(share.sum(axis=0) > 0)
        shown.append(columns.mean() if len(columns) else np.nan)
        sound, _ = expose(PRODUCTS[0], size=48, phase=phase, scene=Scene())
        assert (light == sound).all() == (len(columns) == 0)
    # The near side of a can that turns anticlockwise, seen from above, moves to the right.
    assert shown[0] < shown[1] < shown[2] and np.isnan(shown[3])


def test_a_dent_on_the_contour_lets_the_background_through():
    scene, dent = Scene(), BUMP._replace(theta=FACING + 1.45)
    sound, _ = expose("coffee", size=96, phase=0.0, scene=scene)
    light, share = expose("coffee", size=96, phase=0.0, scene=scene, defect=dent)
    # The dented row's last can column lies further in: brown gives way to the grey wall.
    row = np.argmax(share.sum(axis=1))
    can = [np.flatnonzero(np.ptp(x[row], axis=1) > 0.05).max() for x in (sound, light)]
    assert can[1] <= can[0] - 2 and share[row, can[1] + 1 : can[0]].min() > 0.5


def test_highlights_stay_while_the_print_turns():
    sound, turned = (
        expose("lemon_soda", size=64, phase=p, scene=Scene(offset=(0.0, 0.0)))[0].mean(axis=2) for p in (0.0, 1.0)
    )
    _, share = expose("lemon_soda", size=64, phase=0.0, scene=Scene())
    origin, direction = rays(Scene(), 64)
    hit = hit_can(origin, direction, can_labels.ART["lemon_soda"][0])
    height = can_labels.ART["lemon_soda"][0]
    # One pixel inside the bare shoulder, whose metal is the same all round.
    bare = np.zeros(64 * 64, bool)
    bare[hit.ray[(hit.point[:, 2] > height - 0.28) & (hit.point[:, 2] < height - 0.14) & ~hit.inside]] = True
    bare = ~grown(~bare.reshape(64, 64), 1)
    assert bare.sum() > 10 and np.ptp(sound[bare]) > 0.5 and not share.any()
    np.testing.assert_allclose(sound[bare], turned[bare], atol=1e-9)
    assert np.abs(sound - turned).max() > 0.2


def test_rays_end_on_the_outline_of_the_can():
    scene = Scene(tilt=(0.03, -0.02), offset=(0.1, -0.05))
    height = 3.2
    turn, stand = can_frame(scene, 0.9)
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)
    origin, direction = rays(scene, 96)
    np.testing.assert_allclose(np.linalg.norm(direction, axis=1), 1.0)
    o, d = (origin - stand) @ turn, direction @ turn
    hit = hit_can(o, d, height)
    assert 0.2 < len(hit.ray) / len(d) < 0.6
    t = np.linalg.norm(hit.point - o, axis=1)
    np.testing.assert_allclose(o + t[:, None] * d[hit.ray], hit.point, atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(hit.normal, axis=1), 1.0)
    rho, z = np.hypot(hit.point[:, 0], hit.point[:, 1]), hit.point[:, 2]
    lid = np.isclose(z, height - LID_DEPTH) & (rho <= LID_RADIUS)
    body = (z > 0.3) & (z < height - 0.5)
    assert lid.sum() > 10 and body.sum() > 1000
    np.testing.assert_allclose(rho[body], 1.0, atol=1e-9)
    r, h = can_outline(height).T
    for i in np.flatnonzero(~lid)[::7]:
        between = (z[i] - h[:-1]) * (z[i] - h[1:]) <= 1e-9
        on = r[:-1] + (z[i] - h[:-1]) * np.diff(r) / np.diff(h)
        assert np.abs(on[between] - rho[i]).min() < 1e-6
    outside = ~hit.inside & body
    assert (np.sum(hit.normal[outside] * d[hit.ray[outside]], axis=1) < 1e-6).all()


def test_marched_rays_end_on_the_dented_wall_with_its_normal():
    origin, direction = rays(Scene(), 96)
    hit = hit_can(origin, direction, 3.15)
    dent = BUMP._replace(theta=FACING + 0.3, crease=0.0, second=(0.0, 0.0))
    theta = np.arctan2(hit.point[:, 1], hit.point[:, 0])
    over = dent.depth_at(theta, hit.point[:, 2]) > 0
    point, normal, missed = march_dent(hit.point[over], direction[hit.ray[over]], 0.0, dent.depth_at)
    assert not missed.any() and over.sum() > 100
    rho, theta = np.hypot(point[:, 0], point[:, 1]), np.arctan2(point[:, 1], point[:, 0])
    depth = dent.depth_at(theta, point[:, 2])
    np.testing.assert_allclose(rho, 1 - depth, atol=6e-3)
    assert depth.max() == pytest.approx(dent.depth, rel=0.03)
    step = 1e-4  # along the tangent plane the wall does not move, to first order
    for other in (np.array([0.0, 0.0, 1.0]), np.array([1.0, 0.0, 0.0])):
        along = np.cross(normal, other)
        near = np.clip(rho - (1 - depth), 0, None)
        p, q = point + step * along, point - step * along
        f = [np.hypot(*x[:, :2].T) - 1 + dent.depth_at(np.arctan2(x[:, 1], x[:, 0]), x[:, 2]) for x in (p, q)]
        assert np.median(np.abs(f[0] - f[1]) / (2 * step)) < 0.03 and near.max() < 6e-3


def test_textures_are_shared_read_only_and_wrap():
    sleeve = can_labels.sleeve("coffee", 200)
    assert sleeve is can_labels.sleeve("coffee", 200) and not sleeve.flags.writeable
    assert sleeve.min() >= 0 and sleeve.max() <= 1
    row = np.full(3, 40.0)
    seam = can_labels.sample(sleeve, np.array([-0.25, 199.75, 399.75]), row, wrap=True)
    np.testing.assert_allclose(seam, np.tile(0.25 * sleeve[40, 199] + 0.75 * sleeve[40, 0], (3, 1)), atol=1e-5)
    flat = can_labels.sample(sleeve[..., 0], np.array([-9.0, 500.0]), np.array([-3.0, 1e4]))
    np.testing.assert_allclose(flat, [sleeve[0, 0, 0], sleeve[-1, -1, 0]])


def test_development_saturates_and_keeps_grey_grey():
    grey = develop(np.full((32, 32, 3), 0.2), Scene(), None)
    assert (np.ptp(grey, axis=2) == 0).all() and 60 < grey.mean() < 200
    assert develop(np.full((32, 32, 3), 50.0), Scene(), None).min() == 255


def test_a_written_set_reads_back_byte_for_byte(small, tmp_path: Path):
    folder = write_folder(small, tmp_path)
    assert folder == tmp_path / small.name.split("/")[1]
    assert sorted(p.name for p in (folder / "test").iterdir()) == sorted(KINDS)
    assert len(list((folder / "train" / "good").iterdir())) == 3
    assert not (folder / "ground_truth" / "good").exists()
    test = small.test
    for image, mask, kind, name in zip(test.images, test.masks, test.defects, test.names, strict=True):
        stem = name.rsplit("/", 1)[1]
        read = np.asarray(cv2.imread(str(folder / "test" / kind / f"{stem}.png")))
        np.testing.assert_array_equal(read[..., ::-1], image)
        if kind != "good":
            truth = cv2.imread(str(folder / "ground_truth" / kind / f"{stem}_mask.png"), cv2.IMREAD_UNCHANGED)
            np.testing.assert_array_equal(truth, mask.astype(np.uint8) * 255)


def test_what_a_user_can_get_wrong(tmp_path: Path):
    call: Any = cans
    for wrong in ({"product": "tuna"}, {"size": 31}, {"n_train": -1}, {"n_test_good": -1}, {"n_defect": -2},
                  {"seed": -1}):  # fmt: skip
        with pytest.raises(InputError, match=next(iter(wrong))):
            call(**{"size": 32, "n_train": 0, "n_test_good": 0, "n_defect": 0, **wrong})
    with pytest.raises(InputError, match="tuna"):
        render_frame("tuna", size=64, phase=0.0, scene=Scene())
    occupied = tmp_path / "file"
    occupied.write_text("in the way")
    with pytest.raises(InputError, match="cannot write"):
        write_folder(cans(32, n_train=1, n_test_good=0, n_defect=0), occupied)
