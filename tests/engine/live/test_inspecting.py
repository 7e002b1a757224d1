"""The loop: no frame without a line, whatever source, detector and record do, and nothing that hangs."""

import itertools
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from live_fakes import (
    FakeDetector,
    FakeSource,
    SilentSource,
    StuckSource,
    endless,
    events,
    frames,
    lines,
    picture,
    unplugged,
    verdicts,
)

from ddad_jax.engine.live import loop as inspecting
from ddad_jax.engine.live.capture import Wish
from ddad_jax.engine.live.counts import Counts
from ddad_jax.engine.live.loop import Limits, Verdict, inspect
from ddad_jax.engine.live.record import VerdictLog
from ddad_jax.errors import InputError
from ddad_jax.sources import Bad, Frame
from ddad_jax.sources.reconnecting import reconnecting


class Inspected:
    """One inspection by fakes: how it ended, its lines and its counts."""

    def __init__(self, folder: Path) -> None:
        self.log, self.counts, self.wish = VerdictLog(folder / "record.jsonl"), Counts(), Wish()
        self.waiting: list[int] = []
        self.shown: list[Verdict] = []

    def run(
        self,
        source: Any,
        detector: FakeDetector | None = None,
        *,
        show: Callable[[Verdict], None] | None = None,
        **limits: Any,
    ) -> str:
        detector = detector or FakeDetector()
        detector.warm()
        given = {"max_wait": 0.05, "capacity": 8, "drop": False, **limits}
        return inspect(
            source.frames(),
            source.close,
            detector,  # type: ignore[arg-type]
            Limits(**given),
            name="fake",
            log=self.log,
            counts=self.counts,
            shows=[show or self.shown.append],
            tick=self.waiting.append,
            wish=self.wish,
        )

    @property
    def rows(self) -> list[dict[str, Any]]:
        return lines(self.log.file)


@pytest.fixture
def inspected(tmp_path: Path) -> Iterator[Inspected]:
    threads = threading.active_count()
    made = Inspected(tmp_path)
    yield made
    made.log.close()
    assert threading.active_count() <= threads, "a thread was left behind"


def test_every_frame_has_its_verdict_in_order_and_padding_none(inspected: Inspected) -> None:
    detector = FakeDetector(4)
    assert inspected.run(FakeSource(frames(10, anomalous=(3, 9))), detector) == "end of source"
    assert verdicts(inspected.rows) == list(range(10))
    assert [row["frame"] for row in inspected.rows if row["verdict"] == "anomaly"] == [3, 9]
    assert sum(detector.calls) == 10 and [v.frame.index for v in inspected.shown] == list(range(10))
    assert inspected.counts["judged"] == inspected.counts["arrived"] == 10


def test_a_line_says_all_there_is_to_know(inspected: Inspected) -> None:
    inspected.run(FakeSource(frames(1, anomalous=(0,))), contours=True)
    (row,) = inspected.rows
    (region,) = row.pop("regions")
    assert row.pop("inspection") == inspected.log.inspection
    assert row.pop("latency_ms") >= 0 and row.pop("at").endswith("Z")
    assert row == {
        "frame": 0, "seconds": 0.0, "source": "fake", "verdict": "anomaly", "score": 1.0, "threshold": 0.5,
        "registered": None, "model": "fake",
    }  # fmt: skip
    assert region["box"] == [8, 6, 8, 6] and region["area"] == 48 and region["peak"] == 1.0
    assert len(region["contour"]) >= 4 and all(len(point) == 2 for point in region["contour"])


def test_regions_are_told_in_pixels_of_each_frame_whatever_its_size(inspected: Inspected) -> None:
    sizes = [(24, 32), (48, 64), (24, 32), (100, 30)]
    inspected.run(FakeSource(Frame(i, 0.0, picture(True, size)) for i, size in enumerate(sizes)))
    assert [row["regions"][0]["box"] for row in inspected.rows] == [[8, 6, 8, 6]] * 4
    assert "contour" not in inspected.rows[0]["regions"][0]


def test_small_regions_can_be_left_out(inspected: Inspected) -> None:
    inspected.run(FakeSource(frames(1, anomalous=(0,))), min_area=49.0)
    assert inspected.rows[0]["regions"] == [] and inspected.rows[0]["verdict"] == "anomaly"


def test_a_partial_batch_goes_after_max_wait_and_latency_counts_from_arrival(inspected: Inspected) -> None:
    detector, source = FakeDetector(4, seconds=0.02), SilentSource(frames(2))
    reason = inspected.run(source, detector, max_wait=0.1, seconds=1.5)
    assert (reason, detector.calls) == ("seconds", [2])
    assert all(100 <= row["latency_ms"] < 1400 for row in inspected.rows)


