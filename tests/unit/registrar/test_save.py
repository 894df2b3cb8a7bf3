"""RFC 3261 §10.3 step by step, against a real table."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.errors import BadMessage
from proxy.registrar.binding import Binding
from proxy.registrar.lookup import lookup
from proxy.sip.address import Address
from proxy.sip.message import parse
from tests.unit.registrar.conftest import AOR, LISTENER, NOW, Registrar, register

C1 = b"Contact: <sip:alice@198.51.100.7>"
C2 = b"Contact: <sip:alice@198.51.100.8>"
URI1, URI2 = b"sip:alice@198.51.100.7", b"sip:alice@198.51.100.8"
INSTANCE = b'+sip.instance="<urn:uuid:00000000-0000-1000-8000-AABBCCDDEEFF>"'


def test_first_registration(registrar: Registrar) -> None:
    result = registrar.register(
        C1 + b";q=0.7;" + INSTANCE,
        b"Expires: 1800",
        b"Allow: INVITE, ACK",
        b"Allow: BYE",
        b"User-Agent: " + b"U" * 200,
    )
    assert (result.status, result.reason, result.aor) == (200, b"OK", AOR)
    assert (result.changed, result.contacts) == (True, 1)
    assert result.headers == b"Contact: <" + URI1 + b">;q=0.7;expires=1800;" + INSTANCE + b"\r\n"
    (binding,) = registrar.bindings()
    assert binding.contact == URI1
    assert binding.call_id == b"c1@phone"
    assert (binding.cseq, binding.q, binding.methods) == (1, 700, 1 | 4 | 8)
    assert (binding.expires, binding.modified) == (NOW + 1800, NOW)
    assert binding.user_agent == b"U" * 128
    assert binding.received == b""  # it is where it says
    assert binding.socket == LISTENER
    assert (binding.origin, binding.flags) == (1, 0)
    assert binding.version == NOW * 1000 << 16
    assert registrar.table.units == 1
    assert registrar.table.expires_at(AOR) == NOW + 1800


def test_a_refresh_rewrites_what_changed_only(registrar: Registrar) -> None:
    lines = (C1, b"User-Agent: phone", b"Allow: INVITE")
    registrar.register(*lines)
    (before,) = registrar.bindings()
    result = registrar.register(*lines, cseq=2, now=NOW + 1000)
    (after,) = registrar.bindings()
    assert result.headers == b"Contact: <" + URI1 + b">;expires=3600\r\n"
    assert result.changed
    assert after.version > before.version
    assert (after.cseq, after.expires, after.modified) == (2, NOW + 4600, NOW + 1000)
    before.version, before.cseq = after.version, 2
    before.expires, before.modified = after.expires, after.modified
    assert before == after
    assert registrar.table.expires_at(AOR) == NOW + 4600


@pytest.mark.parametrize(
    ("fields", "lines", "changed"),
    [
        ({"call_id": b"other"}, (C1, b"User-Agent: a"), "call_id"),
        ({}, (C1, b"User-Agent: b"), "user_agent"),
        ({}, (C1 + b";" + INSTANCE, b"User-Agent: a"), "instance"),
        ({}, (C1, b"User-Agent: a", b"Path: <sip:edge.example.com;lr>"), "path"),
        ({}, (b"Contact: <sip:%61lice@198.51.100.7>", b"User-Agent: a"), "contact"),
    ],
)
def test_a_refresh_with_another_text_replaces_the_binding(
    registrar: Registrar, fields: dict[str, Any], lines: tuple[bytes, ...], changed: str
) -> None:
    registrar.register(C1, b"User-Agent: a")
    (before,) = registrar.bindings()
    assert registrar.register(*lines, cseq=2, **fields).status == 200
    (after,) = registrar.bindings()
    assert getattr(after, changed) != getattr(before, changed)


def test_a_phone_that_moved_is_found_where_it_is(registrar: Registrar) -> None:
    registrar.register(C1)
    registrar.source = Address.parse(b"203.0.113.9", 40_000)
    registrar.register(C1, cseq=2)
    (binding,) = registrar.bindings()
    assert binding.received == b"203.0.113.9:40000"
    assert binding.flags == 1  # behind a NAT now
    (target,) = lookup(registrar.table, AOR, "INVITE", NOW)
    assert (target.uri, target.received, target.flags) == (URI1, b"203.0.113.9:40000", 1)


@pytest.mark.parametrize(
    ("source", "contact", "via", "received"),
    [
        ((b"198.51.100.7", 5060), b"sip:a@198.51.100.7", b"", b""),
        ((b"198.51.100.7", 5060), b"sip:a@phone.example.com", b"", b""),
        ((b"198.51.100.7", 5060), b"sip:a@192.168.1.5", b"", b"198.51.100.7:5060"),
        ((b"198.51.100.7", 40_000), b"sip:a@198.51.100.7", b"", b""),
        ((b"198.51.100.7", 40_000), b"sip:a@198.51.100.7", b";rport", b"198.51.100.7:40000"),
        ((b"203.0.113.9", 5060), b"sip:a@198.51.100.7", b"", b"203.0.113.9:5060"),
    ],
)
def test_where_the_register_came_from_is_kept_of_phones_behind_nat(
    registrar: Registrar, source: tuple[bytes, int], contact: bytes, via: bytes, received: bytes
) -> None:
    registrar.source = Address.parse(*source)
    for cseq in (1, 2):
        request = register(b"Contact: <" + contact + b">", cseq=cseq)
        branch = b";branch=z9hG4bK%d" % cseq
        registrar.send(parse(request.data.replace(branch, branch + via)))
        (binding,) = registrar.bindings()
        assert (binding.received, binding.flags) == (received, int(received != b""))


@pytest.mark.parametrize(
    ("sent_by", "received"),
    [
        (b"[2001:db8::7]:5060", b""),
        (b"[2001:DB8::7]:5060", b""),
        (b"[2001:db8::8]:5060", b"[2001:db8::7]:5060"),
        (b"198.51.100.7:5060", b"[2001:db8::7]:5060"),
    ],
)
def test_an_ipv6_phone_is_no_nat(registrar: Registrar, sent_by: bytes, received: bytes) -> None:
    registrar.source = Address.parse(b"2001:db8::7", 5060)
    data = register(b"Contact: <sip:a@[2001:db8::7]>").data
    registrar.send(parse(data.replace(b"198.51.100.7:5060", sent_by)))
    (binding,) = registrar.bindings()
    assert binding.received == received


def test_fetch(registrar: Registrar) -> None:
    assert registrar.register().headers == b""
    registrar.register(C1, C2 + b";expires=600")
    result = registrar.register(cseq=9, now=NOW + 100)
    assert result.headers == (
        b"Contact: <" + URI1 + b">;expires=3500\r\nContact: <" + URI2 + b">;expires=500\r\n"
    )
    assert (result.status, result.changed, result.contacts) == (200, False, 2)


def test_several_contacts_one_line_or_many(registrar: Registrar) -> None:
    registrar.register(
        b'm: "A, B" <sip:a@198.51.100.1;transport=udp>;expires=300, <sip:b@198.51.100.2>;q=0',
        b"Contact: sip:c@198.51.100.3;expires=400",
        b"Expires: 500",
    )
    found = [(b.contact, b.expires - NOW, b.q) for b in registrar.bindings()]
    assert found == [
        (b"sip:a@198.51.100.1;transport=udp", 300, -1),
        (b"sip:b@198.51.100.2", 500, 0),
        (b"sip:c@198.51.100.3", 400, -1),
    ]


@pytest.mark.parametrize(
    ("lines", "seconds"),
    [
        ((C1,), 3600),
        ((C1, b"Expires: 900"), 900),
        ((C1 + b";expires=700", b"Expires: 900"), 700),
        ((C1, b"Expires: 99999999"), 7200),
        ((C1, b"Expires: 99999999999999999999"), 3600),
        ((C1, b"Expires: soon"), 3600),
        ((C1 + b";expires=soon",), 3600),
    ],
)
def test_expiry(registrar: Registrar, lines: tuple[bytes, ...], seconds: int) -> None:
    assert registrar.register(*lines).status == 200
    (binding,) = registrar.bindings()
    assert binding.expires == NOW + seconds


def test_too_brief(registrar: Registrar) -> None:
    result = registrar.register(C1, C2 + b";expires=59")
    assert (result.status, result.headers) == (423, b"Min-Expires: 60\r\n")
    assert registrar.bindings() == []
    registrar.use(short_expires="raise")
    assert registrar.register(C2 + b";expires=59", cseq=2).status == 200
    assert registrar.bindings()[0].expires == NOW + 60


def test_jitter_shortens_what_is_told_and_kept(registrar: Registrar) -> None:
    registrar.use(expires_jitter=0.1, uniform=lambda: 0.5)
    result = registrar.register(C1)
    assert result.headers == b"Contact: <" + URI1 + b">;expires=3420\r\n"
    assert registrar.bindings()[0].expires == NOW + 3420


def test_removal(registrar: Registrar) -> None:
    registrar.register(C1, C2)
    result = registrar.register(C1 + b";expires=0", cseq=2)
    assert (result.status, result.contacts, result.changed) == (200, 1, True)
    assert registrar.contacts() == [URI2]
    result = registrar.register(C1 + b";expires=0", cseq=3)
    assert (result.status, result.changed) == (200, False)
    result = registrar.register(C2, b"Expires: 0", cseq=4)
    assert (result.status, result.headers, result.contacts) == (200, b"", 0)
    assert registrar.table.count == 0


def test_one_request_may_bind_and_remove(registrar: Registrar) -> None:
    registrar.register(C1)
    registrar.register(C1 + b";expires=0", C2, cseq=2)
    assert registrar.contacts() == [URI2]
    registrar.register(C1, C1 + b";expires=0", C2 + b";q=0.1", C2 + b";q=0.2", cseq=3)
    assert [(b.contact, b.q) for b in registrar.bindings()] == [(URI2, 200)]


def test_star_removes_all(registrar: Registrar) -> None:
    registrar.register(C1)
    registrar.register(C2, call_id=b"c2")
    result = registrar.register(b"Contact: *", b"Expires: 0", cseq=2)
    assert (result.status, result.headers, result.changed) == (200, b"", True)
    assert registrar.table.count == 0
    assert registrar.register(b"Contact: *", b"Expires: 0", cseq=3).changed is False


@pytest.mark.parametrize(
    "lines",
    [
        (b"Contact: *",),
        (b"Contact: *", b"Expires: 1"),
        (b"Contact: *", b"Expires: nought"),
        (b"Contact: *", C2, b"Expires: 0"),
        (C2, b"Contact: *", b"Expires: 0"),
        (b"Contact: *", b"Contact: *", b"Expires: 0"),
        (b"Contact: *;expires=0", b"Expires: 0"),
    ],
)
def test_star_stands_alone_with_expires_0(registrar: Registrar, lines: tuple[bytes, ...]) -> None:
    registrar.register(C1)
    assert registrar.register(*lines, cseq=2).status == 400
    assert registrar.contacts() == [URI1]


def test_star_out_of_order_removes_nothing(registrar: Registrar) -> None:
    registrar.register(C1, cseq=5)
    registrar.register(C2, cseq=1, call_id=b"c2")
    for cseq in (4, 5):
        assert registrar.register(b"Contact: *", b"Expires: 0", cseq=cseq).status == 500
    assert registrar.contacts() == [URI1, URI2]


@pytest.mark.parametrize("line", [C1, C1 + b";expires=0", C1 + b";q=0.3"])
def test_a_lower_cseq_is_refused_whole(registrar: Registrar, line: bytes) -> None:
    registrar.register(C1, cseq=5)
    before = registrar.table.snapshot(AOR)
    result = registrar.register(C2, line, cseq=4)
    assert (result.status, result.reason, result.changed) == (500, b"CSeq Out of Order", False)
    assert registrar.table.snapshot(AOR) == before


def test_another_call_id_starts_its_own_order(registrar: Registrar) -> None:
    registrar.register(C1, cseq=500)
    assert registrar.register(C1, cseq=1, call_id=b"rebooted").status == 200
    assert registrar.bindings()[0].cseq == 1


@pytest.mark.parametrize(("later", "status"), [(0, 200), (20, 200), (21, 500)])
def test_a_retransmission_is_answered_alike_and_writes_nothing(
    registrar: Registrar, later: int, status: int
) -> None:
    first = registrar.register(C1, C2 + b";q=0.5")
    before = registrar.table.snapshot(AOR)
    again = registrar.register(C1, C2 + b";q=0.5", now=NOW + later)
    assert (again.status, again.changed) == (status, False)
    if later == 0:
        assert again.headers == first.headers
    assert registrar.table.snapshot(AOR) == before


@pytest.mark.parametrize(
    "lines",
    [
        (C1 + b";expires=0",),  # would remove what the first one bound
        (C1, b"Contact: <sip:new@198.51.100.9>"),  # partly new
        (b"Contact: <sip:%61lice@198.51.100.7>",),  # equal, but not what was sent
    ],
)
def test_the_same_cseq_with_other_wishes_is_out_of_order(
    registrar: Registrar, lines: tuple[bytes, ...]
) -> None:
    registrar.register(C1)
    before = registrar.table.snapshot(AOR)
    assert registrar.register(*lines).status == 500
    assert registrar.table.snapshot(AOR) == before


def test_a_retransmitted_move_is_a_retransmission(registrar: Registrar) -> None:
    registrar.register(C1)
    for changed in (True, False):
        result = registrar.register(C1 + b";expires=0", C2, cseq=2)
        assert (result.status, result.changed) == (200, changed)


def test_an_expired_binding_is_none(registrar: Registrar) -> None:
    registrar.register(C1, cseq=5)
    registrar.register(C2, cseq=6, now=NOW + 3000)
    result = registrar.register(C1, cseq=1, now=NOW + 3600)
    assert (result.status, result.expired, result.contacts) == (200, 1, 2)
    assert registrar.contacts() == [URI2, URI1]


def test_contacts_are_compared_as_uris(registrar: Registrar) -> None:
    registrar.register(b"Contact: <sip:bob@198.51.100.7;transport=udp;a=b>")
    registrar.register(b"Contact: <sip:b%6Fb@198.51.100.7;TRANSPORT=UDP;c=d>", cseq=2)
    assert registrar.contacts() == [b"sip:b%6Fb@198.51.100.7;TRANSPORT=UDP;c=d"]
    registrar.register(b"Contact: <sip:Bob@198.51.100.7;transport=udp>", cseq=3)
    assert len(registrar.contacts()) == 2


def test_a_flow_is_known_by_instance_and_reg_id(registrar: Registrar) -> None:
    registrar.register(C1 + b";reg-id=1;" + INSTANCE)
    registrar.register(C1 + b";reg-id=2;" + INSTANCE, cseq=2)
    assert [b.reg_id for b in registrar.bindings()] == [1, 2]
    moved = b"Contact: <sip:alice@203.0.113.50>;reg-id=1;" + INSTANCE.lower()
    result = registrar.register(moved, cseq=3)
    assert [(b.contact, b.reg_id) for b in registrar.bindings()] == [
        (b"sip:alice@203.0.113.50", 1),
        (URI1, 2),
    ]
    assert b";reg-id=1\r\n" in result.headers
    assert registrar.register(moved, cseq=3).changed is False
    registrar.register(C1 + b";expires=0", cseq=4)  # by its URI, which is as good a name
    assert [b.reg_id for b in registrar.bindings()] == [1]


def test_an_instance_without_reg_id_goes_by_uri(registrar: Registrar) -> None:
    registrar.register(C1 + b";" + INSTANCE)
    registrar.register(C2 + b";" + INSTANCE, cseq=2)
    assert registrar.contacts() == [URI1, URI2]


def test_call_id_may_be_part_of_the_identity(registrar: Registrar) -> None:
    registrar.use(match_call_id=True)
    registrar.register(C1)
    registrar.register(C1, call_id=b"c2")
    assert registrar.contacts() == [URI1, URI1]
    registrar.register(C1 + b";expires=0", cseq=2, call_id=b"c2")
    assert [b.call_id for b in registrar.bindings()] == [b"c1@phone"]


def contact(number: int) -> bytes:
    return b"Contact: <sip:alice@198.51.100.%d>" % number


def test_full_and_replacing(registrar: Registrar) -> None:
    registrar.use(max_contacts=2)
    for number in (1, 2):
        registrar.register(contact(number), cseq=number, now=NOW + number)
    registrar.register(contact(1), cseq=3, now=NOW + 3)
    registrar.register(contact(4), cseq=4, now=NOW + 4)
    assert registrar.contacts() == [b"sip:alice@198.51.100.1", b"sip:alice@198.51.100.4"]
    assert registrar.table.units == 2
    result = registrar.register(contact(5), contact(6), contact(7), cseq=5)
    assert (result.status, result.headers) == (503, b"Retry-After: 30\r\n")
    assert registrar.register(contact(5), contact(6), cseq=5).status == 200


def test_full_and_refusing(registrar: Registrar) -> None:
    registrar.use(max_contacts=1, when_full="refuse", retry_after=7)
    registrar.register(contact(1))
    result = registrar.register(contact(2), cseq=2)
    assert (result.status, result.headers) == (503, b"Retry-After: 7\r\n")
    assert registrar.contacts() == [b"sip:alice@198.51.100.1"]
    assert registrar.register(contact(1), cseq=3).status == 200
    assert registrar.register(contact(1) + b";expires=0", contact(2), cseq=4).status == 200
    assert registrar.contacts() == [b"sip:alice@198.51.100.2"]


PATH = b"Path: <sip:edge1.example.com;lr>"


@pytest.mark.parametrize(
    ("mode", "supported", "status", "stored", "echoed"),
    [
        ("lazy", True, 200, True, True),
        ("lazy", False, 200, True, False),
        ("off", True, 200, True, False),
        ("strict", True, 200, True, True),
        ("strict", False, 420, False, False),
        ("none", True, 200, False, False),
    ],
)
def test_path(
    registrar: Registrar, mode: str, supported: bool, status: int, stored: bool, echoed: bool
) -> None:
    registrar.use(path_mode=mode)
    lines = [C1, PATH, b"Path: <sip:edge2.example.com;lr>"]
    if supported:
        lines.append(b"Supported: gruu, PATH")
    result = registrar.register(*lines)
    path = b"<sip:edge1.example.com;lr>, <sip:edge2.example.com;lr>"
    assert result.status == status
    assert ((b"Path: " + path + b"\r\nSupported: path\r\n") in result.headers) is echoed
    assert (b"Unsupported: path\r\n" in result.headers) is (status == 420)
    found = lookup(registrar.table, AOR, "INVITE", NOW)
    assert [target.path for target in found] == ([path if stored else b""] if found else [])


@pytest.mark.parametrize(
    ("mode", "required", "status", "unsupported"),
    [
        ("lazy", b"path", 200, b""),
        ("none", b"path", 420, b"Unsupported: path\r\n"),
        ("lazy", b"path, outbound, x", 420, b"Unsupported: outbound, x\r\n"),
    ],
)
def test_require(
    registrar: Registrar, mode: str, required: bytes, status: int, unsupported: bytes
) -> None:
    registrar.use(path_mode=mode)
    result = registrar.register(C1, b"Require: " + required)
    assert result.status == status
    assert unsupported in result.headers


@pytest.mark.parametrize(
    ("to", "status"),
    [
        (b"<sip:alice@elsewhere.org>", 404),
        (b"<sip:example.com>", 404),
        (b"<tel:+4312345>", 404),
        (b"<sip:alice@EXAMPLE.com:5060;user=phone>", 200),
        (b"<sip:alice@192.0.2.1>", 200),
        (b"<sip:" + b"a" * 300 + b"@example.com>", 400),
    ],
)
def test_only_our_own(registrar: Registrar, to: bytes, status: int) -> None:
    assert registrar.register(C1, to=to).status == status


@pytest.mark.parametrize(
    "line",
    [
        b"Contact: <mailto:alice@example.com>",
        b"Contact: <tel:+4312345>",
        b"Contact: <sip:>",
        b"Contact: <sip:" + b"a" * 600 + b"@198.51.100.7>",
        b'Contact: <sip:a@198.51.100.7>;+sip.instance="' + b"i" * 200 + b'"',
        b'Contact: <sip:a@198.51.100.7>;+sip.instance="a\\"b"',
        b"Contact: <sip:a@198.51.100.7",
        b"Contact: ",
        b"Path: <sip:" + b"p" * 1100 + b">\r\n" + C1,
        b"Path: garbage\r\n" + C1,
        b"\r\n".join(contact(n) for n in range(1, 34)),
    ],
)
def test_bad_ones(registrar: Registrar, line: bytes) -> None:
    assert registrar.register(C2, line).status == 400
    assert registrar.bindings() == []


HOSTILE = [
    b"'; DROP TABLE location; --",
    b"%00",
    b"a%27%20OR%201=1",
    b"\xc3\xa4\xf0\x9f\x98\x80",
    b"\xbf\x27",
    b"\xff\xfe",
    b"..\\..\\x",
]


@pytest.mark.parametrize("value", HOSTILE)
def test_hostile_text_is_only_text(registrar: Registrar, value: bytes) -> None:
    result = registrar.register(C1, b"User-Agent: " + value, b"Allow: " + value)
    assert result.status == 200
    assert registrar.bindings()[0].user_agent == value
    for line in (b"Contact: <sip:" + value + b"@198.51.100.7>", b"Contact: <" + value + b">"):
        result = registrar.register(line, cseq=2)
        assert result.status in (200, 400)
    try:
        request = register(C1, to=b"<sip:" + value + b"@example.com>")
    except BadMessage:
        return
    result = registrar.send(request)
    assert result.status == 200
    assert registrar.bindings(result.aor)[0].contact == URI1


def test_null_is_not_the_end_of_a_name(registrar: Registrar) -> None:
    result = registrar.register(C1, to=b"<sip:alice%00evil@example.com>")
    assert result.aor != AOR
    assert registrar.bindings() == []


def test_a_corrupt_record_is_overwritten_and_counted(registrar: Registrar) -> None:
    registrar.table.commit(AOR, 0, b"\x01 nothing like a record", NOW + 9, 1)
    assert lookup(registrar.table, AOR, "INVITE", NOW, registrar.faults) == []
    assert registrar.register().headers == b""
    assert registrar.register(C1).contacts == 1
    assert registrar.contacts() == [URI1]
    assert registrar.faults.corrupt == 3


def test_versions_rise_over_what_other_workers_gave(registrar: Registrar) -> None:
    theirs = Binding(b"sip:theirs@198.51.100.20")
    registrar.clock.observe(NOW * 1000 + 50_000 << 16, NOW * 1000)
    registrar.editor.add(AOR, theirs, NOW, NOW * 1000)
    fresh = Registrar(registrar.table)
    fresh.register(C1)
    fresh.register(C1, cseq=2)
    versions = [binding.version for binding in fresh.bindings()]
    assert versions[1] > versions[0] > NOW * 1000 << 16


@pytest.mark.parametrize("times", [1, 7])
@pytest.mark.parametrize("line", [C1, C1 + b";q=0.1;" + INSTANCE])
def test_what_another_worker_commits_meanwhile_is_kept(
    registrar: Registrar, times: int, line: bytes
) -> None:
    registrar.register(C1)
    cseqs = iter(range(100))
    registrar.table.overtake = lambda: registrar.register(
        C2, cseq=next(cseqs), call_id=b"other-worker"
    )
    registrar.table.times = times
    result = registrar.register(line, cseq=2)
    assert (result.status, result.changed) == (200, True)
    assert registrar.faults.conflicts == times
    assert sorted(registrar.contacts()) == [URI1, URI2]
    assert sorted(binding.cseq for binding in registrar.bindings()) == sorted([times - 1, 2])


def test_a_worker_overtaken_for_ever_gives_up(registrar: Registrar) -> None:
    cseqs = iter(range(100))
    registrar.table.overtake = lambda: registrar.register(
        C2, cseq=next(cseqs), call_id=b"other-worker"
    )
    registrar.table.times = 100
    result = registrar.register(C1)
    assert (result.status, result.headers) == (503, b"Retry-After: 30\r\n")
    assert registrar.contacts() == [URI2]
    assert registrar.faults.conflicts == 8


def test_a_lock_held_elsewhere_is_503(registrar: Registrar) -> None:
    table = registrar.table
    stripe = table.hash_of(AOR) & table.stripe_mask
    table.acquire(stripe)
    result = registrar.register(C1)
    assert (result.status, result.headers) == (503, b"Retry-After: 30\r\n")
    assert registrar.faults.lock_timeouts == 1
    assert registrar.bindings() == []
    table.arena.unlock(table.stripe_at(table.hash_of(AOR)))
    assert registrar.register(C1).status == 200


def test_a_full_table_is_503_and_keeps_what_it_has(registrar: Registrar) -> None:
    statuses = [
        registrar.register(C1, to=b"<sip:user%d@example.com>" % number).status
        for number in range(5_000)
    ]
    held = statuses.index(503)
    assert held >= 100
    assert set(statuses[held:]) == {503}
    assert registrar.faults.full == 5_000 - held
    assert registrar.table.count == held
    refreshed = registrar.register(C1, cseq=2, to=b"<sip:user0@example.com>")
    assert refreshed.status == 200


def test_refused_is_as_it_reads(registrar: Registrar) -> None:
    assert repr(registrar.register(C1, cseq=1)).startswith("<RegisterResult 200 b'OK'")
    assert registrar.send(register(C1, b"Contact: <")).status == 400
