"""What an inspection tells its terminal: a line while it runs, a summary at the end."""

import sys
import time
from typing import Any

from ddad_jax.engine.live.counts import Counts


def summary_text(summary: dict[str, Any]) -> str:
    """The summary for people, three lines."""

    def ms(times: dict[str, float | None]) -> str:
        return ", ".join(f"{name} {'–' if value is None else f'{value:.1f}'}" for name, value in times.items())

    counted = ", ".join(
        f"{summary[name]} {word}"
        for name, word in {
            "anomalous": "anomalous", "dropped": "dropped", "bad": "bad", "unjudged": "unjudged",
            "unregistered": "not registered", "losses": "losses of the source",
        }.items()
    )  # fmt: skip
    rate = f"{summary['frames_per_s']:.2f} frames/s" if summary["frames_per_s"] else "no rate"
    return (
        f"ended ({summary['reason']}): {summary['judged']} of {summary['arrived']} frames judged, {counted}\n"
        f"{rate} in batches of {summary['batch']}; latency in ms: {ms(summary['latency_ms'])}; "
        f"detector in ms a batch: {ms(summary['detector_ms'])}\n"
        f"record: {summary['record']}"
    )


class InspectProgress:
    """A line on standard error: rewritten every second on a terminal, a new one every ten seconds elsewhere."""

    def __init__(self, counts: Counts) -> None:
        self._counts, self._terminal = counts, sys.stderr.isatty()
        self._every = 1.0 if self._terminal else 10.0
        self._next: float | None = None
        self._open = False

    def tick(self, waiting: int) -> None:
        now = time.monotonic()
        if self._next is None:
            self._next = now + self._every
        if now < self._next:
            return
        self._next = now + self._every
        t = self._counts.told()
        p95 = t["latency_ms"]["p95"]
        said = (
            f"{t['judged']} judged ({t['frames_per_s_now']:.1f}/s), {t['anomalous']} anomalous, {waiting} waiting, "
            f"{t['dropped']} dropped, {t['bad']} bad, {t['losses']} losses, p95 {'–' if p95 is None else round(p95)} ms"
        )
        # ESC [K clears what a longer line left behind.
        print(
            f"\r{said}\x1b[K" if self._terminal else said,
            file=sys.stderr,
            end="" if self._terminal else "\n",
            flush=True,
        )
        self._open = self._terminal

    def end(self) -> None:
        if self._open:
            print(file=sys.stderr)
            self._open = False
