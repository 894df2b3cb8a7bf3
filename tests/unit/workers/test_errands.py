"""What one process tells a worker arrives in that worker's inbox, or is refused."""

from __future__ import annotations

import os
import time

from proxy.constants import INTERNAL_LISTENER
from proxy.sip.scanner import hash_call_id
from workers.child import Child
from workers.errands import Deliveries, send_errand, send_to_owner


def test_an_errand_wakes_a_sleeping_worker(child: Child) -> None:
    child.inbox_eventfds = [os.eventfd(0, os.EFD_NONBLOCK) for _ in child.tables.inboxes]
    assert child.tables.inbox(1).announce_sleep()
    assert send_errand(child, 1, 3, b"do it")
    assert os.eventfd_read(child.inbox_eventfds[1]) == 1
    assert child.tables.inbox(1).pop(10) == [(INTERNAL_LISTENER, b"", 0, b"\x03do it")]
    for fd in child.inbox_eventfds:
        os.close(fd)


def test_a_call_has_one_worker(child: Child) -> None:
    for call_id in (b"a@b", b"c", b"d-e-f"):
        owner = child.tables.shards.owner(hash_call_id(call_id))
        assert send_to_owner(child, call_id, 1, call_id)
        assert [data for *_, data in child.tables.inbox(owner).pop(10)] == [b"\x01" + call_id]


def test_a_full_inbox_refuses(child: Child) -> None:
    sent = 0
    while send_errand(child, 0, 1, b"x" * 60_000):
        sent += 1
    assert 60 < sent < 80


def test_what_a_full_inbox_refuses_is_sent_again_in_its_order(child: Child) -> None:
    deliveries = Deliveries(child)
    inbox = child.tables.inbox(0)
    while send_errand(child, 0, 1, b"x" * 60_000):
        pass
    for number in range(3):
        deliveries.send(0, 2, b"%d" % number + b"x" * 60_000)
    deliveries.send(1, 2, b"for another worker")
    now = time.monotonic()
    deliveries.repeat(now)
    assert [data for *_, data in child.tables.inbox(1).pop(10)] == [b"\x02for another worker"]
    assert len(deliveries.kept) == 3
    inbox.pop(1_000)
    deliveries.repeat(now)
    assert [data[1:2] for *_, data in inbox.pop(10)] == [b"0", b"1", b"2"]
    assert not deliveries.kept


def test_what_nobody_waits_for_any_more_is_not_sent(child: Child) -> None:
    deliveries = Deliveries(child)
    while send_errand(child, 0, 1, b"x" * 60_000):
        pass
    deliveries.send(0, 2, b"x" * 60_000)
    child.tables.inbox(0).pop(1_000)
    deliveries.repeat(time.monotonic() + 3)
    assert not deliveries.kept
    assert child.tables.inbox(0).empty
