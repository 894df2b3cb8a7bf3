"""The sockets between nodes: one ROUTER for all who send to us, one DEALER per node we send to.

Both exist twice, for data and for beats, so that no snapshot stands in the way of a sign of life.
Nothing here waits: what a socket does not take at once is dropped and counted, and whoever lacks it
asks again (docs/replication.md).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Mapping
from typing import Final, NamedTuple

import zmq

from proxy.cluster.frames import HEADER_BYTES
from proxy.cluster.wire import BEAT, DATA
from proxy.errors import SipherdError
from proxy.limits import bounds
from workers.clusterer import admission
from workers.clusterer.admission import Admission
from workers.clusterer.keys import public_key
from workers.setting_types import Endpoint

CHANNELS: Final = (BEAT, DATA)  # in the order in which they are read
# Messages that wait for a peer, or from one. Of data as many as may be under way and some that
# answer; a beat that waits is of no use when the next one is made.
QUEUED: Final = {DATA: 64, BEAT: 4}
RECONNECT_MS: Final = 100
RECONNECT_MOST_MS: Final = 200  # a node that comes back is wanted at once
# A broken link is tried again so often. TCP by itself waits twice as long each time, up to minutes,
# and the nodes would not know that the link is well again.
CONNECT_MS: Final = 1_000
UNACKNOWLEDGED_MS: Final = 3_000  # what TCP gets no word about: the connection is dead
HANDSHAKE_MS: Final = 3_000  # a connection that has not said who it is by then is closed
KEEPALIVE: Final = (10, 3, 3)  # seconds idle, seconds between, how many
BACKLOG: Final = 128
GOODBYE_MS: Final = 200
REFUSED_KEPT: Final = 16
MEND_MS: Final = 2_000
UNSEEN: Final = -1
WATCHED: Final = (
    zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
)

Socket = zmq.Socket[bytes]


class Peer(NamedTuple):
    """Where a node listens, and its public key (None: it has none)."""

    url: Endpoint
    key: str | None


def url_of(endpoint: Endpoint, channel: int) -> str:
    """Where a node takes data, or beats: those on the next port."""
    return f"tcp://{Endpoint(endpoint.host, endpoint.port + channel)}"


class Bus:
    """All connections of this node."""

    def __init__(self, node: int, bind: Endpoint, secret_key: str | None) -> None:
        self.node = node
        self.bind = bind
        self.tallies: Counter[str] = Counter()
        self._refused: list[str] = []
        self._secret = secret_key
        self._public = public_key(secret_key) if secret_key is not None else ""
        self._peers: dict[int, Peer] = {}
        self._dealers: dict[tuple[int, int], Socket] = {}
        self._failing: dict[tuple[int, int], int] = {}  # since when, once mend() has seen it
        self._admission = Admission(secret_key is not None)
        self.poller = zmq.Poller()
        self._context = zmq.Context(io_threads=1)
        self._zap = self._context.socket(zmq.ROUTER)
        self._zap.linger = 0
        self._zap.bind(admission.ENDPOINT)
        self.poller.register(self._zap, zmq.POLLIN)
        self._routers: dict[int, Socket] = {}
        self._monitors: list[Socket] = []
        try:
            for channel in CHANNELS:
                self._open_router(channel)
        except zmq.ZMQError as error:
            self._context.destroy(linger=0)
            raise SipherdError(
                f"[cluster] bind {url_of(bind, DATA)} and the port behind it cannot be used: "
                f"{error.strerror}."
            ) from None

    # -- sockets -----------------------------------------------------------------------------------

    def _open_router(self, channel: int) -> None:
        socket = self._context.socket(zmq.ROUTER)
        self._routers[channel] = socket
        _set_up(socket, receives=QUEUED[DATA], sends=1)
        socket.setsockopt(zmq.ROUTER_HANDOVER, 1)  # a node that comes back takes its place again
        socket.setsockopt(zmq.BACKLOG, BACKLOG)
        socket.setsockopt_string(zmq.ZAP_DOMAIN, admission.DOMAIN)
        if self._secret is not None:
            socket.curve_server = True
            socket.curve_secretkey = self._secret.encode()
        monitor = socket.get_monitor_socket(WATCHED)
        self._monitors.append(monitor)
        self.poller.register(monitor, zmq.POLLIN)
        socket.bind(url_of(self.bind, channel))
        self.poller.register(socket, zmq.POLLIN)

    def _open_dealer(self, peer: Peer, channel: int) -> Socket:
        socket = self._context.socket(zmq.DEALER)
        _set_up(socket, receives=1, sends=QUEUED[channel])
        socket.setsockopt(zmq.ROUTING_ID, str(self.node).encode())
        socket.setsockopt(zmq.IMMEDIATE, 1)  # nothing gathers for a node that is not there
        socket.setsockopt(zmq.RECONNECT_IVL, RECONNECT_MS)
        socket.setsockopt(zmq.RECONNECT_IVL_MAX, RECONNECT_MOST_MS)
        socket.setsockopt(zmq.CONNECT_TIMEOUT, CONNECT_MS)
        if self._secret is not None and peer.key is not None:
            socket.curve_serverkey = peer.key.encode()
            socket.curve_publickey = self._public.encode()
            socket.curve_secretkey = self._secret.encode()
        source = Endpoint(self.bind.host, 0)
        socket.connect(f"tcp://{source};{url_of(peer.url, channel).removeprefix('tcp://')}")
        return socket

    def set_peers(self, urls: Mapping[int, Endpoint], keys: Mapping[int, str]) -> None:
        """Connect to the nodes of a list, and to no others."""
        wanted = {
            node: Peer(url, keys.get(node))
            for node, url in urls.items()
            if self._secret is None or node in keys
        }
        self._admission.set_peers(urls, keys)
        for node in [n for n, peer in self._peers.items() if wanted.get(n) != peer]:
            for channel in CHANNELS:
                self._dealers.pop((node, channel)).close(linger=0)
        for node, peer in wanted.items():
            if self._peers.get(node) != peer:
                for channel in CHANNELS:
                    self._dealers[node, channel] = self._open_dealer(peer, channel)
        self._peers = wanted

    def mend(self, now: int) -> None:
        """Connect anew where nothing could be sent for a while.

        ZeroMQ gives a connection up for good when it was refused, or the other side breaks its
        protocol as one without keys does; and somebody may put that right over there.
        """
        for way, since in list(self._failing.items()):
            node, channel = way
            if node not in self._peers:
                del self._failing[way]
            elif since == UNSEEN:
                self._failing[way] = now
            elif now - since >= MEND_MS:
                del self._failing[way]
                self._dealers.pop(way).close(linger=0)
                self._dealers[way] = self._open_dealer(self._peers[node], channel)

    def close(self) -> None:
        """Give what was sent last a moment to leave, and let go of everything."""
        for monitor in self._monitors:
            monitor.close(linger=0)
        for socket in self._routers.values():
            socket.close(linger=0)
        for socket in self._dealers.values():
            socket.close(linger=GOODBYE_MS)
        self._zap.close(linger=0)
        self._context.term()

    # -- frames ------------------------------------------------------------------------------------

    def send(self, node: int, channel: int, frame: bytes) -> bool:
        """Hand a frame over; False when it was dropped: no connection, or its queue is full."""
        way = node, channel
        socket = self._dealers.get(way)
        try:
            if socket is None:
                raise zmq.Again
            socket.send(frame, zmq.NOBLOCK)
        except zmq.Again:
            self.tallies["dropped_beats" if channel == BEAT else "dropped_frames"] += 1
            self._failing.setdefault(way, UNSEEN)
            return False
        if self._failing:
            self._failing.pop(way, None)
        self.tallies["sent"] += 1
        self.tallies["sent_bytes"] += len(frame)
        return True

    def receive(self, limit: int, ready: Container[object]) -> list[bytes]:
        """Frames that have come, beats first; at most `limit` of each channel that is ready."""
        found: list[bytes] = []
        for channel in CHANNELS:
            socket = self._routers[channel]
            if socket not in ready:
                continue
            for _ in range(limit):
                if not int(socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN:
                    break  # cheaper to ask than to be refused
                try:
                    parts = socket.recv_multipart(zmq.NOBLOCK, copy=False)
                except zmq.Again:
                    break
                self._take(parts, found)
        return found

    def _take(self, parts: list[zmq.Frame], found: list[bytes]) -> None:
        frame = parts[-1].bytes
        self.tallies["received"] += 1
        self.tallies["received_bytes"] += len(frame)
        if len(parts) != 2 or len(frame) < HEADER_BYTES:
            self.tallies["bad_frames"] += 1
            return
        speaks_for = self._admission.nodes_of(_user_of(parts[-1]))
        sender, hops = frame[8] | frame[9] << 8, frame[12]
        # What another node relays is its sender's; that one spoke for itself when it was taken.
        if not speaks_for or (not hops and sender not in speaks_for):
            self.tallies["impostors"] += 1
            return
        found.append(frame)

    # -- who is let in -----------------------------------------------------------------------------

    def admit(self, ready: Container[object]) -> None:
        """Answer who asks to be let in; count who is not."""
        while self._zap in ready and (request := _next(self._zap)):
            reply, refused = self._admission.answer(request)
            if reply:
                self._zap.send_multipart(reply, zmq.NOBLOCK)
            if refused and len(self._refused) < REFUSED_KEPT:
                self._refused.append(refused)
        for monitor in self._monitors:
            while monitor in ready and _next(monitor):
                self.tallies["refused_connections"] += 1

    def take_refused(self) -> list[str]:
        """The addresses of those who were not let in since this was asked last, for the log."""
        refused, self._refused = self._refused, []
        return refused


def _next(socket: Socket) -> list[bytes]:
    """The next message, or [] when there is none."""
    try:
        return socket.recv_multipart(zmq.NOBLOCK)
    except zmq.Again:
        return []


def _user_of(part: zmq.Frame) -> bytes:
    """The name under which the sender of a message was let in."""
    user = part.get("User-Id")
    return user.encode() if isinstance(user, str) else b""


def _set_up(socket: Socket, receives: int, sends: int) -> None:
    """What all sockets have in common."""
    idle, between, count = KEEPALIVE
    for option, value in (
        (zmq.IPV6, 1),
        (zmq.LINGER, 0),
        (zmq.RCVHWM, receives),
        (zmq.SNDHWM, sends),
        (zmq.MAXMSGSIZE, bounds.FRAME_BYTES),
        (zmq.HANDSHAKE_IVL, HANDSHAKE_MS),
        (zmq.TCP_MAXRT, UNACKNOWLEDGED_MS),
        (zmq.TCP_KEEPALIVE, 1),
        (zmq.TCP_KEEPALIVE_IDLE, idle),
        (zmq.TCP_KEEPALIVE_INTVL, between),
        (zmq.TCP_KEEPALIVE_CNT, count),
    ):
        socket.setsockopt(option, value)
