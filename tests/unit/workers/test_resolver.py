"""The resolver over real sockets, against a small DNS server; both driven by one epoll."""

from __future__ import annotations

import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest

from proxy.errors import ConfigError
from proxy.routing.dns_cache import DnsCache
from proxy.routing.locate import Located
from workers.resolver import Resolver, parse_nameservers, read_hosts


class DnsServer:
    """Answers from `zone`; silent for names in `silent`, SERVFAIL for names in `broken`."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.socket.getsockname()[1]}"
        self.zone: dict[tuple[str, str], list[str]] = {}
        self.silent: set[str] = set()
        self.broken: set[str] = set()
        self.ttl = 60
        self.asked: list[tuple[str, str]] = []

    def handle(self) -> None:
        data, source = self.socket.recvfrom(4096)
        query = dns.message.from_wire(data)
        name = query.question[0].name.to_text(omit_final_dot=True).lower()
        kind = dns.rdatatype.to_text(query.question[0].rdtype)
        self.asked.append((name, kind))
        if name in self.silent:
            return
        answer = dns.message.make_response(query)
        answer.flags |= dns.flags.RA
        records = self.zone.get((name, kind))
        if name in self.broken:
            answer.set_rcode(dns.rcode.SERVFAIL)
        elif records:
            answer.answer.append(dns.rrset.from_text(name + ".", self.ttl, "IN", kind, *records))
        elif not any(known == name for known, _ in self.zone):
            answer.set_rcode(dns.rcode.NXDOMAIN)
        self.socket.sendto(answer.to_wire(), source)


class Clock:
    """Monotonic time, and a bit more when a test says so."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead


class Loop:
    """A worker's loop around one resolver, with the DNS server in the same epoll."""

    def __init__(self, server: DnsServer, **settings: Any) -> None:
        self.server = server
        self.epoll = select.epoll()
        self.epoll.register(server.socket, select.EPOLLIN)
        self.watched: set[int] = set()
        self.clock = Clock()
        self.found: list[Located] = []
        settings = {"timeout": 0.05, "tries": 1, "deadline": 30.0, "hosts_file": None} | settings
        self.resolver = Resolver(
            [server.address],
            on_socket=self.on_socket,
            clock=self.clock,
            uniform=lambda: 0.0,
            cache=DnsCache(negative_ttl=30, failure_ttl=2),
            **settings,
        )

    def on_socket(self, fd: int, readable: bool, writable: bool) -> None:
        events = select.EPOLLIN * readable | select.EPOLLOUT * writable
        if not events:
            self.epoll.unregister(fd)
            self.watched.discard(fd)
        elif fd in self.watched:
            self.epoll.modify(fd, events)
        else:
            self.epoll.register(fd, events)
            self.watched.add(fd)
        assert set(self.resolver.fds()) == self.watched

    def turn(self, patience: float = 2.0) -> None:
        timeout = self.resolver.timeout()
        ready = self.epoll.poll(patience if timeout is None else min(timeout + 0.001, patience))
        if not ready:
            self.resolver.expire()
        for fd, events in ready:
            if fd == self.server.socket.fileno():
                self.server.handle()
            else:
                self.resolver.process(
                    fd, bool(events & ~select.EPOLLOUT), bool(events & select.EPOLLOUT)
                )

    def run(self, count: int) -> list[Located]:
        deadline = time.monotonic() + 20
        while len(self.found) < count and time.monotonic() < deadline:
            self.turn()
        return self.found

    def resolve(self, host: bytes, port: int = 0, transport: bytes = b"") -> list[bytes]:
        """One search from start to end: the addresses, in order."""
        self.found = []
        self.resolver.resolve(host, port, transport, self.found.append)
        (located,) = self.run(1)
        self.failure = located.failure
        return [target.hostport for target in located.targets]

    def close(self) -> None:
        self.resolver.close()
        self.epoll.close()
        self.server.socket.close()


@pytest.fixture
def server() -> DnsServer:
    return DnsServer()


MakeLoop = Callable[..., Loop]


@pytest.fixture
def make_loop(server: DnsServer) -> Iterator[MakeLoop]:
    """Loops with settings of their own, closed whatever happens."""
    made: list[Loop] = []

    def make(**settings: Any) -> Loop:
        made.append(Loop(server, **settings))
        return made[-1]

    yield make
    for loop in made:
        loop.close()


@pytest.fixture
def loop(make_loop: MakeLoop) -> Loop:
    return make_loop()


