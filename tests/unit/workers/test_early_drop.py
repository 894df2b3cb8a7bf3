"""Socket filters in a real kernel: they drop what the shedder would have dropped, nothing else."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from proxy.limits import measures
from proxy.limits.counters import SHED_UNREAD
from proxy.limits.overload import REFRESH, OverloadRules, Shedder, draw
from proxy.shm.slots import ProcessSlots
from workers.early_drop import EarlyDrop, attach, detach, program

SALT = 0xC0FFEE42
HALF = 32_768


def request(method: bytes, number: int, size: int = 400) -> bytes:
    head = b"%b sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK%d\r\n" % (
        method,
        number,
    )
    return head.ljust(size, b"x")


@pytest.fixture
def ours() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        sock.bind(("127.0.0.1", 0))
        sock.setblocking(False)
        yield sock


def passed(ours: socket.socket, sent: list[bytes]) -> list[bytes]:
    """What arrives of what is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        for data in sent:
            peer.sendto(data, ours.getsockname())
    found = []
    while True:
        try:
            found.append(ours.recv(65_536))
        except BlockingIOError:
            return found


def test_the_kernel_draws_as_the_shedder_does(ours: socket.socket) -> None:
    sent = [request(b"REGISTER", number, 256 + number % 200) for number in range(400)]
    attach(ours.fileno(), program(SALT, HALF))
    found = passed(ours, sent)
    assert found == [data for data in sent if draw(data, SALT) >> 16 >= HALF]
    assert 100 < len(found) < 300
    attach(ours.fileno(), program(SALT, 65_536))
    assert passed(ours, sent) == []
    detach(ours.fileno())
    detach(ours.fileno())
    assert passed(ours, sent) == sent


def test_all_else_comes_through(ours: socket.socket) -> None:
    methods = (b"INVITE", b"OPTIONS", b"BYE", b"ACK", b"CANCEL", b"REGIS", b"REGISTRY", b"register")
    sent = [request(method, 1) for method in methods]
    sent += [b"SIP/2.0 200 OK\r\n".ljust(400), b"", b"\r\n", b"R", b"\0" * 400]
    sent += [request(b"REGISTER", number, 255) for number in range(20)]  # short ones
    attach(ours.fileno(), program(SALT, 65_536))
    assert passed(ours, sent) == sent


class Counting:
    """A socket of a worker, which knows its drops; of the kernel's count the test has no need."""

    def __init__(self, sock: socket.socket) -> None:
        self.fd = sock.fileno()
        self.dropped = 0

    def drops(self) -> int:
        return self.dropped


@pytest.fixture
def shedder() -> Shedder:
    return Shedder(OverloadRules(answers=1.0), SALT)


def press(shedder: Shedder) -> None:
    """So much that refreshes go, most of them without an answer."""
    for number in range(100):
        shedder.verdict(REFRESH, 0)
        shedder.observe(1.0, 1.0, 1.0 + number * 0.05)
    assert shedder.threshold(REFRESH) * shedder.silent > HALF


def test_filters_come_with_the_pressure_and_go_with_it(
    ours: socket.socket, shedder: Shedder
) -> None:
    sent = [request(b"REGISTER", number) for number in range(50)]
    attach(ours.fileno(), program(SALT, 65_536))  # left behind by somebody who was killed
    counting = Counting(ours)
    counters = ProcessSlots.create(None, 1, measures.COLUMNS).counters(0)
    early = EarlyDrop(shedder, lambda: [counting], counters)  # type: ignore[list-item]
    assert passed(ours, sent) == sent
    early.follow(100.0)
    assert passed(ours, sent) == sent
    counting.dropped = 7  # of another time
    press(shedder)
    early.follow(100.05)  # too soon
    assert passed(ours, sent) == sent
    early.follow(100.2)
    below = int(shedder.threshold(REFRESH) * shedder.silent)
    assert passed(ours, sent) == [data for data in sent if draw(data, SALT) >> 16 >= below]
    counting.dropped += 50
    early.follow(100.3)
    assert counters.get(SHED_UNREAD) == shedder.turned_away == 50
    counting.dropped += 5
    early.calm()
    assert passed(ours, sent) == sent
    assert counters.get(SHED_UNREAD) == 55
    counting.dropped += 5  # not ours: the buffer was full
    early.calm()
    assert counters.get(SHED_UNREAD) == 55


def test_no_descriptor_is_taken_away(ours: socket.socket, shedder: Shedder) -> None:
    counters = ProcessSlots.create(None, 1, measures.COLUMNS).counters(0)
    early = EarlyDrop(shedder, lambda: [Counting(ours)], counters)  # type: ignore[list-item]
    del early
    assert os.fstat(ours.fileno())
