"""The documents say what is there: the README's example runs, and every path, flag and setting they name exists."""

import ast
import importlib
import re
import runpy
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from ddad_jax.backbones import BACKBONES
from ddad_jax.engine.methods.table import METHODS
from ddad_jax.solvers import SOLVERS
from experiments.config import base, comparison, engine_settings

ROOT = Path(__file__).parent.parent
DOCUMENTS = (
    "README.md", "CONTRIBUTING.md", "CHANGELOG.md",
    *sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md") if "_build" not in path.parts),
)  # fmt: skip
OWN = r"(?:ddad_jax|experiments|tests|launch|colab|docs)"
OTHERS = {"logdir", "location", "member", "role", "flag"}
"""Flags of programs that are not ours, and one that stands for any."""
BASES = [base(method) for method in METHODS]
COMPARISON = comparison({}, {})
SECTIONS = "|".join({name: None for c in BASES for name, value in c.items() if isinstance(value, ConfigDict)})


def text(document: str) -> str:
    return (ROOT / document).read_text()


def found(pattern: str, document: str) -> list[str]:
    return sorted(set(re.findall(pattern, text(document))))


def has_setting(dotted: str) -> bool:
    """Whether some method's settings have it; a comparison's begin with the word settings."""

    def within(at: Any) -> bool:
        for name in dotted.removeprefix("settings.").split("."):
            if not isinstance(at, ConfigDict) or name not in at:
                return False
            at = at[name]
        return True

    return any(map(within, (*BASES, COMPARISON)))


def source_of(dotted: str) -> Path | None:
    """The file of a module of this repository, or the folder of a package."""
    path = ROOT.joinpath(*dotted.split("."))
    return next((p for p in (path.with_suffix(".py"), path) if p.exists()), None)


def is_there(dotted: str) -> bool:
    """A module of this repository, or a name in one. Programs are read, not imported: several of them have a flag of
    the same name, which one process can define only once."""
    if source_of(dotted):
        return True
    module, name = dotted.rsplit(".", 1)
    path = source_of(module)
    if path is None:
        return False
    body = ast.parse((path / "__init__.py" if path.is_dir() else path).read_text()).body
    named = {target.id for node in body if isinstance(node, ast.Assign) for target in node.targets
             if isinstance(target, ast.Name)}  # fmt: skip
    named |= {node.name for node in body if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    return name in named or hasattr(importlib.import_module(module), name)


def flags_of(path: Path) -> set[str]:
    """Names of the absl flags that a module defines."""
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    return {
        call.args[0].value
        for call in calls
        if isinstance(call.func, ast.Attribute) and call.func.attr.startswith("DEFINE_")
        if call.args and isinstance(call.args[0], ast.Constant) and isinstance(call.args[0].value, str)
    }


def flags_of_targets() -> set[str]:
    """Names of the flags that launch.run makes of the settings of its targets."""
    found = set()
    for path in (ROOT / "launch/targets").glob("*.py"):
        classes = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.ClassDef)]
        for settings in (node for node in classes if node.name.endswith("Settings")):
            fields = {node.target.id for node in settings.body
                      if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)}  # fmt: skip
            found |= fields | {f"{path.stem}_{field}" for field in fields}
    return found


EVERYWHERE = {"help"} | flags_of(ROOT / "experiments/entry.py")


def example() -> str:
    """The first one; the second judges with a finished run, which tests/test_packaging.py does from the wheel."""
    of_arrays, of_a_run = re.findall(r"```python\n(.*?)```", text("README.md"), re.DOTALL)
    assert "ddad_jax.load" in of_a_run
    return of_arrays


