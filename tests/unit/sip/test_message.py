from __future__ import annotations

import pytest

from proxy.errors import BadMessage
from proxy.sip import header_ids as h
from proxy.sip.message import parse
from tests.unit.sip.samples import INVITE, REGISTER, RESPONSE, SDP
from tests.wire import wire


def test_request_fields() -> None:
    m = parse(REGISTER)
    assert (m.is_request, m.method, m.status) == (True, "REGISTER", 0)
    assert m.request_uri == b"sip:example.com"
    assert m.call_id == b"7f3d9a2b1c4e5f60@192.0.2.10"
    assert (m.from_tag, m.to_tag) == (b"8a7b6c5d", b"")
    assert (m.cseq, m.cseq_method) == (42, "REGISTER")
    assert m.branch == b"z9hG4bK-524287-1---abcdef12"
    assert (m.max_forwards, m.content_length, m.body) == (70, 0, b"")
    assert m.data is REGISTER


def test_response_fields() -> None:
    m = parse(RESPONSE)
    assert (m.is_request, m.method, m.status, m.reason) == (False, "INVITE", 180, b"Ringing")
    assert m.to_tag == b"bob1"
    assert m.request_uri == b""
    assert m.max_forwards == -1


def test_offsets_cover_the_message_without_a_gap() -> None:
    m = parse(INVITE)
    at = m.first_line_end
    for index in range(m.header_count):
        number, name_start, value_start, value_end, line_end = m.span(index)
        assert name_start == at
        assert name_start < value_start <= value_end < line_end
        name = INVITE[name_start:value_start].rstrip(b": \t")
        assert h.header_id(name) == number
        at = line_end
    assert at == m.headers_end
    assert INVITE[m.headers_end : m.body_start] == b"\r\n"
    assert INVITE[m.body_start : m.body_end] == SDP


def test_chains_of_equal_headers() -> None:
    m = parse(INVITE)
    first = m.first_of(h.ROUTE)
    second = m.next_of(first)
    assert m.value(second) == b"<sip:p3.example.com;lr>"
    assert m.next_of(second) == -1
    assert m.first_of(h.PATH) == -1
    assert m.has(h.ROUTE)
    assert not m.has(h.PATH)


@pytest.mark.parametrize("number", [-1, 64, 1000])
def test_header_numbers_out_of_range(number: int) -> None:
    m = parse(INVITE)
    assert m.first_of(number) == -1
    assert m.next_of(number) == -1
    assert m.header(number) is None
    assert m.headers(number) == []
    assert not m.has(number)


@pytest.mark.parametrize("index", [-1, 500])
def test_indexes_out_of_range(index: int) -> None:
    m = parse(REGISTER)
    with pytest.raises(IndexError):
        m.span(index)
    with pytest.raises(IndexError):
        m.value(index)


def test_accessors() -> None:
    m = parse(INVITE)
    assert m.header(h.SUBJECT) == b"a folded line"
    assert m.headers(h.ROUTE) == [
        b"<sip:p1.example.com;lr>, <sip:p2.example.com;lr>",
        b"<sip:p3.example.com;lr>",
    ]
    assert len(m.values(h.ROUTE)) == 3
    assert len(m.values(h.VIA)) == 3
    assert m.named(b"x-UNKNOWN") == [b"Kept, as it is"]
    assert m.named(b"x-unknow") == []
    assert m.named(b"subject") == m.named(b"s") == [b"a folded line"]
    assert parse(REGISTER).values(h.SUPPORTED) == [b"path", b"outbound", b"gruu"]


def test_parsed_when_asked_for() -> None:
    m = parse(INVITE)
    assert m.uri.user == b"bob"
    assert m.uri is m.uri
    assert m.via.port == 5060
    assert m.from_addr.display == b"Alice"
    assert m.to_addr.uri == b"sip:bob@example.com"


def test_methods() -> None:
    known = (
        "INVITE ACK BYE CANCEL REGISTER OPTIONS PRACK UPDATE INFO REFER SUBSCRIBE NOTIFY MESSAGE"
    )
    for method in [*known.split(), "PUBLISH", "INVITED", "invite", "X", "OPTION%"]:
        data = REGISTER.replace(b"REGISTER", method.encode())
        m = parse(data)
        assert m.method == m.cseq_method == method


def test_known_methods_are_one_object_each() -> None:
    assert parse(INVITE).method is parse(RESPONSE).cseq_method


def test_compact_forms() -> None:
    text = (
        "OPTIONS sip:a@b SIP/2.0\nv: SIP/2.0/UDP h;branch=z9hG4bK1\nf: <sip:a@b>;tag=1\n"
        "t: <sip:c@d>\ni: abc\nCSeq: 1 OPTIONS\nl: 0\nm: <sip:a@h>\n"
    )
    m = parse(wire(text))
    assert (m.call_id, m.from_tag, m.content_length) == (b"abc", b"1", 0)
    assert m.header(h.CONTACT) == b"<sip:a@h>"


