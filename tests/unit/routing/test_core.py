"""What the core does when one of its collaborators fails, and with what is no SIP."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.unit.routing.bench import CALLER, request, world


def broken(*_: Any) -> None:
    raise ZeroDivisionError("the resolver is broken")


def test_one_datagram_does_not_cost_a_worker_its_calls(tmp_path: Path) -> None:
    here = world(tmp_path)
    here.node.resolve = broken
    message = request("ACK")
    cookie = here.node.signer.route_cookie(message.call_id, message.from_tag).decode()
    route = f"Route: <sip:192.0.2.100:5060;lr;k={cookie}>"
    poison = request("ACK", uri="sip:bob@pc.example.org", headers=route, to_tag="b").data
    after = request("OPTIONS", uri="sip:example.com").data
    here.core.receive_batch([(0, CALLER.sockaddr, 0, poison), (0, CALLER.sockaddr, 0, after)])
    assert [one.message.status for one in here.collect()] == [200]
    assert here.count("sipherd:internal_errors") == 1
    level, event, fields = here.log.events[-1]
    assert (level, event) == ("error", "internal error")
    assert fields["message"] == b"ACK sip:bob@pc.example.org SIP/2.0"


@pytest.mark.parametrize("data", [b"", b"\r\n\r\n", b"\0\0\0\0"])
def test_keepalives_are_counted_and_not_answered(tmp_path: Path, data: bytes) -> None:
    here = world(tmp_path)
    assert here.deliver(data, CALLER) == []
    assert here.count("sipherd:keepalives") == 1


def test_stun_is_answered_where_sip_is_spoken(tmp_path: Path) -> None:
    here = world(tmp_path)
    ask = b"\x00\x01\x00\x00\x21\x12\xa4\x42" + b"transaction!"
    here.core.receive(ask, CALLER, 0)
    ((data, to, listener, transaction),) = here.layer.outbox
    assert data.startswith(b"\x01\x01")
    assert b"transaction!" in data
    assert (to, listener, transaction) == (CALLER, 0, None)
    assert here.count("sipherd:stun") == 1


@pytest.mark.parametrize(
    ("data", "answered"),
    [
        (request().data.replace(b"CSeq: 1", b"CSeq: one"), True),
        (request("ACK").data.replace(b"CSeq: 1", b"CSeq: one"), False),
        (b"SIP/2.0 200 OK\r\n\r\n", False),
        (b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n", False),
    ],
)
def test_what_cannot_be_read_is_refused_or_dropped(
    tmp_path: Path, data: bytes, answered: bool
) -> None:
    here = world(tmp_path)
    sent = here.deliver(data, CALLER)
    assert [one.data[:12] for one in sent] == [b"SIP/2.0 400 "] * answered
    assert here.count("sipherd:dropped_malformed") == 1 - answered
    assert here.count("core:bad_msg_hdr") == 1