def test_bad_frames_are_skipped_counted_and_said(inspected: Inspected) -> None:
    items = [*frames(2), Bad(2, "cut short"), *frames(2, start=3), Bad(5, "grey")]
    inspected.run(FakeSource(items))
    assert verdicts(inspected.rows) == [0, 1, 3, 4] and inspected.counts["bad"] == 2
    assert [(e["frame"], e["reason"]) for e in events(inspected.rows, "bad frame")] == [(2, "cut short"), (5, "grey")]


@pytest.mark.parametrize("count", [1, 7, 40])
def test_a_queue_that_blocks_is_bounded_and_drops_nothing(inspected: Inspected, count: int) -> None:
    inspected.run(FakeSource(frames(count)), FakeDetector(4, seconds=0.002), capacity=5)
    assert verdicts(inspected.rows) == list(range(count)) and inspected.counts["dropped"] == 0
    assert max(inspected.waiting) <= 5


def test_a_queue_that_drops_is_bounded_and_each_frame_has_a_line(inspected: Inspected) -> None:
    source = FakeSource(frames(200), live=True, interval=0.001)
    inspected.run(source, FakeDetector(4, seconds=0.03), drop=True, capacity=6)
    judged, dropped = verdicts(inspected.rows), [e["frame"] for e in events(inspected.rows, "dropped")]
    assert sorted(judged + dropped) == list(range(200)) and len(dropped) == inspected.counts["dropped"] > 50
    assert judged == sorted(judged) and 199 in judged and max(inspected.waiting) <= 6


def test_it_ends_after_max_frames_with_all_of_them_judged(inspected: Inspected) -> None:
    assert inspected.run(FakeSource(endless()), max_frames=11) == "max_frames"
    assert verdicts(inspected.rows) == list(range(11))


def test_it_ends_after_seconds(inspected: Inspected) -> None:
    started = time.monotonic()
    assert inspected.run(FakeSource(endless(), interval=0.002), seconds=0.3) == "seconds"
    assert time.monotonic() - started < 5 and len(verdicts(inspected.rows)) == inspected.counts["arrived"] > 0


@pytest.mark.parametrize("drop", [True, False])
def test_a_stop_in_the_middle_loses_no_verdict(inspected: Inspected, drop: bool) -> None:
    def show(verdict: Verdict) -> None:
        if verdict.frame.index >= 20:
            inspected.wish.to_stop = "SIGTERM"

    source = FakeSource(endless(), interval=0.001)
    assert inspected.run(source, FakeDetector(4, seconds=0.01), show=show, drop=drop) == "SIGTERM"
    assert source.closed.is_set()
    lost = [e["frame"] for e in events(inspected.rows, "dropped")]
    every = sorted(verdicts(inspected.rows) + lost)
    assert every == list(range(inspected.counts["arrived"])) and (drop or not lost)
    assert inspected.counts["unjudged"] == 0


def test_a_camera_that_gives_nothing_more_can_be_stopped(inspected: Inspected) -> None:
    threading.Timer(0.2, lambda: setattr(inspected.wish, "to_stop", "SIGINT")).start()
    assert inspected.run(SilentSource(frames(3), live=True)) == "SIGINT"
    assert verdicts(inspected.rows) == [0, 1, 2]


def test_a_source_that_does_not_even_close_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspecting, "_GRACE_S", 0.2)
    inspected = Inspected(tmp_path)
    started = time.monotonic()
    assert inspected.run(StuckSource(frames(3), live=True), seconds=0.1) == "seconds"
    assert time.monotonic() - started < 5 and verdicts(inspected.rows) == [0, 1, 2]


def test_a_camera_pulled_out_three_times_loses_no_verdict(inspected: Inspected) -> None:
    attempts, heard = itertools.count(), []
    plugs = iter([unplugged(5), InputError("not there"), unplugged(3), unplugged(4), InputError("no"), frames(6)])

    def plug(start: int) -> FakeSource:
        next(attempts)
        items = next(plugs)
        if isinstance(items, InputError):
            raise items
        return FakeSource(iter(items), live=True)

    source = reconnecting(plug, retries=3, wait=0.0, on_event=lambda event: heard.append((event.kind, event.index)))
    assert inspected.run(source) == "end of source"
    assert verdicts(inspected.rows) == list(range(18))
    assert heard == [("lost", 5), ("back", 5), ("lost", 8), ("back", 8), ("lost", 12), ("back", 12)]
    assert next(attempts) == 6


def test_a_camera_that_does_not_come_back_ends_it_with_all_verdicts(inspected: Inspected) -> None:
    plugs = iter([unplugged(5)])

    def plug(start: int) -> FakeSource:
        try:
            return FakeSource(iter(next(plugs)), live=True)
        except StopIteration:
            raise InputError("no such camera") from None

    source = reconnecting(plug, retries=2, wait=0.0)
    with pytest.raises(InputError, match="did not come back.*after 2 attempts.*no such camera"):
        inspected.run(source)
    assert verdicts(inspected.rows) == list(range(5))