def test_from_naptr_to_addresses(loop: Loop, server: DnsServer) -> None:
    server.zone = {
        ("example.com", "NAPTR"): [
            '10 10 "s" "SIP+D2T" "" _sip._tcp.example.com.',
            '20 10 "s" "SIP+D2U" "" _sip._udp.example.com.',
        ],
        ("_sip._udp.example.com", "SRV"): [
            "20 0 5060 backup.example.com.",
            "10 0 5070 main.example.com.",
        ],
        ("main.example.com", "A"): ["192.0.2.1", "192.0.2.2"],
        ("backup.example.com", "A"): ["192.0.2.3"],
    }
    found = loop.resolve(b"Example.com")
    assert sorted(found[:2]) == [b"192.0.2.1:5070", b"192.0.2.2:5070"]
    assert found[2:] == [b"192.0.2.3:5060"]
    assert server.asked[:2] == [("example.com", "NAPTR"), ("_sip._udp.example.com", "SRV")]
    assert (loop.resolver.queries, loop.resolver.failures) == (4, 0)
    assert loop.resolver.outstanding == 0
    assert loop.resolver.timeout() is None


def test_both_families_in_order(server: DnsServer, make_loop: MakeLoop) -> None:
    server.zone = {("h.example", "A"): ["192.0.2.1"], ("h.example", "AAAA"): ["2001:db8::1"]}
    loop = make_loop(families=(6, 4))
    assert loop.resolve(b"h.example", 5061) == [b"[2001:db8::1]:5061", b"192.0.2.1:5061"]
    loop.close()


def test_answers_are_remembered_for_their_time(loop: Loop, server: DnsServer) -> None:
    server.zone = {("h.example", "A"): ["192.0.2.1"]}
    assert loop.resolve(b"h.example", 5060) == [b"192.0.2.1:5060"]
    loop.found = []
    loop.resolver.resolve(b"h.example", 5061, b"", loop.found.append)
    assert [t.hostport for t in loop.found[0].targets] == [b"192.0.2.1:5061"]
    assert len(server.asked) == 1
    loop.clock.ahead = 61.0
    loop.resolver.resolve(b"h.example", 5061, b"", loop.found.append)
    assert loop.resolver.queries == 2
    loop.run(2)


def test_a_name_that_is_not_there_is_remembered_too(loop: Loop, server: DnsServer) -> None:
    for _ in range(3):
        assert loop.resolve(b"nobody.example", 5060) == []
        assert loop.failure == "no such host"
    assert server.asked == [("nobody.example", "A")]
    assert loop.resolver.failures == 0


def test_a_broken_server(loop: Loop, server: DnsServer) -> None:
    server.broken = {"h.example"}
    assert loop.resolve(b"h.example", 5060) == []
    assert loop.failure == "DNS does not answer"
    assert loop.resolver.failures == 1


def test_a_silent_server_is_given_up(loop: Loop, server: DnsServer) -> None:
    server.silent = {"h.example"}
    assert loop.resolve(b"h.example", 5060) == []
    assert loop.failure == "DNS does not answer"
    assert loop.resolver.failures == 1
    assert loop.resolver.outstanding == 0


def test_a_search_ends_at_its_deadline_and_late_answers_are_kept(
    server: DnsServer, make_loop: MakeLoop
) -> None:
    loop = make_loop(timeout=30.0, deadline=5.0)
    server.zone = {("h.example", "A"): ["192.0.2.1"]}
    loop.resolver.resolve(b"h.example", 5060, b"", loop.found.append)
    left = loop.resolver.timeout()
    assert left is not None
    assert left <= 5.0
    loop.clock.ahead = 5.0
    loop.resolver.expire()
    assert [located.failure for located in loop.found] == ["DNS does not answer"]
    while loop.resolver.outstanding:
        loop.turn()
    assert len(loop.found) == 1
    assert loop.resolve(b"h.example", 5060) == [b"192.0.2.1:5060"]
    assert loop.resolver.queries == 1
    loop.close()


def test_many_who_want_the_same_ask_once(loop: Loop, server: DnsServer) -> None:
    server.zone = {("h.example", "A"): ["192.0.2.1"]}
    for _ in range(50):
        loop.resolver.resolve(b"h.example", 5060, b"", loop.found.append)
        loop.resolver.resolve(b"H.example", 5070, b"", loop.found.append)
    loop.run(100)
    assert len(loop.found) == 100
    assert {target.hostport for located in loop.found for target in located.targets} == {
        b"192.0.2.1:5060",
        b"192.0.2.1:5070",
    }
    assert server.asked == [("h.example", "A")]


def test_open_questions_are_bounded(server: DnsServer, make_loop: MakeLoop) -> None:
    loop = make_loop(outstanding=10)
    server.zone = {(f"h{n}.example", "A"): ["192.0.2.1"] for n in range(30)}
    for number in range(30):
        loop.resolver.resolve(b"h%d.example" % number, 5060, b"", loop.found.append)
    assert loop.resolver.outstanding == 10
    assert [located.failure for located in loop.found] == ["too many DNS questions are open"] * 20
    assert loop.resolver.refused == 20
    loop.run(30)
    assert sum(bool(located.targets) for located in loop.found) == 10
    loop.close()


