"""New workers take the place of old ones under calls and requests, and nobody outside notices."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from process_harness import PATIENCE_S, SETTINGS, Server, wait_for
from sip_phone import phone_of

from loadtests.ports import free_port
from loadtests.servers import DOMAIN
from proxy.shm.arena import Arena
from proxy.shm.places import Order, Places
from tests.e2e.phone import Phone, Received

Make = Callable[..., Server]

CALLS = 12

# The real worker is compiled through and through.
pytestmark = pytest.mark.compiled


class Exchange:
    """A server, a phone that calls and one that is called."""

    def __init__(self, server: Server, stack: ExitStack) -> None:
        self.server = server
        address = "127.0.0.1", server.port
        self.alice = stack.enter_context(Phone("alice", address))
        self.bob = stack.enter_context(Phone("bob", address))
        self.bob.register()
        self.invites: list[str] = []
        self.ringing: list[Received] = []

    def ring(self, count: int = CALLS) -> None:
        """Calls that ring, and nobody answers yet."""
        for _ in range(count):
            invite = self.alice.invite("bob")
            self.alice.send(invite)
            request = self.bob.expect(method="INVITE")
            self.bob.respond(request, 180, "Ringing")
            self.alice.expect(180)
            self.invites.append(invite)
            self.ringing.append(request)

    def finish(self, to: tuple[str, int] | None = None) -> None:
        """Answer all of them, acknowledge, and hang up."""
        for invite, request in zip(self.invites, self.ringing, strict=True):
            self.bob.respond(request, 200, "OK")
            answer = self.alice.expect(200, "INVITE")
            self.alice.send(self.alice.in_dialog("ACK", invite, answer, 1), to)
            self.bob.expect(method="ACK")
            self.hang_up(invite, answer, to)
        self.invites, self.ringing = [], []

    def hang_up(self, invite: str, answer: Received, to: tuple[str, int] | None) -> None:
        self.alice.send(self.alice.in_dialog("BYE", invite, answer, 2), to)
        self.bob.respond(self.bob.expect(method="BYE"), 200, "OK")
        self.alice.expect(200, "BYE")

    def generation(self, number: int) -> None:
        wait_for(lambda: f"workers serve generation={number} " in self.server.log)

    def statistic(self, name: str) -> int:
        return int(sum(self.server.ctl("get_statistics", name).values()))


@pytest.fixture
def exchange(make_server: Make) -> Iterator[Exchange]:
    settings = SETTINGS.replace("[node]", f'[node]\ndomains = ["{DOMAIN}"]')
    server = make_server(settings, "sip").start()
    with ExitStack() as stack:
        yield Exchange(server, stack)


def edit(server: Server, old: str, new: str) -> None:
    server.file.write_text(server.file.read_text().replace(old, new))


def more(server: Server) -> None:
    server.signal(signal.SIGTTIN)


def fewer(server: Server) -> None:
    server.signal(signal.SIGTTOU)


def one_by_reload(server: Server) -> None:
    edit(server, "udp = 3", "udp = 1")
    server.signal(signal.SIGHUP)


@pytest.mark.parametrize(("change", "count"), [(more, 4), (fewer, 2), (one_by_reload, 1)])
def test_calls_that_ring_are_answered_by_the_workers_that_have_them(
    exchange: Exchange, change: Callable[[Server], None], count: int
) -> None:
    exchange.ring()
    change(exchange.server)
    exchange.generation(2)
    rows = exchange.server.ctl("ps")["Processes"]
    assert sum(row.get("Generation") == 2 for row in rows) == count
    assert sum(row.get("Calls", 0) for row in rows if row.get("Generation") == 1) >= CALLS
    exchange.finish()
    exchange.ring(3)  # and new ones by the new workers
    exchange.finish()
    # With their transactions, that is: nothing had to be recognised by its branch.
    assert exchange.statistic("stateless_responses") == 0
    assert exchange.server.stop() == 0


def test_what_is_asked_while_workers_change_is_answered_without_being_repeated(
    exchange: Exchange,
) -> None:
    server = exchange.server
    exchange.ring(4)
    with phone_of(server) as phone:
        for number, change in enumerate((more, fewer, fewer, more, more, fewer)):
            change(server)
            rounds = 0
            while f"workers serve generation={number + 2} " not in server.log:
                rounds += 1
                sent = {f"g{number}-{rounds}-{each}" for each in range(50)}
                for call_id in sent:
                    phone.send("any", call_id)
                assert phone.are_answered(sent, PATIENCE_S)
            exchange.ring(1)
    exchange.finish()
    assert exchange.statistic("stateless_responses") == 0


def test_another_listener(exchange: Exchange) -> None:
    server, other = exchange.server, free_port()
    exchange.ring(4)
    edit(server, f"127.0.0.1:{server.port}", f"127.0.0.1:{other}")
    server.signal(signal.SIGHUP)
    exchange.generation(2)
    # What is new gets in by the new address only.
    exchange.alice.send(exchange.alice.request("OPTIONS"))
    assert exchange.alice.expect(503).get("Retry-After")
    exchange.alice.send(exchange.alice.request("OPTIONS"), ("127.0.0.1", other))
    exchange.alice.expect(200)
    exchange.finish()
    assert exchange.statistic("refused_stopping") == 1
    reloaded = server.log.count(" reloaded ")
    edit(server, f"127.0.0.1:{other}", "192.0.2.1:0")
    server.signal(signal.SIGHUP)
    wait_for(lambda: "reload refused" in server.log)
    assert server.log.count(" reloaded ") == reloaded


def test_an_address_that_is_taken_refuses_the_reload(exchange: Exchange) -> None:
    server = exchange.server
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        edit(server, f':{server.port}"', f':{server.port}", "127.0.0.1:{port}"')
        server.signal(signal.SIGHUP)
        wait_for(lambda: "is taken: another program listens there" in server.log)
    exchange.ring(2)
    exchange.finish()
    assert "workers starting" not in server.log


def test_term_lets_a_call_be_set_up_and_refuses_what_is_new(exchange: Exchange) -> None:
    server = exchange.server
    exchange.ring(3)
    server.signal(signal.SIGTERM)
    wait_for(lambda: " stopping " in server.log)
    alice = exchange.alice
    wait_until_told(server, Order.REFUSE)
    alice.send(alice.request("OPTIONS"))
    alice.expect(503, "OPTIONS")
    alice.send(alice.invite("bob"))
    assert 5 <= int(alice.expect(503, "INVITE").get("Retry-After")) <= 15
    assert server.status() is None
    exchange.finish()
    assert server.wait() == 0
    assert "stopped clean=True" in server.log


def wait_until_told(server: Server, *orders: Order) -> None:
    """Until each worker has seen its order, one of these, which it does at its next beat."""
    places = Places(Arena.join(str(server.runtime / "workers.table")))

    def is_told(place: int) -> bool:
        return places.ordered(place) in orders and places.seen(place) == places.version

    wait_for(lambda: all(map(is_told, places.at_work())))
    places.arena.close()


def test_an_old_worker_that_is_killed_leaves_its_calls_to_their_branches(
    exchange: Exchange,
) -> None:
    server = exchange.server
    exchange.ring()
    more(server)
    exchange.generation(2)
    for row in server.ctl("ps")["Processes"]:
        if row.get("Generation") == 1:
            os.kill(row["PID"], signal.SIGKILL)
    wait_for(lambda: "workers gone generation=1" in server.log)
    wait_until_told(server, Order.SERVE)
    exchange.finish()
    assert exchange.statistic("stateless_responses") == CALLS


def test_a_reload_waits_for_the_hand_over_before_it(exchange: Exchange) -> None:
    server = exchange.server
    server.signal(signal.SIGTTIN)
    wait_for(lambda: "workers starting" in server.log)
    server.signal(signal.SIGHUP)
    exchange.generation(2)
    exchange.generation(3)  # for the file says how many there are to be
    assert " reloaded edition=2" in server.log
    exchange.ring(2)
    exchange.finish()
