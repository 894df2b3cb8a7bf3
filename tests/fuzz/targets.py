"""What the fuzzers drive: each takes any bytes and fails only by an assertion or a crash.

Used by hypothesis (`test_properties.py`) and by atheris (`python -m tests.fuzz.run TARGET`).
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from proxy.errors import BadMessage
from proxy.sip import (
    credentials,
    digest_algorithms,
    headers,
    message,
    patching,
    refusal,
    scanner,
    stun,
    uri,
)
from proxy.sip import header_ids as h
from proxy.sip.address import Address
from tests.wire import judge

SOURCE = Address.parse(b"198.51.100.66", 40000)
SOURCE_V6 = Address.parse(b"2001:db8::66", 40000)
OURS = b"Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKours\r\n"


def answer_of(call: Callable[..., Any], *arguments: object) -> object:
    """What a call returns, or what it complains of."""
    try:
        return call(*arguments)
    except BadMessage as error:
        return (error.reason, error.status)


def scan(data: bytes) -> None:
    """The scanner never fails, and finds the Call-ID that the parser finds."""
    assert scanner.classify(data) in (0, 1, 2)
    packed = scanner.find_call_id(data)
    stun.stun_binding_response(data, SOURCE)
    try:
        parsed = message.parse(data)
    except BadMessage:
        return
    assert data[packed >> 16 : packed & 0xFFFF] == parsed.call_id
    assert scanner.call_id_hash(data) == scanner.hash_call_id(parsed.call_id)


def parse(data: bytes) -> None:
    """A message is read whole or refused with a status; a refusal can be answered."""
    try:
        judge(data)
    except BadMessage as error:
        refused = error
    else:
        return
    assert refused.status in (400, 414, 483, 505, 513)
    refusal.refusal(data, refused, SOURCE)


def parse_uri(data: bytes) -> None:
    """A URI that can be read equals itself, has one key, and reads the same again."""
    try:
        parsed = uri.parse_uri(data)
    except BadMessage:
        return
    again = uri.parse_uri(parsed.raw)
    assert uri.uri_equal(parsed, again)
    key = answer_of(uri.aor_key, parsed)
    if parsed.is_sip and isinstance(key, bytes):
        assert uri.aor_key(uri.parse_uri(b"sip:" + key)) == key or parsed.scheme == b"sips"


def _essence(parsed: message.Message) -> tuple[object, ...]:
    return (
        parsed.method,
        parsed.status,
        parsed.call_id,
        parsed.from_tag,
        parsed.cseq,
        parsed.cseq_method,
    )


def _others(parsed: message.Message) -> list[tuple[bytes, bytes]]:
    """Every header but Via and Max-Forwards, byte for byte."""
    found = []
    for index in range(parsed.header_count):
        number, name, value, end, _ = parsed.span(index)
        if number not in (h.VIA, h.MAX_FORWARDS):
            found.append((parsed.data[name:value], parsed.data[value:end]))
    return found


def parse_credentials(data: bytes) -> None:
    """Credentials are refused, or have one reading: what they say, said again, is the same."""
    try:
        found = credentials.parse_credentials(data)
    except BadMessage as error:
        refused: BadMessage | None = error
    else:
        refused = None
    if refused is not None:
        assert refused.status == 400
        return
    if found is None:
        assert not data[:7].lower().startswith(b"digest ")
        return
    assert 0 < len(found.username) <= 256
    assert not set(found.username) & {0, 10, 13, 34, 92, 127}
    found.username.decode()
    assert len(found.response) in (0, 32, 64) or not found.algorithm
    assert (found.qop == 0) == (found.nc == 0) == (not found.nc_text)
    said = b'Digest username="%b", realm="%b", nonce="%b", uri="%b", response="%b"' % (
        *(found.username, found.realm, found.nonce, found.uri, found.response),
    )
    if found.algorithm:
        said += b", algorithm=" + digest_algorithms.NAMES[found.algorithm]
    if found.qop:
        said += b', qop=%b, nc=%b, cnonce="%b"' % (found.qop_text, found.nc_text, found.cnonce)
    if found.algorithm:
        again = credentials.parse_credentials(said)
        assert _fields(again, CREDENTIALS) == _fields(found, CREDENTIALS)


def rebuild(data: bytes) -> None:
    """What is forwarded or answered says what came in; the rest is untouched."""
    try:
        parsed = message.parse(data)
    except BadMessage:
        return
    for source in (SOURCE, SOURCE_V6):
        fixed = patching.top_via_fixed(parsed, source, source.is_v6)
        via = headers.parse_via(fixed)
        assert via.received in (b"", source.host)
        assert via.branch == parsed.branch
    if parsed.is_request:
        _rebuild_request(parsed, fixed)
    else:
        forwarded = answer_of(patching.forwarded_response, parsed)
        if isinstance(forwarded, bytes):
            assert _others(message.parse(forwarded)) == _others(parsed)


def _rebuild_request(parsed: message.Message, fixed: bytes) -> None:
    if parsed.header_count > 120:
        return
    sent = message.parse(patching.forwarded_request(parsed, parsed.request_uri, OURS, fixed, 69))
    assert _essence(sent) == _essence(parsed)
    assert _others(sent) == _others(parsed)
    assert (sent.body, sent.max_forwards) == (parsed.body, 69)
    back = message.parse(
        patching.response(parsed, 200, b"OK", b"mine", via_params=fixed, record_route=True)
    )
    assert _essence(back)[2:] == _essence(parsed)[2:]
    assert back.to_tag == (parsed.to_tag or b"mine")
    received = message.parse(patching.response(sent, 486, b"Busy", b"theirs"))
    assert message.parse(patching.forwarded_response(received)).branch == parsed.branch
    for made in (patching.ack_for(sent, received), patching.cancel_for(sent)):
        assert message.parse(made).branch == sent.branch


FIELDS = [
    "is_request",
    "method",
    "status",
    "request_uri",
    "call_id",
    "from_tag",
    "to_tag",
    "cseq",
    "cseq_method",
    "branch",
    "max_forwards",
    "content_length",
    "start",
    "first_line_end",
    "headers_end",
    "body_start",
    "body_end",
    "header_count",
    "data",
    "body",
    "reason",
    "via_span",
]
VIA = [
    "transport",
    "host",
    "host_is_v6",
    "port",
    "branch",
    "received",
    "rport",
    "maddr",
    "ttl",
    "params",
    "raw",
]
ADDRESS = ["raw", "uri", "params", "tag", "bracketed", "display"]
CONTACT = [*ADDRESS, "star", "q", "expires", "instance", "reg_id"]
CREDENTIALS = [
    "username",
    "realm",
    "nonce",
    "uri",
    "response",
    "algorithm",
    "qop",
    "qop_text",
    "nc",
    "nc_text",
    "cnonce",
]
URI = [
    "raw",
    "scheme",
    "is_sip",
    "user",
    "password",
    "host",
    "host_is_v6",
    "port",
    "params",
    "headers",
    "transport",
    "maddr",
    "lr",
    "hostport",
]


def _fields(value: object, names: list[str]) -> object:
    return [answer_of(getattr, value, name) for name in names]


def reading(modules: dict[str, ModuleType], data: bytes) -> list[object]:
    """Everything that one build of the core makes of some bytes."""
    sip, scan_, uri_ = modules["message"], modules["scanner"], modules["uri"]
    headers_, patching_ = modules["headers"], modules["patching"]
    source = modules["address"].Address.parse(b"198.51.100.66", 40000)
    found: list[object] = [scan_.classify(data), scan_.find_call_id(data), scan_.call_id_hash(data)]
    for call, names in (
        (headers_.parse_via, VIA),
        (headers_.parse_name_addr, ADDRESS),
        (uri_.parse_uri, URI),
    ):
        made = answer_of(call, data)
        found.append(made if isinstance(made, tuple) else _fields(made, names))
    for call in (headers_.split_commas, headers_.parse_expires, headers_.parse_cseq):
        found.append(answer_of(call, data if call is headers_.parse_expires else data[:200]))
    contacts = answer_of(headers_.parse_contacts, [data])
    if isinstance(contacts, list):
        contacts = [_fields(one, CONTACT) for one in contacts]
    found.append(contacts)
    given = answer_of(modules["credentials"].parse_credentials, data)
    whole = given is None or isinstance(given, tuple)
    found.append(given if whole else _fields(given, CREDENTIALS))
    parsed = answer_of(sip.parse, data)
    if isinstance(parsed, tuple):
        return [*found, parsed]
    found.append(_fields(parsed, FIELDS))
    found.append([parsed.span(index) for index in range(parsed.header_count)])  # type: ignore[attr-defined]
    found.append([answer_of(parsed.values, number) for number in range(64)])  # type: ignore[attr-defined]
    found.append(answer_of(patching_.top_via_fixed, parsed, source))
    found.append(answer_of(patching_.forwarded_response, parsed))
    found.append(
        answer_of(patching_.forwarded_request, parsed, b"sip:x", OURS, b"SIP/2.0/UDP h", 5, 1)
    )
    found.append(answer_of(patching_.response, parsed, 100, b"Trying", b"t", b"A: b\r\n"))
    return found


COMPILED = {
    "message": message,
    "credentials": credentials,
    "scanner": scanner,
    "uri": uri,
    "headers": headers,
    "patching": patching,
}
TARGETS = {
    "scan": scan,
    "parse": parse,
    "uri": parse_uri,
    "rebuild": rebuild,
    "credentials": parse_credentials,
}
