"""L8. The notebooks as .ipynb, made from the texts: ``python colab/sync.py`` after every change of a .py beside it.

The same text gives the same bytes: cells are numbered instead of drawn at random, and nothing that was run is kept.
"""

import json
from pathlib import Path

import jupytext
from nbformat import NotebookNode

FOLDER = Path(__file__).parent
METADATA = {
    # What Colab selects when a notebook is opened; a CPU or TPU chosen there instead does as well.
    "accelerator": "GPU",
    "colab": {"gpuType": "T4", "provenance": []},
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def texts() -> list[Path]:
    """The notebooks, as text."""
    return sorted(path for path in FOLDER.glob("*.py") if path != Path(__file__))


def notebook(text: str) -> NotebookNode:
    """A text in jupytext's percent format as a notebook without outputs, its cells numbered."""
    found = jupytext.reads(text, fmt="py:percent")
    found.update(nbformat=4, nbformat_minor=5, metadata=METADATA)
    for number, cell in enumerate(found.cells):
        # Of jupytext's own bookkeeping nothing is of use to a reader.
        cell.update(id=f"cell-{number:02d}", metadata={})
        if cell.cell_type == "code":
            cell.update(execution_count=None, outputs=[])
    return found


def written(text: str) -> str:
    """The content of the .ipynb."""
    return json.dumps(notebook(text), indent=1, ensure_ascii=False, sort_keys=True) + "\n"


if __name__ == "__main__":
    for path in texts():
        path.with_suffix(".ipynb").write_text(written(path.read_text("utf-8")), "utf-8")
        print(path.with_suffix(".ipynb").name)
