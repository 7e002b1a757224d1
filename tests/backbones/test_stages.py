"""What a backbone says of its stages is all that the rest needs to know: a vision transformer, whose stages are blocks
of one stride, goes through every part that was written for ResNets."""

import itertools
import re
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_runs
from tiny_vit import PATCH, VIT, WIDTH, variables

from ddad_jax.adapt import adapt_step, adaptation_optimiser, init_adapt
from ddad_jax.backbones import BACKBONES, feature_fn
from ddad_jax.checkpoint import Checkpoints
from ddad_jax.distance import feature_distance, feature_distances
from ddad_jax.distance_maps import blurred
from ddad_jax.embedding import patch_descriptors, position_embedding
from ddad_jax.engine.methods.ddad.points import ddad_point_of
from ddad_jax.engine.methods.point import point_settings
from ddad_jax.errors import InputError
from ddad_jax.pair_program import PairProgram
from ddad_jax.points import ReconPoint, ScorePoint
from ddad_jax.schedule import alpha_bar_table
from ddad_jax.sweep import sweep_distances
from ddad_jax.types import Array
from ddad_jax.weights import backbone_variables, random_backbone, to_torch

BLOCKS = tuple(VIT.stages)


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    """The transformer is in the table, as a new one would be: under a name that settings already take."""
    monkeypatch.setitem(BACKBONES, "resnet50", VIT)


def images(n: int, side: int = 28, seed: int = 0) -> Array:
    return jnp.asarray(np.random.default_rng(seed).uniform(-1, 1, (n, side, side, 3)), jnp.float32)


