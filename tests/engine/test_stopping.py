"""A signal ends a program in order, a second one at once."""

import gc
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ddad_jax.engine import stopping


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_is_raised_with_the_status_of_a_shell(number: int, status: int) -> None:
    with pytest.raises(stopping.Stopped, match="The same command goes on") as stop, stopping.watched():
        os.kill(os.getpid(), number)
        time.sleep(5)
    assert stop.value.status == status


def test_where_it_is_deferred_the_step_at_hand_is_finished_and_a_line_says_so(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with stopping.watched(), stopping.deferred() as signalled:
        assert not signalled() and not capfd.readouterr().err
        os.kill(os.getpid(), signal.SIGTERM)
        assert signalled() == signal.SIGTERM
    assert capfd.readouterr().err == "stopping after this step; once more ends at once\n"


def test_a_signal_says_what_is_done_by_then() -> None:
    says = "epoch 3 is saved"
    with (
        pytest.raises(stopping.Stopped, match=f"{says}. The same command") as stop,
        stopping.watched(),
        stopping.saying(lambda: says),
    ):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)
    assert stop.value.status == 143


def test_what_ignores_a_signal_goes_on_ignoring_it() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with stopping.watched():
            os.kill(os.getpid(), signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_second_signal_ends_at_once() -> None:
    code = (
        "import os, time; from ddad_jax.engine import stopping\n"
        "with stopping.watched(), stopping.deferred():\n"
        "    os.kill(os.getpid(), 2); os.kill(os.getpid(), 15); time.sleep(30)"
    )
    root = Path(__file__).parents[2]
    ended = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, timeout=30)
    assert ended.returncode == 143
    first, last = ended.stderr.splitlines()
    assert "once more ends at once" in first and "goes on from what is done" in last


def test_what_has_to_be_whole_is_ended_and_then_the_signal_is_raised() -> None:
    done = []
    with pytest.raises(stopping.Stopped) as stop, stopping.watched(), stopping.uninterrupted():
        os.kill(os.getpid(), signal.SIGTERM)
        done.append(True)
    assert done and stop.value.status == 143
    with stopping.watched(), stopping.deferred() as signalled:
        with stopping.uninterrupted():
            os.kill(os.getpid(), signal.SIGINT)
        assert signalled() == signal.SIGINT


def test_a_signal_of_a_program_that_has_ended_stops_no_later_one() -> None:
    with stopping.watched(), stopping.deferred():
        os.kill(os.getpid(), signal.SIGINT)
    with stopping.deferred() as signalled:
        assert not signalled()


def test_a_signal_that_comes_while_garbage_is_collected_is_not_lost(capfd: pytest.CaptureFixture[str]) -> None:
    """Python drops what a callback of its collector raises; XLA has one."""
    struck: list[str] = []

    def strike(phase: str, info: dict[str, int]) -> None:
        if phase == "start" and not struck:
            struck.append(phase)
            os.kill(os.getpid(), signal.SIGINT)

    gc.callbacks.append(strike)
    try:
        with pytest.raises(stopping.Stopped), stopping.watched():
            gc.collect()
            until = time.monotonic() + 10
            while time.monotonic() < until:
                time.sleep(0.01)
    finally:
        gc.callbacks.remove(strike)
    assert struck and "Exception ignored" not in capfd.readouterr().err
