"""The notebooks: each runs from top to bottom, shows pictures, defines nothing, and is the same as text and .ipynb."""

import ast
import base64
import importlib
import importlib.util
import inspect
import io
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
import running
import sync
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from PIL import Image

TEXTS = sync.texts()
PICTURES = {"quickstart": 5, "ablation": 5, "fast_sampling": 7, "your_own_pictures": 6, "tpu_pod": 1}
"""At least so many does each show."""
ADDRESS = tomllib.loads((running.ROOT / "pyproject.toml").read_text())["project"]["urls"]["Homepage"]
PROJECT = {"ddad_jax", "experiments", "launch"}
ALLOWED = PROJECT | {
    "jax", "numpy", "IPython", "google",  # what a cell may touch besides; google: Colab's own dialogues
    *sys.stdlib_module_names,
}  # fmt: skip

notebooks = pytest.mark.parametrize("text", TEXTS, ids=lambda path: path.stem)
run_of_each = pytest.mark.parametrize(
    # Each takes a kernel and half a minute: one is run always, the others on demand.
    "text", [pytest.param(path, marks=() if path.stem == "quickstart" else pytest.mark.slow) for path in TEXTS],
    ids=lambda path: path.stem,
)  # fmt: skip


def code_of(text: Path) -> ast.Module:
    return ast.parse(text.read_text("utf-8"))


def install_cell(text: Path) -> str:
    cells = sync.notebook(text.read_text("utf-8")).cells
    return next(cell.source for cell in cells if cell.cell_type == "code")


def failing(source: str, tmp_path: Path, env: dict[str, str]) -> str:
    """What is said of a notebook whose second cell is ``source``."""
    notebook = new_notebook(cells=[new_code_cell("fine = 1"), new_code_cell(source), new_code_cell("after = 2")])
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number:02d}"
    folder = tmp_path / "broken"
    folder.mkdir()
    with pytest.raises(AssertionError) as caught:
        running.executed(notebook, folder, env, seconds=20)
    return str(caught.value)


def test_there_are_five() -> None:
    assert {path.stem for path in TEXTS} == PICTURES.keys()


@run_of_each
def test_it_runs_from_top_to_bottom_and_shows_pictures(text: Path, tmp_path: Path, env: dict[str, str]) -> None:
    folder = tmp_path / "opened"
    folder.mkdir()
    shipped = nbformat.reads(text.with_suffix(".ipynb").read_text("utf-8"), as_version=4)
    done = running.executed(shipped, folder, env)
    drawn = [Image.open(io.BytesIO(base64.b64decode(png))) for png in running.pictures(done)]
    assert len(drawn) >= PICTURES[text.stem]
    # Blank ones, or ones that failed silently, would have a single colour.
    assert all(len(np.unique(np.asarray(picture.convert("L")))) > 8 for picture in drawn)
    assert not (folder / "checkout").exists(), "the project was fetched although it is there"


@notebooks
def test_text_and_ipynb_are_in_step_and_nothing_that_was_run_is_kept(text: Path) -> None:
    shipped = text.with_suffix(".ipynb").read_text("utf-8")
    assert shipped == sync.written(text.read_text("utf-8")), "python colab/sync.py writes the .ipynb anew"
    found = json.loads(shipped)
    nbformat.validate(found)
    assert len({cell["id"] for cell in found["cells"]}) == len(found["cells"])
    for cell in found["cells"]:
        assert not cell.get("outputs") and cell.get("execution_count") is None


@notebooks
def test_it_defines_nothing_of_its_own(text: Path) -> None:
    machinery = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
    assert not [node.lineno for node in ast.walk(code_of(text)) if isinstance(node, machinery)]


