"""What a socket sends: every datagram once and whole, those of a call in their order."""

from __future__ import annotations

import os
import random
import socket
import time
from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from proxy.limits import counters as ids
from proxy.shm.inbox import Inbox
from proxy.shm.shards import Shards
from proxy.shm.slots import ProcessSlots
from proxy.sip.address import Address, address_of
from proxy.sip.scanner import hash_call_id
from proxy.transaction.layer import Transaction

if TYPE_CHECKING:
    from workers.datagrams import DatagramSocket
    from workers.handoff import Handoff

pytestmark = pytest.mark.compiled

Outgoing = tuple[bytes, Address, int, Transaction | None]
PEERS = 3
HOUR_NS = 3_600_000_000_000


def datagram(call: int, number: int, size: int) -> bytes:
    """The `number`-th message of a call, `size` bytes or as many as it needs."""
    head = b"SIP/2.0 200 OK\r\nCall-ID: %d@host\r\nCSeq: %d OPTIONS\r\n\r\n" % (call, number)
    return head.ljust(size, b"x")


def call_and_number(data: bytes) -> tuple[int, int]:
    """What `datagram` was made of."""
    lines = data.split(b"\r\n")
    return int(lines[1][9:].partition(b"@")[0]), int(lines[2].split()[1])


@pytest.fixture
def ours() -> Iterator[DatagramSocket]:
    from workers.datagrams import DatagramSocket

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.setblocking(False)
        yield DatagramSocket(sock.fileno(), 0)


@pytest.fixture
def peers() -> Iterator[list[socket.socket]]:
    made = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(PEERS)]
    for peer in made:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        peer.bind(("127.0.0.1", 0))
        peer.settimeout(20)
    yield made
    for peer in made:
        peer.close()


def to(peer: socket.socket) -> Address:
    return address_of(b"127.0.0.1", peer.getsockname()[1])


def arrived(peer: socket.socket, count: int) -> list[bytes]:
    return [peer.recv(65536) for _ in range(count)]


