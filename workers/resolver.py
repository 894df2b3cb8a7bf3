"""DNS for a worker that may not wait: RFC 3263 searches over c-ares, driven by the worker's epoll.

Nothing here blocks, and every callback runs in the caller. c-ares says which sockets it wants
watched (`fds` or `on_socket`); the worker calls `process` when one is ready and `expire` when
`timeout` is over.
"""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pycares

from proxy.errors import ConfigError
from proxy.routing.dns_cache import Answer, DnsCache, Naptr, Query, Srv
from proxy.routing.locate import Located, NextHop, Search, literal, locate

DNS_PORT = 53
UNKNOWN_TTL = 60  # c-ares does not tell the TTL of every kind of record
NO_SOCKET = -1
_TYPES = {
    "A": pycares.QUERY_TYPE_A,
    "AAAA": pycares.QUERY_TYPE_AAAA,
    "SRV": pycares.QUERY_TYPE_SRV,
    "NAPTR": pycares.QUERY_TYPE_NAPTR,
}
_NO_RECORDS = (pycares.errno.ARES_ENODATA, pycares.errno.ARES_ENOTFOUND)

Callback = Callable[[Located], object]
SocketWatcher = Callable[[int, bool, bool], object]


class _Running:
    """One search under way, whoever waits for it, and the answers its next step needs."""

    __slots__ = ("answers", "callbacks", "deadline", "hop", "missing", "search")

    def __init__(self, hop: NextHop, search: Search, deadline: float) -> None:
        self.hop = hop
        self.search = search
        self.deadline = deadline
        self.callbacks: list[Callback] = []
        self.answers: list[Answer] = []
        self.missing = 0


class Resolver:
    """Searches for next hops; every callback is called exactly once, with what was found."""

    def __init__(
        self,
        nameservers: Iterable[str] = (),
        *,
        timeout: float = 1.0,
        tries: int = 2,
        deadline: float | None = None,
        outstanding: int = 256,
        families: Sequence[int] = (4,),
        on_socket: SocketWatcher | None = None,
        hosts_file: str | None = "/etc/hosts",
        clock: Callable[[], float] = time.monotonic,
        uniform: Callable[[], float] = random.random,
        cache: DnsCache | None = None,
    ) -> None:
        self._servers, self._port = parse_nameservers(nameservers)
        self._timeout = timeout
        self._tries = tries
        self._deadline = 5 * timeout if deadline is None else deadline
        self._limit = outstanding
        self._families = tuple(families)
        self._on_socket = on_socket
        self._hosts = read_hosts(hosts_file) if hosts_file else {}
        self._clock = clock
        self._uniform = uniform
        self._cache = DnsCache() if cache is None else cache
        self._channel: Any = None
        self._closed = False
        self._fds: dict[int, tuple[bool, bool]] = {}
        self.running: dict[NextHop, _Running] = {}
        self.waiting: dict[Query, list[tuple[_Running, int]]] = {}
        self._arrived: deque[tuple[Query, Any, int | None]] = deque()
        self.queries = 0
        self.failures = 0
        self.refused = 0

    @property
    def outstanding(self) -> int:
        """Questions asked and not yet answered."""
        return len(self.waiting)

    def fds(self) -> dict[int, tuple[bool, bool]]:
        """The sockets to watch: descriptor -> (for reading, for writing)."""
        return dict(self._fds)

    def resolve(self, host: bytes, port: int, transport: bytes, callback: Callback) -> None:
        """Search for a next hop; known answers call back before this returns."""
        address = literal(host, port)
        if address is not None:
            callback(Located((address,)))
            return
        hop = NextHop(host.lower(), port, transport)
        listed = self._hosts.get(hop.host)
        if listed:
            found = tuple(a for a in (literal(text, port) for text in listed) if a is not None)
            callback(Located(found))
            return
        running = self.running.get(hop)
        if running is not None:
            running.callbacks.append(callback)
            return
        if self._closed or len(self.waiting) >= self._limit:
            self.refused += 1
            callback(Located((), "too many DNS questions are open"))
            return
        search = locate(hop, self._uniform, self._families)
        running = _Running(hop, search, self._clock() + self._deadline)
        running.callbacks.append(callback)
        self.running[hop] = running
        self._step(running, None)
        self._deliver()

    def process(self, fd: int, readable: bool, writable: bool) -> None:
        """Let c-ares read or write one of its sockets."""
        if self._channel is not None and fd in self._fds:
            self._channel.process_fd(fd if readable else NO_SOCKET, fd if writable else NO_SOCKET)
            self._deliver()

    def timeout(self) -> float | None:
        """Seconds until `expire` wants to be called; None when nothing is open."""
        if not self.running:
            # Late answers may still come: c-ares keeps its own time for those.
            return self._channel.timeout() if self.waiting else None
        oldest = next(iter(self.running.values()))
        left = max(0.0, oldest.deadline - self._clock())
        return min(left, self._channel.timeout()) if self.waiting else left

    def expire(self) -> None:
        """Let c-ares repeat or give up questions; end the searches that took too long."""
        if self._channel is not None:
            self._channel.process_fd(NO_SOCKET, NO_SOCKET)
            self._deliver()
        now = self._clock()
        late = [running for running in self.running.values() if running.deadline <= now]
        for running in late:
            running.search.close()
            self._finish(running, Located((), "DNS does not answer"))

    def close(self) -> None:
        """End every search as failed and let the sockets go.

        Always call it before dropping a resolver: pycares destroys a channel in a thread of its
        own, which must find no socket left to tell our then freed callback about.
        """
        self._closed = True
        for running in list(self.running.values()):
            running.search.close()
            self._finish(running, Located((), "the resolver is closed"))
        self.waiting.clear()
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.cancel()
            self._arrived.clear()
            for fd in list(self._fds):
                self._socket_changed(fd, False, False)
            channel.close()

    def _step(self, running: _Running, answers: tuple[Answer, ...] | None) -> None:
        """Run the search until it waits for an answer or is over."""
        while True:
            try:
                queries = next(running.search) if answers is None else running.search.send(answers)
            except StopIteration as end:
                self._finish(running, end.value)
                return
            self._ask(running, queries)
            if running.missing:
                return
            answers = tuple(running.answers)

    def _ask(self, running: _Running, queries: tuple[Query, ...]) -> None:
        running.answers = [Answer(failed=True)] * len(queries)
        running.missing = 0
        now = self._clock()
        for index, query in enumerate(queries):
            known = self._cache.get(query, now)
            if known is not None:
                running.answers[index] = known
                continue
            running.missing += 1
            waiting = self.waiting.get(query)
            if waiting is not None:
                waiting.append((running, index))
                continue
            self.waiting[query] = [(running, index)]
            self._send(query)

    def _send(self, query: Query) -> None:
        self.queries += 1

        def arrived(result: Any, error: int | None) -> None:
            # Called from inside c-ares, which must not be entered again: only note it.
            self._arrived.append((query, result, error))

        if self._channel is None:
            self._channel = self._open()
        self._channel.query(query.name.decode("ascii"), _TYPES[query.kind], arrived)

    def _open(self) -> Any:
        return pycares.Channel(
            timeout=self._timeout,
            tries=self._tries,
            servers=self._servers or None,
            sock_state_cb=self._socket_changed,
            lookups="b",
            udp_port=self._port,
            tcp_port=self._port,
        )

    def _socket_changed(self, fd: int, readable: bool, writable: bool) -> None:
        if readable or writable:
            self._fds[fd] = (bool(readable), bool(writable))
        elif self._fds.pop(fd, None) is None:
            return
        if self._on_socket is not None:
            self._on_socket(fd, bool(readable), bool(writable))

    def _deliver(self) -> None:
        """Hand answers that c-ares reported to the searches that wait for them."""
        while self._arrived:
            query, result, error = self._arrived.popleft()
            answer = make_answer(query.kind, result, error)
            self.failures += answer.failed
            self._cache.put(query, answer, self._clock())
            for running, index in self.waiting.pop(query, ()):
                if self.running.get(running.hop) is not running:
                    continue  # it ran out of time
                running.answers[index] = answer
                running.missing -= 1
                if running.missing == 0:
                    self._step(running, tuple(running.answers))

    def _finish(self, running: _Running, located: Located) -> None:
        del self.running[running.hop]
        for callback in running.callbacks:
            callback(located)