def test_no_question_for_what_is_known(
    server: DnsServer, tmp_path: Path, make_loop: MakeLoop
) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_text("127.0.0.1 localhost\n192.0.2.9 SBC sbc.lan # ours\n2001:db8::9 sbc\n")
    loop = make_loop(hosts_file=str(hosts))
    for host, expected in (
        (b"192.0.2.1", [b"192.0.2.1:5060"]),
        (b"2001:db8::1", [b"[2001:db8::1]:5060"]),
        (b"localhost", [b"127.0.0.1:5060"]),
        (b"sbc", [b"192.0.2.9:5060", b"[2001:db8::9]:5060"]),
        (b"SBC.lan", [b"192.0.2.9:5060"]),
        (b"not a name", []),
    ):
        found: list[Located] = []
        loop.resolver.resolve(host, 0, b"", found.append)
        assert [target.hostport for target in found[0].targets] == expected
    assert loop.resolver.fds() == {}
    loop.close()


def test_a_callback_may_search_on(loop: Loop, server: DnsServer) -> None:
    server.zone = {("a.example", "A"): ["192.0.2.1"], ("b.example", "A"): ["192.0.2.2"]}

    def first(located: Located) -> None:
        loop.found.append(located)
        loop.resolver.resolve(b"b.example", 5060, b"", loop.found.append)

    loop.resolver.resolve(b"a.example", 5060, b"", first)
    first_found, second_found = loop.run(2)
    assert first_found.targets[0].host == b"192.0.2.1"
    assert second_found.targets[0].host == b"192.0.2.2"


def test_closing_answers_everybody_and_lets_go_of_the_sockets(
    server: DnsServer, make_loop: MakeLoop
) -> None:
    loop = make_loop()
    for number in range(5):
        loop.resolver.resolve(b"h%d.example" % number, 5060, b"", loop.found.append)
    assert loop.watched
    loop.resolver.close()
    assert len(loop.found) == 5
    assert all(located.failure for located in loop.found)
    assert not loop.watched
    loop.resolver.resolve(b"h.example", 5060, b"", loop.found.append)
    assert loop.found[-1].failure
    loop.close()


def test_callbacks_stay_in_the_callers_thread(loop: Loop, server: DnsServer) -> None:
    server.zone = {("h.example", "A"): ["192.0.2.1"]}
    threads: set[int] = set()
    loop.resolver.resolve(b"h.example", 5060, b"", lambda _: threads.add(threading.get_ident()))
    loop.resolver.resolve(b"gone.example", 5060, b"", loop.found.append)
    loop.run(1)
    while loop.resolver.outstanding:
        loop.turn()
    assert threads == {threading.get_ident()}


@pytest.mark.parametrize("junk", [b"x", b"\0" * 12, b"\xff" * 600, b"other id"])
def test_a_datagram_that_is_no_answer_is_none(
    server: DnsServer, junk: bytes, make_loop: MakeLoop
) -> None:
    loop = make_loop(tries=3)
    server.zone = {("h.example", "A"): ["192.0.2.1"]}
    loop.resolver.resolve(b"h.example", 5060, b"", loop.found.append)
    data, source = server.socket.recvfrom(4096, socket.MSG_PEEK)
    if junk == b"other id":
        junk = bytes([data[0] ^ 1]) + data[1:]
    server.socket.sendto(junk, source)
    (located,) = loop.run(1)
    assert [target.host for target in located.targets] == [b"192.0.2.1"]
    loop.close()


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ((), ([], 53)),
        (("192.0.2.53",), (["192.0.2.53"], 53)),
        (("192.0.2.53:5353", "[2001:db8::53]:5353"), (["192.0.2.53", "2001:db8::53"], 5353)),
        (("2001:db8::53",), (["2001:db8::53"], 53)),
    ],
)
def test_nameservers(texts: tuple[str, ...], expected: tuple[list[str], int]) -> None:
    assert parse_nameservers(texts) == expected


@pytest.mark.parametrize(
    "texts",
    [
        ("dns.example.com",),
        ("192.0.2.53:x",),
        ("192.0.2.53:99999",),
        ("ü",),
        ("192.0.2.1", "192.0.2.2:5353"),
    ],
)
def test_bad_nameservers(texts: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError):
        parse_nameservers(texts)


def test_no_hosts_file_no_names(tmp_path: Path) -> None:
    assert read_hosts(str(tmp_path / "none")) == {}