@pytest.fixture
def quick_compilation() -> Iterator[None]:
    """Programs that run once are done sooner when they are not optimised."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.mark.usefixtures("quick_compilation")
def test_the_library_example_runs(tmp_path: Path) -> None:
    code = example()
    # The same lines, smaller: a network of one level at 32 px.
    for old, new in {"cans(64,": "cans(32,", "UNet(64,": "UNet(32,", "(1, 2, 4)": "(1,)"}.items():
        assert code.count(old) == 1, old
        code = code.replace(old, new)
    (tmp_path / "example.py").write_text(code)
    d_p = np.asarray(runpy.run_path(str(tmp_path / "example.py"))["d_p"])
    assert d_p.shape == (6, 32, 32)
    assert np.isfinite(d_p).all() and d_p.min() >= 0 and d_p.max() > 0


def test_the_library_example_is_ten_statements() -> None:
    assert len(ast.parse(example()).body) == 10


@pytest.mark.parametrize("document", DOCUMENTS)
def test_paths(document: str) -> None:
    named = found(rf"(?<![\w./]){OWN}(?:/[\w.-]+)+(?<![.-])", document)
    named += found(r"`((?:[\w-]+\.(?:md|toml|txt)|Makefile|LICENSE))`", document)
    # NAME stands for the reader's own file.
    missing = [path for path in named if "NAME" not in path and "_build" not in path and not (ROOT / path).exists()]
    assert not missing


@pytest.mark.parametrize("document", DOCUMENTS)
def test_config_flags_and_settings(document: str) -> None:
    named = found(r"--config\.([a-z_.]+[a-z_])", document)
    named += found(rf"`((?:{SECTIONS})\.[a-z_]+)[=`]", document)
    missing = [name for name in named if not has_setting(name)]
    assert not missing


@pytest.mark.parametrize("document", DOCUMENTS)
def test_configs_load(document: str) -> None:
    for named in found(r"experiments/configs/(\w+\.py(?::[\w,]+)?)", document):
        name, _, argument = named.partition(":")
        module = importlib.import_module(f"experiments.configs.{name.removesuffix('.py')}")
        config = module.get_config(*([argument] if argument else []))
        config.data.root = config.data.root or "."
        engine_settings(config)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_other_flags(document: str) -> None:
    programs = [*(ROOT / "experiments").glob("*.py"), *(ROOT / "launch").glob("*.py")]
    of_scripts = (re.findall(r"^ *--([a-z_]+)=\*\)", path.read_text(), re.M) for path in (ROOT / "launch").glob("*.sh"))
    defined = OTHERS.union(EVERYWHERE, flags_of_targets(), *(flags_of(path) for path in programs), *of_scripts)
    named = found(r"(?<![\w-])--([a-z_]+)(?=[= `\n])", document)
    missing = [name for name in named if name not in defined]
    assert not missing


@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_command_has_the_flags_of_its_program(document: str) -> None:
    # What is launched stands behind --, on a command line of its own.
    commands = re.findall(r"(?:-m|--) ((?:experiments|launch)\.\w+)((?:(?! -- )[^`\n]|\\\n)*)", text(document))
    for program, rest in commands:
        path = source_of(program)
        assert path is not None, program
        named = set(re.findall(r"(?<![\w-])--(?:no)?([a-z_]+)(?=[= \n\\]|$)", rest)) - {"config"}
        own = flags_of(path) | EVERYWHERE | (flags_of_targets() if program == "launch.run" else set())
        assert named <= own, (program, named - own)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_modules_and_names(document: str) -> None:
    named = found(rf"(?:`|-m ){OWN}\.[\w.]+", document)
    missing = [name for name in (n.removeprefix("-m ").strip("`") for n in named) if not is_there(name)]
    assert not missing


@pytest.mark.parametrize("document", DOCUMENTS)
def test_make_targets_and_extras(document: str) -> None:
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    blocks = re.findall(r"```bash\n(.*?)```", text(document), re.DOTALL) + found(r"`(make [\w-]+)`", document)
    named = re.findall(r"^(?:\w+=\S+ )?make ([\w-]+)", "\n".join(blocks), re.MULTILINE)
    missing = [name for name in named if name not in targets]
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    asked = [name for names in found(r"'\.\[([\w,]+)\]'", document) for name in names.split(",")]
    missing += [name for name in asked if name not in extras]
    assert not missing


def test_every_solver_and_backbone_is_named() -> None:
    assert not [name for name in (*SOLVERS, *BACKBONES) if f"`{name}`" not in text("README.md")]


def test_files_a_run_leaves() -> None:
    code = "".join(p.read_text() for p in (ROOT / "ddad_jax" / "engine").rglob("*.py"))
    table = text("README.md").split("| file | what |")[1].split("\n\n")[0]
    named = re.findall(r"`([\w.]+)/?`", "".join(row.split("|")[1] for row in table.splitlines()[2:]))
    missing = [name for name in named if f'"{name}"' not in code]
    assert named and not missing


def test_selected_columns_exist() -> None:
    code = (ROOT / "ddad_jax" / "engine" / "sweep" / "judge.py").read_text()
    named = found(r"`(published_\w+)`", "README.md")
    assert named and all(f'"{name}"' in code for name in named)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_no_path_of_a_machine(document: str) -> None:
    assert not found(r"(?<![\w.])/(?:work|tmp|home|root|Users)/[\w/]*", document)


def test_the_licence_is_apache() -> None:
    licence = text("LICENSE")
    assert "Apache License" in licence and "Version 2.0, January 2004" in licence
    assert "END OF TERMS AND CONDITIONS" in licence and len(licence.splitlines()) > 200