@pytest.mark.parametrize("backbone", [*BACKBONES.values(), VIT], ids=lambda backbone: backbone.name)
def test_a_backbone_gives_the_stages_it_says(backbone: Any) -> None:
    h, w = (backbone.side_near(side) for side in (64, 96))
    image = jax.ShapeDtypeStruct((2, h, w, 3), jnp.float32)
    outputs, _ = jax.eval_shape(backbone.module.init_with_output, jax.random.key(0), image)
    assert [(name, v.shape) for name, v in outputs.items()] == [
        (name, (2, -(-h // s.stride), -(-w // s.stride), s.channels)) for name, s in backbone.stages.items()
    ]
    assert all(name.isidentifier() for name in backbone.stages), "rows join them by +"
    assert backbone.takes(backbone.min_size)


def test_distances_of_blocks_are_brought_to_the_picture() -> None:
    features, x = jax.jit(feature_fn(VIT, variables())), images(2, 42)
    same, other = feature_distances(features(x), features(x)), feature_distances(features(-x), features(x))
    assert {name: d.shape for name, d in other.items()} == dict.fromkeys(BLOCKS, (2, 3, 3))
    np.testing.assert_allclose(feature_distance(same, BLOCKS, 42), 0.0, atol=1e-6)
    assert float(feature_distance(other, ("block2",), 42).min()) > 0


def test_patches_of_blocks_of_one_stride_lie_side_by_side() -> None:
    features = jax.jit(feature_fn(VIT, variables()))(images(2, 42))
    both = jnp.concatenate([features[name] for name in BLOCKS], -1)
    np.testing.assert_array_equal(position_embedding(features, BLOCKS, None), both)
    np.testing.assert_allclose(patch_descriptors(features, BLOCKS, patch=1), both, atol=1e-6)
    pooled = jax.eval_shape(lambda f: patch_descriptors(f, BLOCKS, widths=(8, 6)), features)
    assert pooled.shape == (2, 3, 3, 6)


@pytest.mark.parametrize("batch_norm", ["frozen", "train"])
def test_it_is_adapted_over_all_its_stages_and_kept(batch_norm: str, tmp_path: Path) -> None:
    tx, frozen = adaptation_optimiser(learning_rate=1e-3), variables()
    step = jax.jit(lambda *a: adapt_step(*a, backbone=VIT, tx=tx, batch_norm=batch_norm, feature_size=28))
    state, metrics = step(init_adapt(frozen, tx), images(2, 20, 1), images(2, 20, 2), frozen)
    assert metrics["terms"].shape == (3, len(BLOCKS)) and float(metrics["loss"]) > 0
    assert jax.tree.structure(state.variables) == jax.tree.structure(jax.tree.map(jnp.asarray, frozen))
    assert any(bool((a != b).any()) for a, b in zip(*map(jax.tree.leaves, (state.variables, frozen)), strict=True))
    Checkpoints(tmp_path / "epochs").save(1, state.variables)
    back = Checkpoints(tmp_path / "epochs").restore(frozen, 1)
    jax.tree.map(np.testing.assert_array_equal, back, dict(state.variables))
    Checkpoints(tmp_path / "state").save(1, state)
    jax.tree.map(np.testing.assert_array_equal, Checkpoints(tmp_path / "state").restore(init_adapt(frozen, tx)), state)


def test_reconstructions_are_swept_with_it() -> None:
    def eps_fn(x_t: Array, t: Array) -> Array:
        return 0.3 * x_t

    program = PairProgram(
        lambda weights: (eps_fn, feature_fn(VIT, weights)),
        variables(),
        alpha_bar=jnp.asarray(alpha_bar_table()),
        feature_size=28,
    )
    pictures = np.random.default_rng(0).integers(0, 256, (3, 20, 20, 3), np.uint8)
    points = [ReconPoint(w, 250, 2, 0.0, "trailing", 0) for w in (0.0, 3.0)]
    for _, distances in sweep_distances(program, pictures, points, chunk=4, timer=itertools.count().__next__):
        assert {name: d.shape for name, d in distances.features.items()} == dict.fromkeys(BLOCKS, (3, 2, 2))
        _, d_f = blurred(distances, ("block2",), 1.0)
        assert d_f.shape == (3, 20, 20) and np.isfinite(d_f).all() and d_f.max() > 0


def test_a_picture_that_patches_do_not_divide_is_refused_with_a_size_that_fits() -> None:
    told = r"sides of at least 14 px, multiples of 14, these are 28 x 30; --config.backbone.feature_size=42"
    with pytest.raises(InputError, match=told):
        feature_fn(VIT, variables())(jnp.zeros((1, 28, 30, 3)))
    tx = adaptation_optimiser()
    with pytest.raises(InputError, match="tiny_vit needs images.*these are 20 x 20"):
        adapt_step(init_adapt(variables(), tx), images(1, 20), images(1, 20), variables(), backbone=VIT, tx=tx)


@pytest.mark.usefixtures("known")
def test_its_weights_are_read_by_the_names_of_its_file() -> None:
    drawn = random_backbone("resnet50", jax.random.key(1))
    state = to_torch(drawn)
    named = {"cls_token", "pos_embed", "register_tokens", "patch_embed_proj.weight", "blocks.0.ls1.gamma"}
    assert named <= {*state} and state["patch_embed_proj.weight"].shape == (WIDTH, 3, PATCH, PATCH)
    jax.tree.map(np.testing.assert_array_equal, backbone_variables("resnet50", state), drawn)
    with pytest.raises(InputError, match="missing: cls_token"):
        backbone_variables("resnet50", {k: v for k, v in state.items() if k != "cls_token"})


VIT_FLAGS: dict[str, Any] = {
    "backbone__name": "resnet50",
    "backbone__feature_size": 28,
    "score__layers": ("block0", "block2"),
}


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"score__layers": ("layer2",)}, "score.layers=('layer2',): expected some of block0, block2, the stages of"),
        ({"sweep__layers": (("block1",),)}, "sweep.layers=(('block1',),): expected some of block0, block2, the stages"),
        ({"backbone__feature_size": 32}, "backbone.feature_size=32: expected 0 (the pictures' own size) or at least"),
        ({"backbone__feature_size": 0}, "data.size=32: expected at least 14 px, multiples of 14 for backbone.name"),
        ({"backbone__feature_size": 0}, "or --config.backbone.feature_size=42"),
    ],
)
def test_settings_that_do_not_fit_the_backbone_are_refused(changes: dict[str, Any], says: str) -> None:
    tiny_runs.config(Path("somewhere"), **VIT_FLAGS)
    with pytest.raises(InputError, match=re.escape(says)):
        tiny_runs.config(Path("somewhere"), **{**VIT_FLAGS, **changes})


@pytest.mark.usefixtures("known")
def test_a_row_names_stages_of_any_backbone() -> None:
    point = ReconPoint(3.0, 250, 2, 0.0, "trailing", 0), ScorePoint(1.0, BLOCKS, 1.0)
    assert ddad_point_of(point_settings(*point)) == point
