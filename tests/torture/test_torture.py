"""Every verdict of RFC 4475 and RFC 5118, on messages of our own."""

from __future__ import annotations

import pytest

from proxy.errors import BadMessage
from proxy.sip.header_ids import VIA
from proxy.sip.headers import parse_via
from proxy.sip.message import parse
from proxy.sip.patching import forwarded_request, response_address
from tests.torture import rfc4475, rfc4475_invalid, rfc4475_semantics, rfc5118
from tests.torture.case import Case
from tests.wire import judge

RFC_4475 = rfc4475.VALID + rfc4475_invalid.INVALID + rfc4475_semantics.SEMANTICS
CASES = [*RFC_4475, *rfc5118.CASES]
READ = [case for case in CASES if case.verdict == 0]
REFUSED = [case for case in CASES if case.verdict]


def named(case: Case) -> str:
    return case.name


def test_every_message_of_rfc_4475_has_its_twin() -> None:
    assert len(RFC_4475) == 49
    assert len({case.name for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", READ, ids=named)
def test_read(case: Case) -> None:
    message = judge(case.data)
    assert case.check is None or case.check(message)


@pytest.mark.parametrize("case", REFUSED, ids=named)
def test_refused(case: Case) -> None:
    with pytest.raises(BadMessage) as caught:
        judge(case.data)
    assert caught.value.status == case.verdict


@pytest.mark.parametrize(
    "case", [c for c in READ if c.data[:4] != b"SIP/" and c.name != "wsinv"], ids=named
)
def test_forwarded_byte_for_byte(case: Case) -> None:
    message = parse(case.data)
    via = b"Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKours\r\n"
    top = case.data[message.via_span[0] : message.via_span[1]]
    sent = forwarded_request(message, message.request_uri, via, top, -1)
    line = case.data[message.start : message.first_line_end]
    assert sent == line + via + case.data[message.first_line_end : message.body_end]


def test_white_space_before_a_colon_is_not_passed_on() -> None:
    message = judge(rfc4475.WSINV)
    assert b"Content-Length: " in message.data
    assert b"\nVia: SIP  /   2.0\r\n /UDP" in message.data
    assert parse(message.data).data == message.data


def test_a_response_is_not_sent_to_everybody() -> None:
    case = next(case for case in CASES if case.name == "bcast")
    beneath = parse_via(parse(case.data).values(VIA)[1])
    assert response_address(beneath) is None
