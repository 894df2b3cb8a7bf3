"""The sockets between nodes: real ones, with real strangers, forgers and silent peers."""

from __future__ import annotations

import resource
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
import zmq

from proxy.cluster.frames import Frame, encode
from proxy.cluster.messages import Kind
from proxy.cluster.wire import BEAT, DATA
from proxy.errors import SipherdError
from proxy.limits import bounds
from workers.clusterer.admission import Admission
from workers.clusterer.bus import MEND_MS, Bus
from workers.setting_types import Endpoint

GREETING = b"\xff" + bytes(8) + b"\x7f" + b"\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)
READY_BACK = b"READY\x0bSocket-Type"
READY = b"\x04\x1c\x05READY\x0bSocket-Type\x00\x00\x00\x06DEALER"


def free_port(host: str = "127.0.0.1") -> int:
    """A port whose next one is free as well."""
    for _ in range(50):
        with socket.socket() as first, socket.socket() as second:
            first.bind((host, 0))
            port = int(first.getsockname()[1])
            with suppress(OSError, OverflowError):
                second.bind((host, port + 1))
                return port
    raise AssertionError("no two ports in a row are free")


def frame(sender: int, text: bytes = b"x", hops: int = 0) -> bytes:
    return encode(Frame(Kind.DATA, 1, sender, 2, 5, 1, text, hops))


class Nodes:
    """Buses that know each other."""

    def __init__(self, secure: bool) -> None:
        pairs = [zmq.curve_keypair() for _ in range(3)]
        self.secret = {node: pair[1].decode() for node, pair in enumerate(pairs, 1)}
        self.public = {node: pair[0].decode() for node, pair in enumerate(pairs, 1)}
        self.secure = secure
        port = free_port()
        self.urls = {node: Endpoint(f"127.0.0.{node}", port) for node in (1, 2, 3)}
        self.opened: list[Bus] = []

    def open(self, node: int, secret: str | None = None) -> Bus:
        bus = Bus(node, self.urls[node], (secret or self.secret[node]) if self.secure else None)
        self.opened.append(bus)
        return bus

    def meet(self, bus: Bus, *others: int) -> None:
        keys = {node: self.public[node] for node in others} if self.secure else {}
        bus.set_peers({node: self.urls[node] for node in others}, keys)

    def pair(self) -> tuple[Bus, Bus]:
        one, two = self.open(1), self.open(2)
        self.meet(one, 2)
        self.meet(two, 1)
        assert deliver(one, two, 2, frame(1)) == frame(1)
        return one, two


def opened(secure: bool) -> Iterator[Nodes]:
    made = Nodes(secure)
    yield made
    for bus in made.opened:
        bus.close()


@pytest.fixture(params=["keys", "insecure"])
def nodes(request: pytest.FixtureRequest) -> Iterator[Nodes]:
    yield from opened(request.param == "keys")


@pytest.fixture
def plain() -> Iterator[Nodes]:
    yield from opened(secure=False)


@pytest.fixture
def secured() -> Iterator[Nodes]:
    yield from opened(secure=True)


def wait_for(check: Callable[[], object], *buses: Bus, timeout_s: float = 20.0) -> object:
    """The first true value of `check`, while the buses let people in."""
    deadline = time.monotonic() + timeout_s
    while not (value := check()):
        assert time.monotonic() < deadline
        for bus in buses:
            bus.admit(dict(bus.poller.poll(2)))
    return value


def take(bus: Bus) -> list[bytes]:
    """The frames that have come."""
    return bus.receive(100, dict(bus.poller.poll(0)))


def deliver(one: Bus, two: Bus, node: int, data: bytes, channel: int = DATA) -> bytes:
    """Send once there is a connection, and wait until it has arrived."""
    wait_for(lambda: one.send(node, channel, data), one, two)
    found: list[bytes] = []
    wait_for(lambda: found.extend(take(two)) or found, one, two)
    return found[0]


def test_frames_get_across(nodes: Nodes) -> None:
    one, two = nodes.pair()
    assert deliver(two, one, 1, frame(2, b"back")) == frame(2, b"back")
    assert deliver(one, two, 2, frame(1, b"beat"), BEAT) == frame(1, b"beat")
    assert one.tallies["sent"] >= 2
    assert two.tallies["received_bytes"] >= 2 * len(frame(1))
    assert not two.tallies["impostors"]


