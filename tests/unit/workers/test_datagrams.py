"""What a socket sends: every datagram once and whole, those of a call in their order."""

import random
import socket
from collections import defaultdict
from collections.abc import Iterator

import pytest

from proxy.sip.address import Address, address_of
from proxy.transaction.layer import Transaction
from workers.datagrams import DatagramSocket

Outgoing = tuple[bytes, Address, int, Transaction | None]
PEERS = 3


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
        peer.settimeout(5)
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
