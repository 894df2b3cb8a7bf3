"""Messages counted by their first bytes, times by the step they belong to."""

from __future__ import annotations

import pytest

from proxy.constants import INTERNAL_LISTENER
from proxy.limits import measures
from proxy.shm.slots import Counters, ProcessSlots
from proxy.sip.address import address_of
from workers.traffic import Traffic, code_of, method_of, step_of

PEER = address_of(b"192.0.2.1", 5060)


@pytest.fixture
def counters() -> Counters:
    return ProcessSlots.create(None, 1, measures.COLUMNS).counters(0)


@pytest.mark.parametrize("method", measures.METHODS[:-1])
def test_every_method_is_known(method: str) -> None:
    found = method_of(method.encode() + b" sip:a@b SIP/2.0\r\n")
    assert measures.METHODS[found] == method


@pytest.mark.parametrize(
    "data", [b"", b"R", b"REGISTERS sip:", b"INVITEsip:", b"invite sip:a", b"\x00\xff", b"Z z z"]
)
def test_anything_else_is_other(data: bytes) -> None:
    assert measures.METHODS[method_of(data)] == "other"


def test_status_codes() -> None:
    assert code_of(b"SIP/2.0 200 OK\r\n") == 200
    assert code_of(b"SIP/2.0 699 X\r\n") == 699
    for data in (b"SIP/2.0 200", b"SIP/2.0 700 X", b"SIP/2.0 099 X", b"SUBSCRIBE sip:aaa", b""):
        assert code_of(data) == 0
    assert code_of(b"SIP/2.0 \xff\x00\xff    ") == 0


def test_steps() -> None:
    assert step_of(0) == step_of(100) == 0
    assert step_of(101) == 1
    assert step_of(1_000_000) == measures.STEPS - 2
    assert step_of(10**12) == measures.STEPS - 1


def test_a_batch_is_counted_and_its_time_entered(counters: Counters) -> None:
    traffic = Traffic(counters)
    register, ringing = b"REGISTER sip:b SIP/2.0\r\n", b"SIP/2.0 180 Ringing\r\n"
    here = [(0, b"", 0, register), (0, b"", 0, register), (1, b"", 0, ringing)]
    traffic.received(here)
    traffic.received([(INTERNAL_LISTENER, b"", 0, b"\x01INVITE")])
    traffic.sent([(b"SIP/2.0 200 OK\r\n", PEER, 0, None), (b"BYE sip:a SIP", PEER, 0, None)])
    traffic.settle(2_000_000, 400_000)
    traffic.settle(5_000_000, 5_000_000)  # nothing came: nothing to enter
    method = measures.METHODS.index
    assert counters.get(measures.RECEIVED_METHOD + method("REGISTER")) == 2
    assert counters.get(measures.RECEIVED_CODE + 80) == 1
    assert counters.get(measures.SENT_CODE + 100) == 1
    assert counters.get(measures.SENT_METHOD + method("BYE")) == 1
    register_at = measures.TAKEN + measures.CLASSES.index("REGISTER") * measures.HISTOGRAM
    response_at = measures.TAKEN + measures.CLASSES.index("response") * measures.HISTOGRAM
    assert counters.get(register_at + step_of(2_400)) == 2
    assert counters.get(register_at + measures.STEPS) == 4_800
    assert counters.get(response_at + step_of(2_400)) == 1
    assert counters.get(measures.WAITED + step_of(2_000)) == 3
    assert counters.get(measures.WAITED + measures.STEPS) == 6_000


def test_the_last_column_is_the_last(counters: Counters) -> None:
    traffic = Traffic(counters)
    traffic.received([(0, b"", 0, b"SIP/2.0 699 No\r\n")])
    traffic.settle(10**13, 0)
    assert counters.get(measures.COLUMNS - 1) == 10**10
