"""Which messages belong to one transaction."""

from __future__ import annotations

import pytest

from proxy.sip.message import Message, parse
from proxy.transaction.matching import Matching, server_key


def request(via: str, method: str = "INVITE", call_id: str = "c1") -> Message:
    return parse(
        f"{method} sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP {via}\r\n"
        f"From: <sip:alice@example.com>;tag=a\r\nTo: <sip:bob@example.com>\r\n"
        f"Call-ID: {call_id}\r\nCSeq: 1 {method}\r\nContent-Length: 0\r\n\r\n".encode()
    )


@pytest.mark.parametrize(
    "via",
    [
        "192.0.2.1:5060;branch=z9hG4bKone",
        "192.0.2.1:5060;branch=z9hG4bKone;rport",
        "192.0.2.1:5060;rport;branch=z9hG4bKone",
        "192.0.2.1:5060;rport=5070;received=192.0.2.9;branch=z9hG4bKone;x=y",
        "192.0.2.1:5060;Branch=z9hG4bKone",
        "192.0.2.1:5060;branch = z9hG4bKone",
    ],
)
def test_other_parameters_of_the_via_do_not_matter(via: str) -> None:
    assert server_key(request(via)) == b"192.0.2.1:5060;branch=z9hG4bKone"
    assert server_key(request(via, "ACK")) == server_key(request(via))


@pytest.mark.parametrize(
    "via", ["192.0.2.1:5060;branch=z9hG4bKtwo", "192.0.2.2:5060;branch=z9hG4bKone"]
)
def test_another_branch_or_sender_is_another_transaction(via: str) -> None:
    assert server_key(request(via)) != server_key(request("192.0.2.1:5060;branch=z9hG4bKone"))


@pytest.mark.parametrize("via", ["192.0.2.1", "192.0.2.1;branch=1", "192.0.2.1;branch=z9hG4bK"])
def test_without_a_branch_of_our_days_the_whole_request_decides(via: str) -> None:
    assert server_key(request(via)) == server_key(request(via, "ACK"))
    assert server_key(request(via)) != server_key(request(via, call_id="c2"))


def test_a_method_is_there_while_it_has_any() -> None:
    known = Matching()
    one, other = object(), object()
    known.enter("BYE", b"a", one)
    assert known.has("BYE")
    assert known.find("BYE", b"a") is one
    assert known.find("INVITE", b"a") is None
    known.leave("BYE", b"a", other)  # it took the place of one that has ended since
    assert known.of("BYE") == [one]
    known.leave("BYE", b"a", one)
    assert not known.has("BYE")
    assert len(known) == 0
