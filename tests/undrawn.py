"""Figures are built but not drawn, where a test is about a run and not about its pictures: drawing them takes as long
as all the rest of a small run. Modules that claim something of what is drawn are marked ``drawn``."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ddad_jax.engine.figures import grid_figure, parts
from ddad_jax.engine.report import results


class Blank:
    """A canvas of 8 x 8 white pixels."""

    def __init__(self, figure: Figure) -> None:
        pass

    def draw(self) -> None:
        pass

    def buffer_rgba(self) -> np.ndarray:
        return np.full((8, 8, 4), 255, np.uint8)


def blank_grid(examples: Sequence[Any], path: Path) -> Path | None:
    """In place of the grid of examples, whose dozens of axes take longest to build."""
    return parts.save_figure(Figure(), path) if examples else None


def blank_figures(put: Callable[[Any, str, Any], None] = setattr) -> None:
    """Leave every figure blank; ``put``: ``monkeypatch.setattr``."""
    put(parts, "FigureCanvasAgg", Blank)
    put(results, "grid_figure", blank_grid)


def drawn_figures(put: Callable[[Any, str, Any], None]) -> None:
    """Draw them as a run does."""
    put(parts, "FigureCanvasAgg", FigureCanvasAgg)
    put(results, "grid_figure", grid_figure)


@pytest.fixture(scope="module", autouse=True)
def undrawn(request: pytest.FixtureRequest) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        if request.node.get_closest_marker("drawn") is None:
            blank_figures(patch.setattr)
        yield
