"""What holders do to others: stop, die, or leave without a word."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest
from shm_family import run, spawn, wait

from proxy.errors import LockTimeout, ShmError
from proxy.shm import layout
from proxy.shm.arena import LOCKED, OWNER_DIED, Arena
from proxy.shm.inbox import FULL, QUEUED, Inbox
from proxy.shm.location_table import LocationTable
from proxy.shm.repair import examine, scavenge

AT = 4096


def holding(action: Callable[[], object]) -> int:
    """A child that has done `action` and then stopped itself."""

    def hold() -> None:
        action()
        os.kill(os.getpid(), signal.SIGSTOP)

    pid = spawn(hold)
    assert os.WIFSTOPPED(os.waitpid(pid, os.WUNTRACED)[1])
    return pid


def end(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    assert wait(pid) == -signal.SIGKILL


@pytest.fixture
def arena() -> Arena:
    arena = Arena.anonymous(65_536)
    arena.make_lock(AT)
    return arena


def test_a_lock_whose_holder_died_is_had_and_says_so(arena: Arena) -> None:
    assert run(lambda: arena.lock(AT)) == 0
    assert arena.lock(AT) is True
    arena.adopt(AT)
    arena.unlock(AT)
    assert arena.lock(AT) is False
    arena.unlock(AT)
    assert run(lambda: arena.lock(AT)) == 0
    assert arena.try_lock(AT) == OWNER_DIED
    arena.adopt(AT)
    arena.unlock(AT)
    assert arena.try_lock(AT) == LOCKED
    arena.unlock(AT)


def test_a_lock_given_up_without_repair_is_unusable_and_says_so(arena: Arena) -> None:
    assert run(lambda: arena.lock(AT)) == 0
    assert arena.lock(AT)
    arena.unlock(AT)
    with pytest.raises(ShmError, match="unusable"):
        arena.lock(AT)


def test_unlocking_what_one_does_not_hold_is_refused(arena: Arena) -> None:
    with pytest.raises(ShmError, match="not held by this process"):
        arena.unlock(AT)
    with pytest.raises(ShmError, match="cannot be adopted"):
        arena.adopt(AT)


def test_a_stopped_writer_stops_nobody_but_writers_of_its_stripe(table: LocationTable) -> None:
    table.arena.lock_wait_ns = 2_000_000
    assert table.commit(b"alice", 0, b"one", 1, 1)
    stamp = table.snapshot(b"alice")[1]
    stripe = table.hash_of(b"alice") & table.stripe_mask
    pid = holding(lambda: table.acquire(stripe))
    try:
        with pytest.raises(LockTimeout, match="held for too long"):
            table.commit(b"alice", stamp, b"two", 1, 1)
        assert table.snapshot(b"alice")[0] == b"one"
        assert table.scan(0, 1000)[0] == [(b"alice", b"one")]
        for number in range(20):
            key = b"k%d" % number
            if table.hash_of(key) & table.stripe_mask != stripe:
                assert table.commit(key, 0, b"v", 1, 1)
        assert scavenge(table) == 0
    finally:
        end(pid)
    assert table.commit(b"alice", stamp, b"two", 1, 1)
    assert table.repairs == 1
    assert examine(table).ok


def test_a_writer_stopped_in_the_allocator_stops_nobody(table: LocationTable) -> None:
    table.arena.lock_wait_ns = 2_000_000
    for number in range(40):
        assert table.commit(b"k%d" % number, 0, b"v", 1, 1)
    pid = holding(lambda: table.slabs.acquire(0, 1))
    try:
        for number in range(40):
            key = b"k%d" % number
            assert table.commit(key, table.snapshot(key)[1], b"w", 1, 1)
            assert table.commit(b"n%d" % number, 0, b"v", 1, 1)
            assert table.commit(b"n%d" % number, table.snapshot(b"n%d" % number)[1], None, 1, 1)
    finally:
        end(pid)
    leaked = examine(table).leaked  # slots of the busy list could not be given back
    assert 0 < leaked < 40
    assert scavenge(table, 1_000_000) == leaked
    assert examine(table).leaked == 0
    assert table.leaks_recovered == leaked


def test_a_stopped_producer_makes_others_refuse_and_a_dead_one_does_not() -> None:
    inbox = Inbox.create(size=4096)
    pid = holding(lambda: inbox.arena.lock(layout.HEADER_BYTES))
    assert inbox.push(1, b"a", 1, b"x") == FULL
    end(pid)
    assert inbox.push(1, b"a", 1, b"x") == QUEUED
    assert inbox.pop(5) == [(1, b"a", 1, b"x")]


def test_access_outside_or_askew_is_an_error_and_not_a_crash(arena: Arena) -> None:
    for access in (
        lambda: arena.u32(65_536),
        lambda: arena.u32(2),
        lambda: arena.u64(65_532),
        lambda: arena.u64(4),
        lambda: arena.u16(1),
        lambda: arena.put_u32(1 << 63, 1),
        lambda: arena.put_u16(65_536, 1),
        lambda: arena.put_u64(65_536, 1),
        lambda: arena.add_u64(65_536, 1),
        lambda: arena.swap_u32(65_536, 0, 1),
        lambda: arena.unchanged(65_536, 0),
        lambda: arena.copy(65_530, 7),
        lambda: arena.put(65_530, b"1234567"),
        lambda: arena.equals(65_530, b"1234567"),
        lambda: arena.fold(0, 65_537, 1),
        lambda: arena.zero(1, 65_536),
        lambda: arena.is_zero(1, 65_536),
        lambda: arena.lock(65_500),
        lambda: arena.make_lock(4100),
        lambda: arena.try_lock(65_530),
    ):
        with pytest.raises(ShmError, match="outside or not aligned"):
            access()
    arena.close()
    with pytest.raises(ShmError):
        arena.u32(0)
