"""Whole inspections by fakes, from their flags on; where and with what their programs run."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from live_fakes import FakeDetector, FakeSource

from ddad_jax.engine.live import session as inspection
from ddad_jax.engine.live.asked import InspectOptions
from ddad_jax.engine.live.session import run_inspection

ROOT = Path(__file__).parents[1]
# With a setting of its memory given, a program does not start itself again for another one.
ENVIRONMENT = {**os.environ, "GLIBC_TUNABLES": ""}
Run = Callable[..., dict[str, Any]]


@pytest.fixture
def inspect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """``run_inspection`` with fakes: ``items`` for the source, or what opens it; everything else as flags."""

    def inspected(items: Any, detector: FakeDetector | None = None, **flags: Any) -> dict[str, Any]:
        def opened(spec: str, *, fps: float | None = None, depth: bool = True, start: int = 0) -> FakeSource:
            return items(start) if callable(items) else FakeSource(iter(items))

        monkeypatch.setattr(inspection, "open_source", opened)
        fake = detector or FakeDetector(flags.get("batch", 4))
        given: dict[str, Any] = {"model": tmp_path / "run", "source": "fake", "max_wait": 0.05, **flags}
        return run_inspection(InspectOptions(**given), open_detector=lambda workdir, batch: fake)  # type: ignore[arg-type, return-value]

    return inspected
