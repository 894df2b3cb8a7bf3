"""Whose a datagram is while calls of workers that have handed over are under way."""

from __future__ import annotations

import pytest

from proxy.limits import counters as ids
from proxy.shm.inbox import Inbox
from proxy.shm.kept_calls import KeptCalls
from proxy.shm.shards import Shards
from proxy.shm.slots import ProcessSlots
from proxy.sip.scanner import hash_call_id
from workers.handoff import Handoff, Predecessor

OURS, THEIRS, BEFORE = 0, 1, 5


class Post:
    """Worker 0 of two, and the one in place 5 who was there before."""

    def __init__(self) -> None:
        self.inboxes = [Inbox.create(None, 65_536), Inbox.create(None, 65_536), None]
        self.slots = ProcessSlots.create(None, 1, ids.COUNT)
        shards = Shards.create(None, 2)
        self.handoff = Handoff(0, shards, self.inboxes, [-1] * 6, self.slots.counters(0))
        self.kept = KeptCalls.create()
        self.before = Inbox.create(None, 65_536)

    def precede(self, listeners: tuple[int, ...] = (3, -1)) -> None:
        elder = Predecessor(BEFORE, 1, self.kept, self.before, listeners)
        self.handoff.precede([elder])

    def gets(self, data: bytes, listener: int = 0) -> int:
        """Which place gets a datagram that came in by a listener."""
        if not self.handoff.pass_on(listener, b"address", 9, data):
            return OURS
        for place, inbox in ((THEIRS, self.inboxes[1]), (BEFORE, self.before)):
            assert inbox is not None
            if taken := inbox.pop(1):
                assert taken[0][1:] == (b"address", 9, data)
                self.listener = taken[0][0]
                return place
        raise AssertionError("it is lost")


def invite(parity: int) -> tuple[bytes, int]:
    """A message of a call that belongs to the worker with this number, and its hash."""
    number = next(n for n in range(1_000) if hash_call_id(b"%d" % n) & 1 == parity)
    return b"INVITE sip:a@b SIP/2.0\r\nCall-ID: %d\r\n\r\n" % number, hash_call_id(b"%d" % number)


@pytest.mark.parametrize("owner", [OURS, THEIRS])
def test_a_call_that_is_kept_goes_back_by_its_keepers_number_of_the_listener(owner: int) -> None:
    post = Post()
    data, call = invite(owner)
    post.precede()
    assert post.gets(data) == owner
    post.kept.add(call)
    assert post.gets(data) == BEFORE
    assert post.listener == 3
    post.kept.remove(call)
    assert post.gets(data) == owner


def test_what_came_by_a_listener_that_the_keeper_does_not_know_stays() -> None:
    post = Post()
    data, call = invite(OURS)
    post.precede()
    post.kept.add(call)
    assert post.gets(data, listener=1) == OURS


def test_after_the_last_has_gone_nobody_looks_back() -> None:
    post = Post()
    data, call = invite(THEIRS)
    post.precede()
    post.kept.add(call)
    post.handoff.precede([])
    assert post.handoff.predecessors is None
    assert post.gets(data) == THEIRS


def test_a_place_that_nobody_has_been_in_is_ours() -> None:
    post = Post()
    post.handoff.shards.spread([2])
    assert post.gets(invite(THEIRS)[0]) == OURS
    post.handoff.shards.spread([4])
    assert post.gets(invite(THEIRS)[0]) == OURS