def test_a_relayed_frame_is_its_senders(nodes: Nodes) -> None:
    one, two = nodes.pair()
    assert deliver(one, two, 2, frame(3, hops=1)) == frame(3, hops=1)


def test_nobody_speaks_for_another(nodes: Nodes) -> None:
    one, two = nodes.pair()
    one.send(2, DATA, frame(3))
    wait_for(lambda: take(two) or two.tallies["impostors"], two)
    assert two.tallies["impostors"] == 1
    assert take(two) == []


def test_a_node_that_was_taken_off_the_list_is_nobody(nodes: Nodes) -> None:
    one, two = nodes.pair()
    nodes.meet(two)
    one.send(2, DATA, frame(1, b"late"))
    wait_for(lambda: take(two) or two.tallies["impostors"], two)
    nodes.meet(two, 1)
    assert deliver(one, two, 2, frame(1, b"again")) == frame(1, b"again")


def test_a_node_that_comes_back_takes_its_place(nodes: Nodes) -> None:
    one, two = nodes.pair()
    one.close()
    nodes.opened.remove(one)
    one = nodes.open(1)
    nodes.meet(one, 2)
    assert deliver(one, two, 2, frame(1, b"anew")) == frame(1, b"anew")


def test_a_wrong_key_is_refused(secured: Nodes) -> None:
    _, two = secured.pair()
    stranger = secured.open(3)  # has a key, and it is on nobody's list
    secured.meet(stranger, 2)
    wait_for(lambda: stranger.send(2, DATA, frame(1)) or two.tallies["refused_connections"], two)
    assert two.tallies["refused_connections"] >= 1
    assert two.take_refused()[0] == "127.0.0.3"
    assert take(two) == []


def test_a_node_is_not_deceived_about_its_peer(secured: Nodes) -> None:
    one, impostor = secured.open(1), secured.open(2, secret=secured.secret[3])
    secured.meet(one, 2)
    impostor.set_peers({1: secured.urls[1]}, {1: secured.public[1]})
    wait_for(lambda: impostor.tallies["refused_connections"], one, impostor)
    assert not one.send(2, DATA, frame(1))


def test_without_keys_an_unknown_address_is_refused(plain: Nodes) -> None:
    _, two = plain.pair()
    stranger = plain.open(3)
    plain.meet(stranger, 2)
    wait_for(lambda: stranger.send(2, DATA, frame(1)) or two.tallies["refused_connections"], two)
    assert take(two) == []


def test_who_was_refused_gets_in_when_the_list_has_it(nodes: Nodes) -> None:
    one, two = nodes.open(1), nodes.open(2)
    nodes.meet(one, 2)
    wait_for(lambda: one.send(2, DATA, frame(1)) or two.tallies["refused_connections"], one, two)
    nodes.meet(two, 1)
    one.send(2, DATA, frame(1))
    one.mend(0)
    one.mend(MEND_MS)
    assert deliver(one, two, 2, frame(1)) == frame(1)


def test_a_connection_that_was_given_up_is_mended(secured: Nodes) -> None:
    one, plain = secured.open(1), Bus(2, secured.urls[2], None)
    secured.meet(one, 2)
    wait_for(lambda: one.send(2, DATA, frame(1)) or plain.tallies["refused_connections"], plain)
    plain.close()
    two = secured.open(2)
    secured.meet(two, 1)
    one.send(2, DATA, frame(1))
    one.mend(0)
    one.mend(MEND_MS)
    assert deliver(one, two, 2, frame(1)) == frame(1)


def test_no_plaintext_where_there_are_keys(secured: Nodes) -> None:
    _, two = secured.pair()
    with intruder(secured, "127.0.0.1") as raw:
        raw.sendall(GREETING + READY)
        wait_for(lambda: two.tallies["refused_connections"], two)


def intruder(nodes: Nodes, host: str) -> socket.socket:
    raw = socket.socket()
    raw.bind((host, 0))
    raw.connect((nodes.urls[2].host, nodes.urls[2].port))
    raw.settimeout(20)
    return raw