@notebooks
def test_it_imports_the_project_and_little_else(text: Path) -> None:
    found = set()
    for node in ast.walk(code_of(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(str(node.module).partition(".")[0])
    assert found <= ALLOWED
    assert "experiments" in found


@notebooks
def test_what_it_imports_and_calls_is_there(text: Path) -> None:
    """Every name that a cell takes from the project, and every keyword of a call of it."""
    taken: dict[str, Any] = {}
    for node in ast.walk(code_of(text)):
        if isinstance(node, ast.ImportFrom) and str(node.module).partition(".")[0] in PROJECT:
            for alias in node.names:
                taken[alias.asname or alias.name] = attribute(str(node.module), alias.name)
    assert taken
    for node in ast.walk(code_of(text)):
        if isinstance(node, ast.Call) and (called := reached(node.func, taken)) is not None:
            given = {word.arg: None for word in node.keywords if word.arg}
            inspect.signature(called).bind_partial(*[None for _ in node.args], **given)


def attribute(module: str, name: str) -> Any:
    """``name`` of a module, or the module of that name in a package."""
    found = importlib.import_module(module)
    return getattr(found, name) if hasattr(found, name) else importlib.import_module(f"{module}.{name}")


def reached(func: ast.expr, taken: dict[str, Any]) -> Any:
    """What ``name`` or ``name.attribute`` stands for, of the names that a notebook takes from the project."""
    if isinstance(func, ast.Attribute):
        owner = reached(func.value, taken)
        return None if owner is None else getattr(owner, func.attr)
    return taken.get(func.id) if isinstance(func, ast.Name) else None


@notebooks
def test_a_reader_is_told_what_is_seen(text: Path) -> None:
    cells = sync.notebook(text.read_text("utf-8")).cells
    assert cells[0].cell_type == "markdown" and "**What it takes.**" in cells[0].source
    assert "$" not in re.sub(r"\$\$.+?\$\$", "", "".join(c.source for c in cells if c.cell_type == "markdown"))
    for before, cell in zip(cells, cells[1:], strict=False):
        if cell.cell_type == "code" and "display(" in cell.source:
            assert before.cell_type == "markdown", f"{cell.id}: a figure without a word on it"


@notebooks
def test_badge_and_installation_name_the_project_s_address(text: Path) -> None:
    repository = ADDRESS.removeprefix("https://github.com/")
    opened = f"https://colab.research.google.com/github/{repository}/blob/main/colab/{text.stem}.ipynb"
    assert opened in sync.notebook(text.read_text("utf-8")).cells[0].source
    assert f'ADDRESS = "{ADDRESS}"' in install_cell(text)


@pytest.mark.parametrize(
    ("there", "extras"),
    [((), ["experiments"]), (("jax_cuda12_plugin",), ["experiments", "cuda"]), (("libtpu",), ["experiments", "tpu"])],
    ids=["cpu", "gpu", "tpu"],
)
def test_an_empty_machine_gets_what_the_programs_import(
    there: tuple[str, ...], extras: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what JAX needs for the device that is there. What each extra holds is looked at in test_packaging.py."""
    asked: list[list[str]] = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name if name in there else None)
    monkeypatch.setattr(subprocess, "run", lambda command, **_: asked.append(command))
    exec(install_cell(TEXTS[0]), {})  # noqa: S102, as a kernel does
    clone, install = asked
    assert clone[:2] == ["git", "clone"] and install[:4] == [sys.executable, "-m", "pip", "install"]
    assert install[-1] == f"./{clone[-1]}[{','.join(extras)}]"
    assert (
        set(extras)
        <= tomllib.loads((running.ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"].keys()
    )


def test_the_command_that_starts_a_tpu_is_the_one_that_was_rendered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And a shell reads it as it is meant, at the size that the tests of the whole notebook leave out."""
    cells = [cell.source for cell in sync.notebook((sync.FOLDER / "tpu_pod.py").read_text("utf-8")).cells]
    settings, printing = (next(c for c in cells if word in c) for word in ("TPU = ", "shlex.join"))
    (rendering,) = (c for c in cells if "launch.run $TPU" in c)
    monkeypatch.setattr(os, "environ", {"PATH": os.environ["PATH"]})
    exec(f"{settings}\n{printing}", {"os": os, "shlex": shlex})  # noqa: S102, as a kernel does
    said = capsys.readouterr().out
    read = subprocess.run(
        ["bash", "-c", f"printf '%s\\n' {said}"], capture_output=True, text=True, check=True, cwd=tmp_path
    ).stdout.splitlines()
    own, planned = read[: read.index("--")], read[read.index("--") + 1 :]
    assert own[-1] == "--execute" and "--config.sweep.w=(0.0,1.0,2.0,3.0,4.0,5.0,6.0)" in planned
    line = next(line for line in rendering.splitlines() if "launch.run" in line).partition(" > ")[0]
    env = {**os.environ, "OUT": "launch"}
    wanted = subprocess.run(
        ["bash", "-c", f"printf '%s\n' {line}"], capture_output=True, text=True, check=True, env=env, cwd=tmp_path
    ).stdout.splitlines()
    assert [word for word in read if word != "--execute"] == wanted


def test_all_install_alike() -> None:
    assert len({install_cell(text) for text in TEXTS}) == 1


@notebooks
def test_files_and_notebooks_that_it_names_are_there(text: Path) -> None:
    said = text.read_text("utf-8")
    for name in re.findall(r"colab/\w+\.ipynb|experiments/configs/\w+\.py", said):
        assert (running.ROOT / name).is_file(), name
    for module in re.findall(r"(?:python -m |`)((?:experiments|launch)\.\w+)", said):
        assert (running.ROOT / f"{module.replace('.', '/')}.py").is_file(), module


def test_a_failing_cell_fails_the_run_and_is_named(tmp_path: Path, env: dict[str, str]) -> None:
    said = failing("numbers = [1]\nnumbers[7]", tmp_path, env)
    assert "cell-01 (numbers = [1])" in said and "IndexError" in said


def test_a_failing_command_in_a_shell_cell_fails_the_run(tmp_path: Path, env: dict[str, str]) -> None:
    said = failing("%%bash\nset -e\ncd /\nfalse\necho behind it", tmp_path, env)
    assert "cell-01 (%%bash)" in said


@notebooks
def test_shell_cells_stop_at_the_first_failure(text: Path) -> None:
    for cell in sync.notebook(text.read_text("utf-8")).cells:
        if cell.source.startswith("%%bash"):
            assert cell.source.splitlines()[1] == "set -e"
        # An exclamation mark would pass over a failure.
        assert cell.cell_type == "markdown" or not re.search(r"^\s*[!%](?!%bash)", cell.source, re.MULTILINE)


def test_a_notebook_of_a_changed_text_differs() -> None:
    text = TEXTS[0].read_text("utf-8")
    assert sync.written(text) == sync.written(text)
    assert sync.written(text + "\n# %%\nmore = 1\n") != sync.written(text)
    assert [cell.cell_type for cell in sync.notebook("# %% [markdown]\n# words\n# %%\nx = 1\n").cells] == [
        new_markdown_cell().cell_type,
        new_code_cell().cell_type,
    ]
