"""What an inspection counts while it runs: frames, verdicts, losses, and latencies in a fixed amount of memory."""

import math
import threading
import time
from collections import deque
from typing import Any

import numpy as np

COUNTERS = ("arrived", "judged", "anomalous", "dropped", "bad", "unjudged", "unregistered", "losses")
"""arrived = judged + dropped + unjudged + those that wait; bad frames and losses of the source come on top."""


class Latencies:
    """Quantiles of any number of times, each right within 1 %.

    A histogram whose bins are a hundredth wider than the ones before them: bin k holds lowest * 1.01^k to
    lowest * 1.01^(k + 1), from 1 microsecond to beyond a day; what is outside counts in the first or last bin.
    """

    _LOWEST_MS, _GROWTH, _BINS = 1e-3, 1.01, 2600

    def __init__(self) -> None:
        self._bins = np.zeros(self._BINS, np.int64)
        self._most: float | None = None

    def add(self, ms: float) -> None:
        place = math.log(max(ms, self._LOWEST_MS) / self._LOWEST_MS) / math.log(self._GROWTH)
        self._bins[min(int(place), self._BINS - 1)] += 1
        self._most = ms if self._most is None else max(ms, self._most)

    def quantile(self, q: float) -> float | None:
        """Milliseconds that a share q in [0, 1] of the times does not exceed; None before the first."""
        if self._most is None:
            return None
        counted = np.cumsum(self._bins)
        place = int(np.searchsorted(counted, max(q * counted[-1], 1)))
        return min(self._LOWEST_MS * self._GROWTH ** (place + 0.5), self._most)

    def told(self) -> dict[str, float | None]:
        return {"p50": self.quantile(0.5), "p95": self.quantile(0.95), "max": self._most}


class Counts:
    """Of one inspection; written by the threads that capture and judge, read by any."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts = dict.fromkeys(COUNTERS, 0)
        self._latency, self._detector = Latencies(), Latencies()
        # Of the last verdicts alone: a rate that forgets.
        self._recent: deque[float] = deque(maxlen=64)
        self._first: float | None = None

    def add(self, **counted: int) -> None:
        """``add(arrived=1)`` and so on; ``COUNTERS`` has the names."""
        with self._lock:
            for name, more in counted.items():
                self._counts[name] += more
            if self._first is None and "arrived" in counted:
                self._first = time.monotonic()

    def __getitem__(self, name: str) -> int:
        return self._counts[name]

    def batch(self, detector_ms: float) -> None:
        """A batch took the detector this long."""
        with self._lock:
            self._detector.add(detector_ms)

    def verdict(self, latency_ms: float, *, anomalous: bool, registered: bool | None) -> None:
        """A frame was judged, ``latency_ms`` after it had arrived."""
        with self._lock:
            self._latency.add(latency_ms)
            self._recent.append(time.monotonic())
            self._counts["judged"] += 1
            self._counts["anomalous"] += anomalous
            self._counts["unregistered"] += registered is False

    def told(self) -> dict[str, Any]:
        """Counters, seconds and verdicts a second since the first frame, the rate of the last 10 s, latencies in ms."""
        with self._lock:
            now = time.monotonic()
            first = now if self._first is None else self._first
            last = self._recent[-1] if self._recent else first
            fresh = [at for at in self._recent if now - at <= 10]
            judged, spent = self._counts["judged"], last - first
            return {
                **self._counts,
                "seconds": round(now - first, 3),
                "frames_per_s": judged / spent if judged and spent > 0 else None,
                "frames_per_s_now": (len(fresh) - 1) / (fresh[-1] - fresh[0]) if _spread(fresh) else 0.0,
                "latency_ms": self._latency.told(),
                "detector_ms": self._detector.told(),
            }


def _spread(times: list[float]) -> bool:
    return len(times) > 1 and times[-1] > times[0]
