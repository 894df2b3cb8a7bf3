"""When a worker reads its neighbour's sockets."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from proxy.limits.counters import RECEIVED_DATAGRAMS, TURNS
from workers.neighbours import GATHERED, SINGLE, Neighbours, helps


def test_it_begins_where_datagrams_come_one_by_one_and_ends_where_they_gather() -> None:
    assert helps(False, 0, 0)
    assert helps(False, 100, 100 * SINGLE)
    assert not helps(False, 100, 100 * SINGLE + 1)
    assert helps(True, 100, 100 * GATHERED)
    assert not helps(True, 100, 100 * GATHERED + 1)


class Counted(dict[int, int]):
    """Counters as a dictionary."""

    def get(self, counter: int, _: Any = 0) -> int:  # type: ignore[override]
        return super().get(counter, 0)


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    yield ends
    for each in ends:
        each.close()


def test_epoll_tells_of_a_neighbours_datagram_only_while_it_is_watched(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = pair
    counters = Counted()
    turn: Any = SimpleNamespace(counters=counters, neighbours={}, lent=[], guard="guard")
    borrowed: Any = SimpleNamespace(fd=ours.fileno(), guard=None)
    with select.epoll() as poller:
        neighbours = Neighbours([borrowed], turn, poller)
        theirs.send(b"one")
        assert poller.poll(0) == []
        neighbours.attend(serves=True)
        assert [fd for fd, _ in poller.poll(0)] == [borrowed.fd]
        assert turn.neighbours == {borrowed.fd: borrowed}
        assert borrowed.guard == "guard"

        counters |= {TURNS: 10, RECEIVED_DATAGRAMS: 1_000}
        neighbours.attend(serves=True)
        assert poller.poll(0) == []
        assert turn.neighbours == {}

        neighbours.attend(serves=True)  # nothing came since
        assert turn.neighbours
        neighbours.attend(serves=False)
        assert turn.neighbours == {}
        assert poller.poll(0) == []