def test_a_stop_while_the_camera_is_away_is_heard(inspected: Inspected) -> None:
    source = reconnecting(lambda start: FakeSource(iter(unplugged(2)), live=True), retries=99, wait=30.0)
    threading.Timer(0.2, lambda: setattr(inspected.wish, "to_stop", "SIGTERM")).start()
    started = time.monotonic()
    assert inspected.run(source) == "SIGTERM"
    assert time.monotonic() - started < 10 and verdicts(inspected.rows) == [0, 1]


@pytest.mark.parametrize("items", [[], [Bad(0, "torn"), Bad(1, "torn")]])
def test_a_source_without_a_frame_is_an_error(inspected: Inspected, items: list[Bad]) -> None:
    with pytest.raises(InputError, match=r"--source=fake: gave no frame( that could be read \(2 could not\))?"):
        inspected.run(FakeSource(items))


def test_a_source_that_never_gives_a_frame_is_an_error_when_the_time_is_up(inspected: Inspected) -> None:
    with pytest.raises(InputError, match="gave no frame"):
        inspected.run(SilentSource([], live=True), seconds=0.1)


def test_an_error_of_the_source_comes_after_the_verdicts_of_what_arrived(inspected: Inspected) -> None:
    with pytest.raises(InputError, match="recording is truncated"):
        inspected.run(FakeSource([*frames(6), InputError("recording is truncated")]))
    assert verdicts(inspected.rows) == list(range(6))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_defect_in_the_source_is_raised_here_too(inspected: Inspected) -> None:
    with pytest.raises(ZeroDivisionError):
        inspected.run(FakeSource([*frames(3), ZeroDivisionError()]))
    assert verdicts(inspected.rows) == [0, 1, 2]


@pytest.mark.parametrize("drop", [True, False])
def test_a_detector_that_breaks_ends_it_and_every_frame_is_accounted_for(inspected: Inspected, drop: bool) -> None:
    source = FakeSource(endless(), interval=0.0005)
    with pytest.raises(RuntimeError, match="the detector broke"):
        inspected.run(source, FakeDetector(4, seconds=0.005, broken=lambda call: call == 3), drop=drop)
    judged = verdicts(inspected.rows)
    others = [e["frame"] for name in ("dropped", "unjudged") for e in events(inspected.rows, name)]
    assert len(judged) <= 8 and sorted(judged + others) == list(range(inspected.counts["arrived"]))
    assert inspected.counts["unjudged"] >= 1 and source.closed.is_set()


def test_what_cannot_be_shown_ends_it_with_the_verdicts_in_the_record(inspected: Inspected) -> None:
    def full(verdict: Verdict) -> None:
        raise InputError("--overlays=/full: no space left")

    with pytest.raises(InputError, match="no space left"):
        inspected.run(FakeSource(frames(4)), show=full)
    assert verdicts(inspected.rows) == [0, 1, 2, 3]


def test_a_record_that_fills_the_disk_ends_it(inspected: Inspected, monkeypatch: pytest.MonkeyPatch) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full on this system")
    with Path("/dev/full").open("ab") as full:
        monkeypatch.setattr(inspected.log, "_open", full)
        with pytest.raises(InputError, match="--out=.*No space left"):
            inspected.run(FakeSource(endless()))


def test_a_frame_is_not_kept_once_it_is_shown(inspected: Inspected) -> None:
    """Memory of one long run: 1,500 frames of 300 KB are 450 MB if anything holds on to them."""
    process = psutil.Process(os.getpid())

    def big() -> Iterator[Frame]:
        for i in range(1500):
            yield Frame(i, i / 25, np.full((320, 320, 3), i % 128, np.uint8))

    held: list[int] = []

    def show(verdict: Verdict) -> None:
        if verdict.frame.index % 100 == 0:
            held.append(process.memory_info().rss)

    inspected.run(FakeSource(big()), show=show)
    assert len(held) == 15 and max(held) - held[2] < 60e6


@pytest.mark.slow
def test_ten_thousand_frames_do_not_grow_the_memory(inspected: Inspected) -> None:
    process = psutil.Process(os.getpid())
    held: list[int] = []

    def show(verdict: Verdict) -> None:
        if verdict.frame.index % 500 == 0:
            held.append(process.memory_info().rss)

    items = (Frame(i, i / 25, picture(i % 10 == 0, (240, 320))) for i in range(10_000))
    inspected.run(FakeSource(items), show=show)
    assert inspected.counts["judged"] == 10_000 and verdicts(inspected.rows) == list(range(10_000))
    assert max(held[4:]) - held[3] < 16e6, [round(rss / 1e6) for rss in held]
