"""The arrows of the house: read from the imports, so that no picture can drift away from the code."""

import ast
import functools
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LAYERS = {
    "types": 0, "errors": 0,
    "schedule": 1, "timesteps": 1, "image": 1, "metrics": 1, "data": 1, "vision": 1, "sources": 1,
    "torch_file": 1, "backbone_files": 1, "mesh": 1,
    "synthetic": 1, "ssim": 1, "focal": 1,
    "unet": 2, "backbones": 2, "student": 2, "conv_blocks": 2, "segmentation_unet": 2, "plain_autoencoder": 2,
    "kl_autoencoder": 2, "latent_unet": 2,
    "conditioning": 3, "solvers": 3, "reuse": 3, "sampler": 3, "distance": 3, "score": 3, "distilled": 3,
    "embedding": 3, "coreset": 3, "protocol_check": 3, "neighbours": 3, "patch_map": 3, "resilience": 3, "inversion": 3,
    "train": 4, "adapt": 4, "contrast": 4, "distil": 4, "weights": 4, "checkpoint": 4, "grid_teacher": 4,
    "optimised_grid": 4, "patchcore": 4, "padim": 4, "draem": 4, "norm_guided": 4, "diffusionad": 4, "diffad": 4,
    "gaussian_prior": 4, "empirical_prior": 4,
    "points": 5, "sweep": 5, "visits": 5, "detector": 5, "picture_program": 5, "first_pass": 5, "exported": 5,
}  # fmt: skip
"""Of the modules and packages of ddad_jax; what is not listed says it in the first word of its docstring."""
ABOVE = {"experiments": 7, "launch": 8}
ENGINE = 6
"""Of ddad_jax/engine, below which no module of ddad_jax knows of it."""
ROOMS = {
    "store": 0, "hosts": 0, "stopping": 0, "settings": 0,
    "captures": 1, "figures": 1, "tracking": 1, "data": 1,
    "verdicts": 2,
    "methods": 3,
    "sweep": 4, "setting_checks": 4, "setting_doubts": 4,
    "report": 5, "workdir": 5,
    "detector": 6, "search": 6, "pipeline": 6,
    "live": 7, "cost": 7, "studies": 7,
    "comparison": 8,
}  # fmt: skip
"""Floors of ddad_jax/engine: of its modules and packages, all of them."""


def modules(*folders: str) -> list[str]:
    paths = [p.relative_to(ROOT) for folder in folders for p in sorted((ROOT / folder).rglob("*.py"))]
    return [p.as_posix() for p in paths]


def tree(path: str) -> ast.Module:
    return ast.parse((ROOT / path).read_text("utf-8"))


@functools.cache
def imports(path: str) -> frozenset[str]:
    """Every imported module and every name imported from one, dotted, wherever in the file it stands."""
    return frozenset(_imports(path))


def _imports(path: str) -> Iterator[str]:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide the arrows"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def roots(path: str) -> set[str]:
    return {name.partition(".")[0] for name in imports(path)}


@functools.cache
def said(path: str) -> int | None:
    found = re.match(r"L(\d)\. ", ast.get_docstring(tree(path)) or "")
    return int(found[1]) if found else None


def layer(path: str) -> int | None:
    """Of a module by where it lies; None for a package's empty __init__."""
    if path.startswith("ddad_jax/engine/"):
        return ENGINE
    top, _, rest = path.partition("/")
    name = rest.split("/")[0].removesuffix(".py")
    return ABOVE.get(top, LAYERS.get(name, said(path)))


def layer_of_import(dotted: str) -> int | None:
    parts = dotted.split(".")
    if parts[0] in ABOVE:
        return ABOVE[parts[0]]
    if parts[0] != "ddad_jax" or len(parts) < 2:
        return None
    if parts[1] == "engine":
        return ENGINE
    if parts[1] in LAYERS:
        return LAYERS[parts[1]]
    own = f"ddad_jax/{parts[1]}.py"
    return said(own if (ROOT / own).exists() else "ddad_jax/__init__.py")  # a name of the package itself


LIBRARY, RIM = modules("ddad_jax"), modules("experiments", "launch")
ROOMY = [path for path in LIBRARY if path.startswith("ddad_jax/engine/")]
CORE = [path for path in LIBRARY if path not in ROOMY]
NOT_EMPTY = [path for path in CORE if (ROOT / path).read_text().strip()]


def test_the_walk_finds_the_house() -> None:
    assert {"ddad_jax/sweep.py", "ddad_jax/data/cans.py", "ddad_jax/metrics/ranking.py"} <= set(LIBRARY)
    assert "experiments/sweep.py" in RIM


@pytest.mark.parametrize("path", NOT_EMPTY)
def test_a_module_says_its_layer(path: str) -> None:
    assert said(path) is not None, "the docstring must begin with the layer, as in 'L3. ...'"
    assert said(path) == layer(path)


