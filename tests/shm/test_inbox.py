from __future__ import annotations

import os
import random
import select
from pathlib import Path

import pytest
from shm_family import spawn, wait

from proxy.errors import ShmError
from proxy.shm.inbox import FULL, QUEUED, WAKE, Inbox

Message = tuple[int, bytes, int, bytes]


def test_messages_come_out_as_they_went_in() -> None:
    inbox = Inbox.create(size=65_536)
    sent: list[Message] = [
        (0, b"", 0, b""),
        (1, b"sockaddr-in-16by", 12_345_678_901_234, b"REGISTER sip:example.com SIP/2.0"),
        (65_535, b"x" * 28, (1 << 64) - 1, b"d" * 40_000),
    ]
    for message in sent:
        assert inbox.push(*message) == QUEUED
    assert inbox.pop(2) == sent[:2]
    assert inbox.pop(2) == sent[2:]
    assert inbox.pop(2) == []
    assert (inbox.empty, inbox.used_bytes) == (True, 0)


def test_the_ring_wraps_at_every_offset() -> None:
    inbox = Inbox.create(size=4096)
    source = random.Random(1)
    queue: list[Message] = []
    for number in range(20_000):
        message = (
            number & 0xFFFF,
            bytes(source.choice((16, 28))),
            number,
            bytes(source.randrange(700)),
        )
        if inbox.push(*message):
            queue.append(message)
        else:
            taken = inbox.pop(source.randrange(1, 9))
            assert taken == queue[: len(taken)]
            assert taken
            del queue[: len(taken)]
    assert inbox.pop(1000) == queue


def test_a_full_ring_refuses_and_keeps_what_it_has() -> None:
    inbox = Inbox.create(size=4096)
    count = 0
    while inbox.push(1, b"a", count, b"x" * 100):
        count += 1
    assert count == 4096 // 128
    assert inbox.push(1, b"a", 0, b"x" * 100) == FULL
    assert [message[2] for message in inbox.pop(1000)] == list(range(count))


def test_a_message_larger_than_the_ring_is_refused() -> None:
    inbox = Inbox.create(size=4096)
    assert inbox.push(1, b"", 0, bytes(4096 - 24)) == QUEUED
    inbox.pop(1)
    assert inbox.push(1, b"", 0, bytes(4096 - 23)) == FULL


def test_a_sleeping_owner_is_to_be_woken_until_it_says_that_it_is_awake() -> None:
    inbox = Inbox.create(size=4096)
    assert inbox.announce_sleep()
    assert inbox.push(1, b"a", 1, b"x") == WAKE
    assert inbox.push(1, b"a", 2, b"x") == WAKE
    inbox.awake()
    assert inbox.push(1, b"a", 3, b"x") == QUEUED
    assert not inbox.announce_sleep()
    assert inbox.push(1, b"a", 4, b"x") == QUEUED
    assert len(inbox.pop(10)) == 4
    assert inbox.announce_sleep()


def test_a_ring_scribbled_over_is_emptied_and_counted() -> None:
    inbox = Inbox.create(size=4096)
    for word in (7, 0, 12, 1 << 20, 8):
        inbox.push(1, b"a", 1, b"x")
        tail = inbox.arena.u64(4096 + 64)
        inbox.arena.put_u32(8192 + tail % 4096, word)
        inbox.pop(10)
        assert inbox.empty
    assert inbox.damaged == 5
    assert inbox.push(1, b"a", 1, b"x") == QUEUED
    assert len(inbox.pop(10)) == 1


def test_who_is_being_woken_need_not_be_woken_again() -> None:
    inbox = Inbox.create(size=4096)
    assert inbox.sleep() == 0
    assert inbox.announce_sleep()
    first = inbox.sleep()
    assert inbox.push(1, b"a", 1, b"x") == WAKE
    inbox.woken(first)
    assert inbox.sleep() == 0
    assert inbox.push(1, b"a", 2, b"x") == QUEUED  # its owner will find both
    inbox.awake()
    inbox.pop(2)
    assert inbox.announce_sleep()
    assert inbox.sleep() not in (0, first)
    inbox.woken(first)  # by one who was held up in between: of another sleep
    assert inbox.push(1, b"a", 3, b"x") == WAKE


def test_the_numbers_of_sleeps_may_run_out() -> None:
    inbox = Inbox.create(size=4096)
    inbox.arena.put_u32(4096 + 64 + 8, 0xFFFFFFFE)
    assert inbox.announce_sleep()
    assert inbox.sleep() == 0xFFFFFFFF
    inbox.woken(0xFFFFFFFF)
    assert inbox.sleep() == 0
    assert inbox.announce_sleep()
    assert inbox.sleep() == 1
    inbox.awake()
    assert inbox.sleep() == 0


@pytest.mark.parametrize("size", [0, 1024, 5000, 4097])
def test_a_size_that_cannot_be_is_refused(size: int) -> None:
    with pytest.raises(ShmError, match="power of two"):
        Inbox.create(size=size)


def test_a_ring_in_a_file_comes_back(tmp_path: Path) -> None:
    path = str(tmp_path / "inbox")
    inbox = Inbox.create(path, 4096)
    inbox.push(1, b"a", 1, b"x")
    with pytest.raises(ShmError, match="in use"):
        Inbox.attach(path)
    inbox.arena.close()
    assert Inbox.attach(path).pop(5) == [(1, b"a", 1, b"x")]


def test_no_wake_up_is_lost_between_processes() -> None:
    """Producers write the eventfd only when told to; a lost wake-up would hang the poll."""
    inbox = Inbox.create(size=65_536)
    wake = os.eventfd(0, os.EFD_NONBLOCK)
    producers, each = 3, 3000

    def produce(who: int) -> None:
        for number in range(each):
            while not (result := inbox.push(who, b"address", number, b"x" * (number % 500))):
                os.sched_yield()
            sleep = inbox.sleep() if result == WAKE else 0
            if sleep:
                os.eventfd_write(wake, 1)
                inbox.woken(sleep)

    pids = [spawn(lambda who=who: produce(who)) for who in range(producers)]
    poll = select.poll()
    poll.register(wake, select.POLLIN)
    expected = [0] * producers
    received = 0
    while received < producers * each:
        for who, address, number, data in inbox.pop(64):
            assert (number, address, len(data)) == (expected[who], b"address", number % 500)
            expected[who] += 1
            received += 1
        if inbox.announce_sleep():
            # An owner polls with a limit for the producer that dies before its eventfd_write;
            # nobody dies here, so running into it is a failure.
            if received < producers * each:
                assert poll.poll(10_000), "a wake-up was lost"
                os.eventfd_read(wake)
            inbox.awake()
    assert [wait(pid) for pid in pids] == [0] * producers
    os.close(wake)
