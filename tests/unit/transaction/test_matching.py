"""Which messages belong to one transaction."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.sip.message import Message, parse
from proxy.transaction.matching import Matched, Matching, server_key


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


def test_the_latest_of_a_key_is_found_and_each_leaves_for_itself() -> None:
    known = Matching(16)
    one, other = Matched(), Matched()
    known.enter("BYE", b"a", one)
    known.enter("BYE", b"a", other)
    assert known.find("BYE", b"a") is other
    assert known.find("INVITE", b"a") is None
    assert known.find("BYE", b"b") is None
    known.leave(other)
    assert known.of("BYE") == known.everything() == [one]
    assert known.of("INVITE") == []
    known.leave(other)  # which is gone
    known.leave(one)
    assert known.find("BYE", b"a") is None
    assert len(known) == 0


@given(st.lists(st.tuples(st.sampled_from(("INVITE", "BYE")), st.integers(0, 300)), max_size=400))
def test_a_crowded_table_holds_what_a_dict_would(steps: list[tuple[str, int]]) -> None:
    known = Matching(0)
    there: dict[tuple[str, bytes], Matched] = {}
    for method, number in steps:
        key = b"%d" % number
        found = there.pop((method, key), None)
        assert known.find(method, key) is found
        if found is not None:
            known.leave(found)
        else:
            there[method, key] = one = Matched()
            known.enter(method, key, one)
    assert len(known) == len(there)
    assert set(map(id, known.everything())) == set(map(id, there.values()))
