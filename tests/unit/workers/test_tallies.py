"""What the parts of a worker count reaches its counters."""

from __future__ import annotations

import socket

import pytest

from proxy.limits import counters as ids
from proxy.registrar.binding import Faults
from proxy.sip.address import Address
from proxy.transaction.layer import TransactionLayer, TransactionUser
from proxy.transaction.states import Tally
from proxy.transaction.timers import TimerConfig
from workers.child import Child
from workers.resolver import Resolver
from workers.tallies import COUNTERS, LAYER, Tallies

SOMEWHERE = Address.parse(b"192.0.2.2", 5060)


def test_every_tally_has_a_counter_of_its_own() -> None:
    assert len(set(COUNTERS)) == len(COUNTERS)
    assert {column for column, _ in LAYER} == set(range(2, 1 + max(Tally)))


def test_differences_are_added_and_gauges_set(child: Child) -> None:
    slots = child.tables.slots
    layer, faults = TransactionLayer(TimerConfig(), 100), Faults()
    tallies = Tallies(slots.counters(3), layer, Resolver(hosts_file=None), faults, [])
    layer.send_request(b"z9hG4bKx", "MESSAGE", b"MESSAGE", SOMEWHERE, 0, TransactionUser(), 0.0)
    layer.timers.fire_due(0.5)
    faults.full = 3
    tallies.take()
    faults.full = 5
    tallies.take()
    tallies.take()
    found = {name: n for name, n in zip(ids.NAMES, slots.totals(ids.COUNT), strict=True) if n}
    assert found == {
        "tm:inuse_transactions": 1,
        "tm:retransmission_req_T1_1": 1,
        "sipherd:table_full": 5,
    }


@pytest.mark.compiled
def test_drops_of_the_kernel_are_those_of_the_socket(child: Child) -> None:
    from workers.datagrams import DatagramSocket

    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ours,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as theirs,
    ):
        ours.bind(("127.0.0.1", 0))
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        layer = TransactionLayer(TimerConfig(), 100)
        tallies = Tallies(
            child.tables.slots.counters(3),
            layer,
            Resolver(hosts_file=None),
            Faults(),
            [DatagramSocket(ours.fileno(), 0)],
        )
        slots, row = child.tables.slots, child.tables.slots.counters(3)
        row.set(ids.RECEIVE_DROPS, 7)  # of sockets that another worker had here before
        assert tallies.answer_for_sockets(None) == -7
        for _ in range(50):
            theirs.sendto(b"x" * 1_000, ours.getsockname())
        tallies.take()
        tallies.take()
        dropped = slots.total(ids.RECEIVE_DROPS) - 7
        assert 0 < dropped < 50
        tallies.let_go_of_sockets()
        row.set(ids.RECEIVE_DROPS, 0)
        tallies.take()
        assert slots.total(ids.RECEIVE_DROPS) == 0, "somebody else counts them"
        assert tallies.answer_for_sockets(None) == dropped