def make_answer(kind: str, result: Any, error: int | None) -> Answer:
    """What c-ares reported, in our terms."""
    if error is not None or not result:
        return Answer(failed=error is not None and error not in _NO_RECORDS)
    ttl = min(record.ttl if record.ttl >= 0 else UNKNOWN_TTL for record in result)
    if kind == "SRV":
        return Answer(tuple(Srv(r.priority, r.weight, r.port, _name(r.host)) for r in result), ttl)
    if kind == "NAPTR":
        return Answer(tuple(_naptr(record) for record in result), ttl)
    return Answer(tuple(_bytes(record.host) for record in result), ttl)


def _naptr(record: Any) -> Naptr:
    return Naptr(
        record.order,
        record.preference,
        _bytes(record.flags).upper(),
        _bytes(record.service).upper(),
        _bytes(record.regex),
        _name(record.replacement),
    )


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode()


def _name(text: str | bytes) -> bytes:
    return _bytes(text).lower().removesuffix(b".")


def parse_nameservers(nameservers: Iterable[str]) -> tuple[list[str], int]:
    """Addresses and their common port; ConfigError when one is none or the ports differ."""
    servers: list[str] = []
    ports: set[int] = set()
    mistakes: list[str] = []
    for text in nameservers:
        host, port = _split_port(text)
        address = literal(host.encode("ascii", "replace"), port) if port else None
        if address is None:
            mistakes.append(f"{text!r} is not the address of a name server")
        else:
            servers.append(address.host.decode())
            ports.add(port)
    if len(ports) > 1:
        mistakes.append("name servers must all listen on the same port")
    if mistakes:
        raise ConfigError(mistakes)
    return servers, ports.pop() if ports else DNS_PORT


def _split_port(text: str) -> tuple[str, int]:
    """Host and port, 0 for a port that is none; a bare IPv6 address has many colons."""
    host, colon, port = text.rpartition(":")
    if not colon or (":" in host and not host.endswith("]")):
        return text, DNS_PORT
    return host, int(port) if port.isascii() and port.isdecimal() and len(port) <= 5 else 0


def read_hosts(path: str) -> dict[bytes, tuple[bytes, ...]]:
    """The names of a hosts(5) file; an unreadable file has none."""
    names: dict[bytes, tuple[bytes, ...]] = {}
    try:
        lines = Path(path).read_bytes().splitlines()
    except OSError:
        return names
    for line in lines:
        words = line.partition(b"#")[0].split()
        if len(words) < 2 or literal(words[0], DNS_PORT) is None:
            continue
        for name in words[1:]:
            names[name.lower()] = (*names.get(name.lower(), ()), words[0])
    return names
