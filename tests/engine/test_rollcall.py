"""Whoever comes learns whether all came, and if not, who did not."""

import socket
import threading
import time
from collections.abc import Callable

import processes
import pytest

from ddad_jax.engine.hosts import roll_call
from ddad_jax.errors import InputError


def called(*calls: Callable[[], None]) -> list[str]:
    """What each call, all at the same time, raises: an InputError's text, "" where it returns."""
    said = [""] * len(calls)

    def one(i: int) -> None:
        try:
            calls[i]()
        except InputError as error:
            said[i] = str(error)

    threads = [threading.Thread(target=one, args=(i,), daemon=True) for i in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
        assert not thread.is_alive()
    return said


@pytest.fixture
def address() -> str:
    return f"127.0.0.1:{processes.free_port()}"


def test_all_come_in_any_order_and_the_port_is_free_again(address: str) -> None:
    def late() -> None:
        time.sleep(0.3)
        roll_call(address, 3, 0, 20)

    early = [lambda rank=rank: roll_call(address, 3, rank, 20) for rank in (2, 1)]
    assert called(*early, late) == ["", "", ""]
    with socket.create_server(("", int(address.rpartition(":")[2]))):
        pass


def test_a_process_alone_waits_for_nobody(address: str) -> None:
    roll_call(address, 1, 0, 0.1)


def test_all_who_came_are_told_who_did_not(address: str) -> None:
    came = called(*(lambda rank=rank: roll_call(address, 5, rank, 0.6) for rank in (0, 3, 1)))
    assert len(set(came)) == 1
    assert f"--coordinator={address}: process 2, 4 of 5 did not arrive within --host_timeout_s=0.6" in came[0]


def test_without_process_0_nobody_answers(address: str) -> None:
    (said,) = called(lambda: roll_call(address, 2, 1, 0.3))
    assert "process 0, the coordinator, did not answer" in said


def test_all_are_told_of_a_number_given_twice(address: str) -> None:
    came = called(*(lambda rank=rank: roll_call(address, 3, rank, 20) for rank in (0, 1, 1)))
    assert all("--process_id=1: two processes have it" in said for said in came)


def test_all_are_told_of_another_count(address: str) -> None:
    came = called(lambda: roll_call(address, 3, 0, 20), lambda: roll_call(address, 2, 1, 20))
    assert all("--num_processes=2 on process 1, 3 on process 0" in said for said in came)


def test_a_taken_port_is_named(address: str) -> None:
    with socket.create_server(("", int(address.rpartition(":")[2]))):
        (said,) = called(lambda: roll_call(address, 2, 0, 1))
    assert address in said and "cannot listen" in said and "another port" in said


@pytest.mark.parametrize("says", [b"\x00\x00\x12\x04\x00\xff\xfe", b"HTTP/1.0 400\r\n", b"ddad " + b"x" * 9000])
def test_what_else_listens_at_the_address_is_named(address: str, says: bytes) -> None:
    with socket.create_server(("127.0.0.1", int(address.rpartition(":")[2]))) as stranger:

        def answer() -> None:
            caller, _ = stranger.accept()
            caller.sendall(says)  # and the connection stays open, as that of a server does
            answered.append(caller)

        answered: list[socket.socket] = []
        said = called(lambda: roll_call(address, 2, 1, 20), answer)[0]
        answered.pop().close()
    assert said.startswith(f"--coordinator={address}: something else listens there") and "another port" in said


def test_a_stranger_is_not_counted(address: str) -> None:
    def stranger() -> None:
        while True:
            try:
                with socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2])), timeout=1) as to_first:
                    to_first.sendall(b"GET / HTTP/1.0\r\n")
                    return
            except ConnectionError:
                time.sleep(0.05)

    assert "process 1 of 2" in called(lambda: roll_call(address, 2, 0, 1.0), stranger)[0]