@pytest.mark.parametrize("segmenting", [True, False])
@pytest.mark.parametrize("count", [1, 2, 3, 40, 256, 257, 600])
def test_each_arrives_whole_and_each_calls_in_order(
    ours: DatagramSocket, peers: list[socket.socket], segmenting: bool, count: int
) -> None:
    ours.segmenting = segmenting
    chance = random.Random(count)
    numbers: dict[int, int] = defaultdict(int)
    outbox: list[Outgoing] = []
    expected: dict[Address, list[bytes]] = {to(peer): [] for peer in peers}
    for _ in range(count):
        call = chance.randrange(1 + count // 3)
        numbers[call] += 1
        data = datagram(call, numbers[call], chance.choice([100, 100, 100, 101, 300, 1400, 1500]))
        address = to(chance.choice(peers))
        expected[address].append(data)
        outbox.append((data, address, 0, None))
    failed: list[Outgoing] = []
    ours.send(outbox, failed)
    assert failed == []
    for peer in peers:
        found = arrived(peer, len(expected[to(peer)]))
        assert sorted(found) == sorted(expected[to(peer)])
        last: dict[int, int] = defaultdict(int)
        for call, number in map(call_and_number, found):
            assert last[call] < number
            last[call] = number


def test_what_is_no_message_arrives_as_well(
    ours: DatagramSocket, peers: list[socket.socket]
) -> None:
    """A STUN answer has no Call-ID; an empty datagram no length that a run could end with."""
    sent = [b"\x01\x01stun", b"four", b"", b"five!", b"four"]
    ours.send([(data, to(peers[0]), 0, None) for data in sent], [])
    assert sorted(arrived(peers[0], len(sent))) == sorted(sent)


def test_what_the_kernel_refuses_is_told_and_the_rest_arrives(
    ours: DatagramSocket, peers: list[socket.socket]
) -> None:
    nowhere = address_of(b"127.0.0.1", 0)
    good: list[Outgoing] = [(datagram(n, 1, 200), to(peers[0]), 0, None) for n in range(20)]
    bad: Outgoing = (datagram(99, 1, 200), nowhere, 0, None)
    failed: list[Outgoing] = []
    ours.send([*good[:10], bad, *good[10:]], failed)
    assert failed == [bad]
    assert sorted(arrived(peers[0], 20)) == sorted(entry[0] for entry in good)


def test_sizes_that_alternate_leave_in_runs(
    ours: DatagramSocket, peers: list[socket.socket]
) -> None:
    """All of one size first: what a peer sees of the sorting."""
    sizes = [300, 200] * 8
    outbox: list[Outgoing] = [
        (datagram(n, 1, size), to(peers[0]), 0, None) for n, size in enumerate(sizes)
    ]
    ours.send(outbox, [])
    assert [len(data) for data in arrived(peers[0], 16)] == [300] * 8 + [200] * 8


@pytest.fixture
def inboxes() -> list[Inbox]:
    return [Inbox.create(None, 65536) for _ in range(2)]


@pytest.fixture
def handoff(inboxes: list[Inbox]) -> Handoff:
    """Worker 0 of two; the other one's eventfd is never written to, as it does not sleep."""
    from workers.handoff import Handoff

    counters = ProcessSlots.create(None, 1, ids.COUNT).counters(0)
    shards = Shards.create(None, 2)
    return Handoff(0, shards, list(inboxes), [-1, -1], counters)


def of_the_other(start: bytes) -> bytes:
    """A message whose Call-ID belongs to worker 1."""
    number = next(n for n in range(1000) if hash_call_id(b"%d" % n) & 1)
    return start + b" SIP/2.0\r\nCall-ID: %d\r\n\r\n" % number


def received(
    ours: DatagramSocket, handoff: Handoff, inboxes: list[Inbox]
) -> tuple[list[bytes], list[bytes]]:
    """What one `receive` leaves here, and what goes to the other worker."""
    batch: list[tuple[int, bytes, int, bytes]] = []
    ours.receive(handoff, 0, 0, batch)
    there = inboxes[1].pop(1000)
    return [entry[3] for entry in batch], [entry[3] for entry in there]


def port_of(ours: DatagramSocket) -> tuple[str, int]:
    with socket.socket(fileno=os.dup(ours.fd)) as sock:
        name: tuple[str, int] = sock.getsockname()
    return name


def test_what_stands_alone_stays(
    ours: DatagramSocket, peers: list[socket.socket], handoff: Handoff, inboxes: list[Inbox]
) -> None:
    register, invite = of_the_other(b"REGISTER sip:a"), of_the_other(b"INVITE sip:b@a")
    for data in (register, invite):
        peers[0].sendto(data, port_of(ours))
    assert received(ours, handoff, inboxes) == ([register], [invite])


def test_a_backlog_spreads(
    ours: DatagramSocket, peers: list[socket.socket], handoff: Handoff, inboxes: list[Inbox]
) -> None:
    register = of_the_other(b"REGISTER sip:a")
    for _ in range(4 * 64):
        peers[0].sendto(register, port_of(ours))
    found = [received(ours, handoff, inboxes) for _ in range(5)]
    assert [(len(here), len(there)) for here, there in found] == [
        (64, 0),
        (64, 0),
        (0, 64),
        (0, 64),
        (0, 0),
    ]


def test_what_needs_state_after_all_is_handed_over(
    ours: DatagramSocket, peers: list[socket.socket], handoff: Handoff, inboxes: list[Inbox]
) -> None:
    sockaddr = to(peers[0]).sockaddr
    register = of_the_other(b"REGISTER sip:a")
    assert handoff.hand_over(3, sockaddr, register)
    assert inboxes[1].pop(9) == [(3, sockaddr, 0, register)]
    own = next(n for n in range(1000) if not hash_call_id(b"%d" % n) & 1)
    assert not handoff.hand_over(3, sockaddr, b"REGISTER a\r\nCall-ID: %d\r\n\r\n" % own)


def test_what_waits_can_be_thrown_away(
    ours: DatagramSocket, peers: list[socket.socket], handoff: Handoff
) -> None:
    with socket.socket(fileno=os.dup(ours.fd)) as same:
        address = same.getsockname()
    for number in range(100):
        peers[0].sendto(datagram(1, number, 200), address)
    assert ours.discard() == 100
    assert ours.discard() == 0
    peers[0].sendto(datagram(1, 100, 200), address)
    batch: list[tuple[int, bytes, int, bytes]] = []
    assert ours.receive(handoff, 0, 0, batch) == 1


def test_how_long_the_oldest_has_waited(
    ours: DatagramSocket, peers: list[socket.socket], handoff: Handoff, inboxes: list[Inbox]
) -> None:
    batch: list[tuple[int, bytes, int, bytes]] = []
    ours.receive(handoff, time.time_ns(), HOUR_NS, batch)
    assert ours.waited_ns == 0
    before_ns = time.time_ns()
    for number in range(3):
        peers[0].sendto(b"REGISTER %d" % number, port_of(ours))
    after_ns = time.time_ns()
    later_ns = after_ns + 7_000_000_000
    assert ours.receive(handoff, later_ns, HOUR_NS, batch) == 3
    assert later_ns - after_ns <= ours.waited_ns <= later_ns - before_ns
    assert {received_ns for _, _, received_ns, _ in batch} == {later_ns - ours.waited_ns}


def test_a_clock_that_was_set_is_not_believed(
    ours: DatagramSocket, peers: list[socket.socket], handoff: Handoff
) -> None:
    for now_ns, waited_ns in ((time.time_ns() + HOUR_NS, 5_000), (time.time_ns() - HOUR_NS, 0)):
        peers[0].sendto(b"REGISTER", port_of(ours))
        ours.receive(handoff, now_ns, 5_000, [])
        assert ours.waited_ns == waited_ns


def test_the_time_of_receipt_goes_along(
    ours: DatagramSocket, peers: list[socket.socket], handoff: Handoff, inboxes: list[Inbox]
) -> None:
    peers[0].sendto(of_the_other(b"INVITE sip:b@a"), port_of(ours))
    now_ns = time.time_ns() + 3_000_000
    ours.receive(handoff, now_ns, HOUR_NS, [])
    assert [entry[2] for entry in inboxes[1].pop(9)] == [now_ns - ours.waited_ns]
    assert ours.waited_ns >= 3_000_000