def hear(raw: socket.socket, said: bytearray) -> None:
    with suppress(TimeoutError):
        said += raw.recv(4_096)


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        bytes(200),
        b"\xff" * 4_096,
        GREETING + b"\x04\xff" + b"x" * 255,
        GREETING + READY + b"\x02" + struct.pack(">Q", 2**62),
        GREETING + READY + b"\x02" + struct.pack(">Q", 2**32) + b"x" * 100_000,
        GREETING + READY + b"\x03" + struct.pack(">Q", 2**63 + 5),
        GREETING + READY + b"\x00\x05hello",
        GREETING + READY + b"\x01\x02hi" * 50 + b"\x00\x02hi",
        GREETING + READY + b"\x02" + struct.pack(">Q", bounds.FRAME_BYTES + 1) + b"x" * 70_000,
    ],
)
def test_bytes_of_an_intruder_change_nothing(plain: Nodes, data: bytes) -> None:
    one, two = plain.pair()
    with intruder(plain, "127.0.0.1") as raw:
        with suppress(OSError):
            raw.sendall(data)
        for _ in range(20):
            two.admit(dict(two.poller.poll(2)))
            assert take(two) == []
    assert deliver(one, two, 2, frame(1, b"as ever")) == frame(1, b"as ever")


def test_what_is_no_message_of_ours_is_counted(plain: Nodes) -> None:
    _, two = plain.pair()
    with intruder(plain, "127.0.0.1") as raw:
        raw.sendall(GREETING + READY)
        raw.settimeout(0.01)
        said = bytearray()
        wait_for(lambda: READY_BACK in said or hear(raw, said), two)
        raw.sendall(b"\x00\x05hello" + b"\x01\x02hi\x00\x02hi")
        wait_for(lambda: take(two) or two.tallies["bad_frames"] == 2, two)


def test_a_peer_that_does_not_read_costs_what_its_queue_holds(nodes: Nodes) -> None:
    one, two = nodes.pair()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    data = frame(1, bytes(bounds.BATCH_BYTES))
    for _ in range(5_000):  # 300 MB, if anybody kept them
        one.send(2, DATA, data)
    assert one.tallies["dropped_frames"] > 4_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 80_000
    assert take(two), "and it goes on where it was"


def test_nobody_there_costs_nothing(nodes: Nodes) -> None:
    one = nodes.open(1)
    nodes.meet(one, 2)
    assert not one.send(2, DATA, frame(1))
    assert not one.send(2, BEAT, frame(1))
    assert not one.send(9, DATA, frame(1))
    assert (one.tallies["dropped_frames"], one.tallies["dropped_beats"]) == (2, 1)


def test_an_address_that_is_taken_is_a_sentence(plain: Nodes) -> None:
    plain.open(1)
    with pytest.raises(SipherdError, match="cannot be used: Address already in use"):
        Bus(7, plain.urls[1], None)


@pytest.mark.parametrize(
    "request_",
    [
        [],
        [b""],
        [b"id", b"", b"2.0", b"1", b"", b"127.0.0.1", b"", b"NULL"],
        [b"id", b"", b"1.0", b"1", b"", b"127.0.0.1"],
        [b"id", b"1.0", b"1"],
    ],
)
def test_requests_that_are_none(request_: list[bytes]) -> None:
    admission = Admission(secure=False)
    admission.set_peers({2: Endpoint("127.0.0.1", 1)}, {})
    assert admission.answer(request_) == ([], "")


def test_a_key_of_another_size_is_no_key() -> None:
    admission = Admission(secure=True)
    admission.set_peers({2: Endpoint("127.0.0.1", 1)}, {2: "x" * 40})
    for mechanism, credentials in ((b"CURVE", b"x" * 31), (b"PLAIN", b"x" * 32), (b"NULL", b"")):
        asked = [b"id", b"", b"1.0", b"1", b"", b"127.0.0.1", b"", mechanism, credentials]
        reply, refused = admission.answer(asked)
        assert reply[4] == b"400"
        assert refused == "127.0.0.1"
