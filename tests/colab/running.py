"""Notebooks run as a person would run them: a kernel of this Python, cell by cell, in a folder of their own."""

import json
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import nbformat
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

ROOT = Path(__file__).parents[2]
COLAB = ROOT / "colab"
SECONDS = 180
"""A cell may take."""
NOWHERE = "http://127.0.0.1:9"
"""Nothing answers there: what wants the network fails at once."""


def environment(compiled: str) -> dict[str, str]:
    """Of a kernel: the small setting, this checkout, no network, and programs that are compiled once for all.

    compiled: folder of compiled programs.
    """
    return {
        "DDAD_SMALL": "1",
        "PYTHONPATH": str(ROOT),
        "JAX_COMPILATION_CACHE_DIR": compiled,
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), NOWHERE),
        "PIP_NO_INDEX": "1",
        "PIP_NO_INPUT": "1",
        "GIT_TERMINAL_PROMPT": "0",
    }


def executed(notebook: NotebookNode, folder: Path, env: Mapping[str, str], *, seconds: int = SECONDS) -> NotebookNode:
    """The notebook with what its cells printed and drew.

    Args:
      folder: where it runs; empty. env: set on top of this process's own.

    Raises:
      AssertionError: a cell failed, took too long, or took the kernel with it; it names the cell.
    """
    with tempfile.TemporaryDirectory(prefix="ddad-") as sockets:
        return _executed(notebook, folder, env, seconds, Path(sockets))


def _executed(
    notebook: NotebookNode, folder: Path, env: Mapping[str, str], seconds: int, sockets: Path
) -> NotebookNode:
    # What a kernel writes while it dies must not meet the end of the folder it writes into: pytest removes this one.
    home = folder.parent / "kernel"
    spec = home / "specs" / "here"
    spec.mkdir(parents=True)
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}", "--HistoryManager.enabled=False"]
    own = {**env, "IPYTHONDIR": str(home), "MPLCONFIGDIR": str(home)}
    spec.joinpath("kernel.json").write_text(
        json.dumps({"argv": argv, "display_name": "here", "language": "python", "env": own})
    )
    manager = AsyncKernelManager(
        kernel_name="here",
        kernel_spec_manager=KernelSpecManager(kernel_dirs=[str(spec.parent)]),
        connection_file=str(sockets / "at.json"),
        # Sockets in files: no port is taken. Their paths must be short, so it is no folder of pytest's.
        transport="ipc",
    )
    found = nbformat.from_dict(notebook)
    client = NotebookClient(found, timeout=seconds, km=manager, resources={"metadata": {"path": str(folder)}})
    try:
        # A kernel of a manager that is given would live on, with all that it holds, until this process ends.
        client.execute(cwd=str(folder), env={**os.environ}, cleanup_kc=True)
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        last = max((cell.get("execution_count") or 0 for cell in found.cells if cell.cell_type == "code"), default=0)
        raise AssertionError(f"{_named(found, last)} failed: {error}") from error
    return found


def _named(notebook: NotebookNode, count: int) -> str:
    """The cell that was run as the ``count``-th, or the first that never ended."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    broken = [cell for cell in code if any(output.output_type == "error" for output in cell.outputs)]
    cell = (broken or [cell for cell in code if cell.get("execution_count") in (None, count)] or code)[0]
    return f"cell {cell.id} ({cell.source.splitlines()[0]})"


def pictures(notebook: NotebookNode) -> list[str]:
    """The PNGs that the cells drew, base64."""
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    return [output.data["image/png"] for output in outputs if "image/png" in output.get("data", {})]


def printed(notebook: NotebookNode) -> str:
    """What the cells wrote."""
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    return "".join(output.text for output in outputs if output.output_type == "stream")
