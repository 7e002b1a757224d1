"""DRAEM behind the seam: its points, what it refuses, what its published behaviour is, and its losses."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_runs

from ddad_jax.draem import NetworkPair, Pass, forward, init_networks, losses
from ddad_jax.engine.data.splits import Data
from ddad_jax.engine.methods.draem import DRAEM, Marked, Views
from ddad_jax.engine.setting_doubts import doubts
from ddad_jax.errors import InputError
from ddad_jax.plain_autoencoder import PlainAutoencoder
from ddad_jax.segmentation_unet import SegmentationUNet
from experiments.config import base, reference
from experiments.configs import folder

METHOD = DRAEM()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"data__size": 48}, r"data\.size=48: expected a multiple of 32 with model\.patch = 1, such as (32|64)"),
        ({"model__patch": 2}, r"data\.size=32: expected a multiple of 64 with model\.patch = 2, such as 64"),
        ({"damage__perlin": 0.8, "damage__cutout": 0.4}, r"damage\.cutout=0\.4: expected at most 0\.2"),
        ({"draem__mirrored": "x"}, r"draem\.mirrored='x': expected one of '', h, v, hv"),
        ({"train__drop_at": (1.5,)}, r"train\.drop_at=\(1\.5,\): expected a tuple, each a share of the steps"),
        ({"sweep__mask_after": (True,)}, r"sweep\.mask_after=\(True,\): expected .*--config\.view\.mask=FILE"),
    ],
)
def test_settings_that_cannot_be_are_named(changes: dict[str, Any], told: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"--config\.{told}"):
        tiny_runs.config(tmp_path, "draem", **{"backbone__feature_size": 32, **changes})


def test_settings_that_hardly_do_what_was_meant_are_doubted(tmp_path: Path) -> None:
    def of(**changes: Any) -> str:
        return " ".join(doubts(tiny_runs.config(tmp_path, "draem", **changes)))

    assert not of()
    assert "no picture is damaged" in of(damage__perlin=0.0)
    assert "train.drop_at=(0.8,)" in of(train__drop_at=(0.8,), train__max_minutes=1.0)


def test_the_published_choices_are_a_word_away_and_never_mixed_in() -> None:
    ours, published = base("draem"), reference(base("draem"))
    assert published.model.reconstructive == 128 and published.model.discriminative == 64
    assert published.train.ssim_range == "batch" and published.train.ema_decay == 0.0
    assert published.train.drop_at == (0.8, 0.9)
    assert (ours.train.ssim_range, ours.train.drop_at) == ("unit", ()) and ours.train.ema_decay > 0
    small = folder.get_config("draem")
    assert folder.get_config("draem,reference").to_dict()["train"] == published.train.to_dict()
    assert small.data.size == 128 and small.train.max_minutes == 15 and small.train.ssim_range == "unit"


def test_textures_come_from_the_folder_that_is_named(root: Path, data: Data, tmp_path: Path) -> None:
    given = METHOD.materials(tiny_runs.config(root, "draem"), "train", data)["textures"]
    assert given.shape == (4, 32, 32, 3)
    of_folder = tiny_runs.config(root, "draem", damage__textures=str(root))
    assert METHOD.columns(of_folder) == {"textures": root.name} != METHOD.columns(tiny_runs.config(root, "draem"))
    own = METHOD.materials(of_folder, "train", data)["textures"]
    assert own.shape == (4, 32, 32, 3) and np.abs(own.astype(int) - given).max() > 0
    with pytest.raises(InputError, match="expected a folder of textures"):
        METHOD.materials(tiny_runs.config(root, "draem", damage__textures=str(tmp_path)), "train", data)


def test_a_mirrored_map_is_that_of_the_mirrored_picture(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_runs.small_pair(monkeypatch.setattr)
    c = tiny_runs.config(root, "draem")
    networks: Any = {"train": METHOD.init(c, "train", jax.random.key(0))}
    x, seeds = jax.random.uniform(jax.random.key(1), (2, 32, 32, 3), minval=-1.0), jnp.zeros(2, jnp.uint32)

    def maps(mirrored: str, x: jax.Array) -> jax.Array:
        return METHOD.compare(c, Views(mirrored), networks, x, seeds)

    np.testing.assert_allclose(maps("h", x[:, :, ::-1])[:, :, ::-1], maps("h", x), atol=1e-6)
    np.testing.assert_allclose(maps("hv", x), maps("hv", x[:, ::-1])[:, ::-1], atol=1e-6)
    assert float(jnp.abs(maps("", x) - maps("h", x)).max()) > 1e-4


def test_the_score_is_the_largest_mean_of_a_square_that_belongs_to_256_pixels() -> None:
    spot = jnp.zeros((1, 64, 64)).at[0, 20:23, 30:33].set(1.0)
    (maps, scores), side = METHOD.judge(spot, Marked(window=21), (64, 64)), 5
    np.testing.assert_array_equal(maps, spot)
    assert float(scores[0]) == pytest.approx(9 / side**2)
    blurred, same = METHOD.judge(spot, Marked(window=21, sigma=2.0), (64, 64))
    assert float(blurred.max()) < 0.5 and float(same[0]) == float(scores[0])
    assert float(METHOD.judge(spot, Marked(window=1), (64, 64))[1][0]) == 1.0


def test_squares_of_pixels_change_the_grid_and_no_size() -> None:
    networks = NetworkPair(PlainAutoencoder(2, patch=2), SegmentationUNet(2, patch=2))
    shapes = jax.eval_shape(lambda key: init_networks(networks, key, (64, 64)), jax.random.key(0))
    pictures = jax.ShapeDtypeStruct((3, 64, 64, 3), jnp.float32)
    passed = jax.eval_shape(lambda v, x: forward(networks, v, x), shapes, pictures)
    assert passed.reconstruction.shape == (3, 64, 64, 3) and passed.logits.shape == (3, 64, 64, 2)
    first: Any = shapes["params"]
    assert first["discriminative"]["encoder_segment"]["block1_0"]["kernel"].shape == (3, 3, 24, 2)


def test_a_perfect_pass_costs_nothing_and_each_loss_sees_its_own_fault() -> None:
    clean = jax.random.uniform(jax.random.key(0), (2, 16, 16, 3))
    mask = jnp.zeros((2, 16, 16), bool).at[0, 3:9, 3:9].set(True)
    marked = jnp.where(mask, 30.0, -30.0)
    logits = jnp.stack([-marked, marked], -1)
    good = losses(Pass(clean, logits, {}), clean, mask)
    np.testing.assert_allclose(jnp.stack(good), 0.0, atol=1e-5)
    blurred = losses(Pass(clean.at[0].set(0.5), logits, {}), clean, mask)
    assert blurred.l2[0] > 0.05 and blurred.ssim[0] > 0.5 and blurred.l2[1] == 0.0
    missed = losses(Pass(clean, jnp.stack([jnp.abs(marked), -jnp.abs(marked)], -1), {}), clean, mask)
    assert float(missed.focal[0]) > 1.0 and float(missed.focal[1]) < 1e-5
    low = clean.at[0, 0, 0, 0].set(-0.6)
    spans = [float(losses(Pass(low, logits, {}), clean, mask, ssim_range=kind).ssim[1]) for kind in ("unit", "batch")]
    np.testing.assert_allclose(spans, 0.0, atol=1e-5)
    noisy = Pass(low.at[1].add(0.1 * jax.random.normal(jax.random.key(1), (16, 16, 3))), logits, {})
    one, two = (float(losses(noisy, clean, mask, ssim_range=kind).ssim[1]) for kind in ("unit", "batch"))
    assert two < one  # one pixel of another picture changes it