@pytest.mark.parametrize("path", LIBRARY + RIM)
def test_arrows_point_down_only(path: str) -> None:
    own = layer(path)
    up = {name for name in imports(path) if own is not None and (layer_of_import(name) or 0) > own}
    assert not up


BY_CONVENTION = {"main", "get_config"}
"""Of programs and of configs, which are asked for by this name."""


def test_a_name_is_one_thing() -> None:
    """A public class or function of a module is defined in one file, so that a search for its name finds it."""
    files: dict[str, set[str]] = {}
    for path in LIBRARY + RIM:
        for node in tree(path).body:
            if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and not node.name.startswith("_"):
                files.setdefault(node.name, set()).add(path)
    assert {name: sorted(paths) for name, paths in files.items() if len(paths) > 1 and name not in BY_CONVENTION} == {}


def test_the_package_begins_with_nothing_of_itself() -> None:
    """ddad_jax/__init__.py runs first, whatever is imported of it: L6, it may import the engine, once it is asked."""
    (guard,) = (node for node in tree("ddad_jax/__init__.py").body if isinstance(node, ast.If))
    assert ast.unparse(guard.test) == "TYPE_CHECKING" and not guard.orelse
    at_import = [
        node.module if isinstance(node, ast.ImportFrom) else node.names[0].name
        for node in tree("ddad_jax/__init__.py").body
        if isinstance(node, (ast.Import, ast.ImportFrom))
    ]
    assert not {name for name in at_import if str(name).partition(".")[0] not in sys.stdlib_module_names}
    assert layer("ddad_jax/__init__.py") == layer_of_import("ddad_jax.load") == ENGINE


def floor(dotted: str) -> int:
    """Of a module of the engine, dotted."""
    return ROOMS[dotted.split(".")[2]]


def test_every_room_of_the_engine_has_its_floor() -> None:
    named = {path.split("/")[2].removesuffix(".py") for path in ROOMY} - {"__init__"}
    assert named == set(ROOMS)


@pytest.mark.parametrize("path", [path for path in ROOMY if path != "ddad_jax/engine/__init__.py"])
def test_arrows_of_the_engine_point_down_only(path: str) -> None:
    own = floor(path.removesuffix(".py").replace("/", "."))
    up = {name for name in imports(path) if name.startswith("ddad_jax.engine.") and floor(name) > own}
    assert not up


def test_the_library_knows_nothing_of_its_entry_points() -> None:
    assert not {path for path in LIBRARY if roots(path) & {"experiments", "launch", "tests"}}


@pytest.mark.parametrize(
    ("packages", "allowed"),
    [
        ({"flax"}, r"ddad_jax/(\w*unet|student|conv_blocks|\w+_autoencoder|backbones/\w+)\.py"),
        ({"orbax"}, r"ddad_jax/checkpoint\.py"),
        ({"absl", "argparse"}, r"(experiments|launch)/.*|ddad_jax/engine/detector/run_exported\.py"),
        ({"ml_collections"}, r"(experiments|launch)/.*"),
        ({"torch"}, r"experiments/published/\w+\.py"),
        ({"torchvision", "tensorflow", "keras"}, r"nowhere"),
    ],
)
def test_a_package_stays_where_it_belongs(packages: set[str], allowed: str) -> None:
    users = {path for path in LIBRARY + RIM if roots(path) & packages}
    assert {path for path in users if not re.fullmatch(allowed, path)} == set()


def test_not_even_tests_need_torch_or_tensorflow() -> None:
    assert not {path for path in modules("tests") if roots(path) & {"torch", "torchvision", "tensorflow"}}


def test_the_sampler_takes_any_noise_predictor() -> None:
    for path in ("ddad_jax/sampler.py", "ddad_jax/conditioning.py"):
        assert not {name for name in imports(path) if "unet" in name or "backbones" in name}


def test_pickles_are_read_in_one_place_only() -> None:
    def unpickles(path: str) -> bool:
        nodes = list(ast.walk(tree(path)))
        names = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
        names |= {node.id for node in nodes if isinstance(node, ast.Name)}
        calls = [node for node in nodes if isinstance(node, ast.Call)]
        trusting = any(
            keyword.arg == "allow_pickle" and not (isinstance(keyword.value, ast.Constant) and not keyword.value.value)
            for call in calls
            for keyword in call.keywords
        )
        return trusting or "Unpickler" in names or bool(roots(path) & {"pickle", "joblib", "dill", "cloudpickle"})

    assert [path for path in LIBRARY + RIM if unpickles(path)] == ["ddad_jax/torch_file.py"]
    assert "pickle.load(" not in (ROOT / "ddad_jax/torch_file.py").read_text()
