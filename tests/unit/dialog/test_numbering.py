"""CSeq numbers with requests of our own among them: each receiver sees them rise (§12.2.2)."""

from __future__ import annotations

import random

import pytest

from proxy.dialog import layout
from proxy.dialog.decoded import DialogRecord, Leg, decode, encode
from proxy.dialog.numbering import came_as, sent_as, take_number
from proxy.dialog.record import key_of
from proxy.limits.bounds import CSEQ

KEY = key_of(b"call", b"caller")
LEG_AT = layout.HEAD


class Direction:
    """One direction of a dialog: what its sender and its receiver count."""

    def __init__(self, to_caller: bool, first: int) -> None:
        self.to_caller = to_caller
        self.leg = Leg(tag=b"callee", state=4)
        self.sent = first
        self.seen = 0
        if not to_caller:
            self.send()

    @property
    def payload(self) -> bytes:
        return encode(DialogRecord(key=KEY, callees=[self.leg]))

    def note(self, number: int) -> None:
        if self.to_caller:
            self.leg.cseq = number
        else:
            self.leg.caller_cseq = number

    def passed(self, number: int) -> int:
        """The number under which a request goes on; its answer comes back with the original."""
        out = sent_as(self.payload, LEG_AT, self.to_caller, number)
        assert came_as(self.payload, LEG_AT, self.to_caller, out) == number
        return out

    def send(self, ahead: int = 1) -> int:
        self.sent += ahead
        self.note(self.sent)
        self.receive(out := self.passed(self.sent))
        return out

    def generate(self) -> int:
        number = take_number(self.leg, self.to_caller)
        self.receive(number)
        return number

    def receive(self, number: int) -> None:
        assert number > self.seen, "out of order: 500"
        self.seen = number


@pytest.mark.parametrize("to_caller", [True, False])
def test_nothing_is_shifted_until_we_speak(to_caller: bool) -> None:
    direction = Direction(to_caller, 101)
    assert [direction.send() for _ in range(3)] == [direction.sent - 2 + i for i in range(3)]


def test_requests_after_ours_go_on_with_higher_numbers() -> None:
    caller = Direction(False, 0)
    assert caller.seen == 1
    assert [caller.generate(), caller.generate()] == [2, 3]
    assert caller.passed(1) == 1  # the ACK of the INVITE
    assert caller.send() == 4
    assert caller.generate() == 5
    assert caller.passed(2) == 4  # the ACK of the re-INVITE, though we spoke meanwhile
    assert caller.send(10) == 15


def test_a_callee_that_has_sent_nothing_may_begin_anywhere() -> None:
    callee = Direction(True, 0)
    assert callee.generate() == 1
    assert callee.send() == 2
    other = Direction(True, 40_000)
    other.generate()
    assert other.send() == 40_002


@pytest.mark.parametrize("seed", range(20))
def test_any_mixture_rises(seed: int) -> None:
    chance = random.Random(seed)
    direction = Direction(bool(seed % 2), chance.randrange(2**30))
    for _ in range(200):
        if chance.random() < 0.4:
            direction.generate()
        else:
            out = direction.send(chance.choice((1, 1, 1, 7)))
            assert direction.passed(direction.sent) == out  # repeated: the same number


def test_the_last_number_there_is() -> None:
    leg = Leg(caller_cseq=CSEQ - 1)
    assert take_number(leg, False) == CSEQ
    assert take_number(leg, False) == 0


def test_the_record_keeps_it() -> None:
    direction = Direction(False, 5)
    direction.generate()
    assert decode(KEY, direction.payload).callees[0] == direction.leg