def test_every_name_is_found_in_any_case() -> None:
    lines = "".join(
        f"{name.decode().swapcase()}: x\n"
        for number, name in h.NAMES.items()
        if number not in {*h.REQUIRED, h.MAX_FORWARDS, h.CONTENT_LENGTH}
    )
    text = REGISTER[:200].split(b"\r\n")[0].decode() + "\n"
    text += "Via: SIP/2.0/UDP h\nFrom: <sip:a@b>\nTo: <sip:c@d>\nCall-ID: a\nCSeq: 1 REGISTER\n"
    m = parse(wire(text + lines))
    found = [m.span(index)[0] for index in range(5, m.header_count)]
    wanted = {*h.NAMES} - {*h.REQUIRED, h.MAX_FORWARDS, h.CONTENT_LENGTH}
    assert found == sorted(wanted)


def test_names_that_only_look_alike() -> None:
    for name in ("Vib", "Vi!", "FrOn", "CSea", "Call_ID", "X", "q", "Contact-"):
        m = parse(REGISTER.replace(b"User-Agent", name.encode()))
        assert m.named(name.encode()) == [b"phone 1.0"]
        assert not m.has(h.USER_AGENT)


def test_leading_blank_lines_are_skipped() -> None:
    m = parse(b"\r\n\r\n" + REGISTER)
    assert m.start == 4
    assert m.call_id == parse(REGISTER).call_id


def test_body_is_content_length_bytes() -> None:
    assert parse(INVITE + b"trailing").body == SDP
    without = INVITE.replace(b"Content-Length: %d\r\n" % len(SDP), b"")
    assert parse(without).body == SDP
    assert parse(without).content_length == -1


@pytest.mark.parametrize("name", [b"Via", b"From", b"To", b"Call-ID", b"CSeq"])
def test_what_is_missing_is_named(name: bytes) -> None:
    with pytest.raises(BadMessage, match=name.decode() + " is missing"):
        parse(REGISTER.replace(b"\r\n" + name + b":", b"\r\nX-" + name + b":"))


def test_every_prefix_is_refused() -> None:
    whole = INVITE.index(b"\r\n\r\n") + 4
    for end in range(whole):
        with pytest.raises(BadMessage):
            parse(INVITE[:end])


def test_folds_are_white_space_everywhere() -> None:
    folded = (
        REGISTER.replace(b"CSeq: 42 REGISTER", b"CSeq: 42\r\n\tREGISTER")
        .replace(b"Call-ID: ", b"Call-ID:\r\n ")
        .replace(b"SIP/2.0/UDP ", b"SIP/2.0/UDP\r\n  ")
        .replace(b";tag=", b"\r\n ;tag\r\n =\r\n ")
    )
    m, plain = parse(folded), parse(REGISTER)
    assert (m.cseq, m.call_id, m.from_tag) == (plain.cseq, plain.call_id, plain.from_tag)
    assert m.via.host == plain.via.host


@pytest.mark.parametrize("lower", [b"", b"SIP/2.0/UDP ", b'SIP/2.0/UDP h;x="', b"SIP/2.0/UDP h,"])
def test_lower_vias_are_looked_at(lower: bytes) -> None:
    with pytest.raises(BadMessage, match=r"Via|quoted|host|parameter"):
        parse(REGISTER.replace(b"Max-Forwards", b"Via: " + lower + b"\r\nMax-Forwards"))


def test_repr_names_the_call() -> None:
    assert "7f3d9a2b1c4e5f60" in repr(parse(REGISTER))


@pytest.mark.parametrize("bad", [0, 1, 8, 10, 11, 13, 27, 31, 127])
@pytest.mark.parametrize("at", range(20))
def test_a_control_byte_is_found_wherever_it_stands(bad: int, at: int) -> None:
    value = bytearray(b"~ value of 20 bytes!")
    value[at] = bad
    with pytest.raises(BadMessage):
        parse(INVITE.replace(b"Via:", b"X: a" + bytes(value) + b"z\r\nVia:", 1))


@pytest.mark.parametrize("good", [32, 33, 9, 126, 128, 200, 255])
@pytest.mark.parametrize("at", range(20))
def test_any_other_byte_may_stand_anywhere(good: int, at: int) -> None:
    value = bytearray(b"~ value of 20 bytes!")
    value[at] = good
    line = b"X: a" + bytes(value) + b"z\r\n"
    assert parse(INVITE.replace(b"Via:", line + b"Via:", 1)).named(b"x") == [line[3:-2]]
