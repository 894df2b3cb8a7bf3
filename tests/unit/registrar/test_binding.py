"""The record codec: what goes in comes out, and nothing else is believed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import CorruptRecord
from proxy.registrar.binding import Binding, Faults, decode, encode
from proxy.registrar.layout import NEVER, REMOVED, REMOVED_S
from proxy.registrar.lookup import lookup
from proxy.registrar.record import (
    binding_count,
    contact_lines,
    due_at,
    find_contact,
    highest_version,
    live_count,
    patched,
    q_text,
    units_of,
)
from proxy.shm.layout import NOBODY
from proxy.shm.location_table import LocationTable

HOSTILE = [
    b"",
    b"'; DROP TABLE location; --",
    b'" OR "1"="1',
    b"%00",
    b"\x00\x01\x7f",
    b"\xbf\x27",
    b"\xff\xfe\xfd",
    "名前😀".encode(),
    b"\\",
    b"x" * 2048,
]
TEXT = st.one_of(st.binary(max_size=80), st.sampled_from(HOSTILE))
U16, U32 = st.integers(0, 2**16 - 1), st.integers(0, 2**32 - 1)
STRINGS = (
    "contact",
    "call_id",
    "received",
    "path",
    "socket",
    "instance",
    "user_agent",
    "tag",
)
NUMBERS = ("cseq", "expires", "modified", "methods", "reg_id")


@st.composite
def bindings(draw: st.DrawFn) -> Binding:
    binding = Binding(b"")
    for name in STRINGS:
        setattr(binding, name, draw(TEXT))
    for name in NUMBERS:
        setattr(binding, name, draw(U32))
    binding.version = draw(st.integers(0, 2**64 - 2))
    binding.flags, binding.origin = draw(U16), draw(U16)
    binding.q = draw(st.integers(-1, 1000))
    return binding


def phone() -> Binding:
    """What a usual desk phone behind NAT leaves behind."""
    binding = Binding(
        b"sip:alice@192.168.1.10:5060;transport=udp;ob", b"3848276298220188511@192.168.1.10", 5
    )
    binding.received = b"203.0.113.77:40123"
    binding.socket = b"192.0.2.1:5060"
    binding.instance = b"<urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6>"
    binding.user_agent = b"Yealink SIP-T46S 66.84.0.15"
    binding.expires, binding.version, binding.modified = 2_000, 77 << 16, 1_000
    return binding


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocationTable]:
    """One table for all examples of a property."""
    path = tmp_path_factory.mktemp("records") / "location.table"
    table = LocationTable.create(str(path), 10)
    yield table
    table.close()


@given(st.lists(bindings(), min_size=1, max_size=5))
def test_round_trip(stored: list[Binding]) -> None:
    payload = encode(stored)
    read = decode(payload)
    for old, new in zip(stored, read, strict=True):
        for name in (*STRINGS, *NUMBERS, "version", "flags", "origin", "q"):
            assert getattr(old, name) == getattr(new, name), name
    assert read == stored
    assert encode(read) == payload
    assert binding_count(payload) == len(stored)
    assert highest_version(payload, len(stored)) == max(b.version for b in stored)
    assert due_at(payload, len(stored)) == min(map(due, stored))
    assert units_of(payload, len(stored)) == sum(not b.flags & REMOVED for b in stored) or NOBODY
    assert live_count(payload, len(stored), 77) == sum(b.is_live(77) for b in stored)


def test_a_phone_is_small() -> None:
    assert len(encode([phone()])) <= 330


def test_patching_is_encoding_with_those_fields_changed() -> None:
    one, two = phone(), phone()
    two.contact = b"sip:other@198.51.100.2"
    payload = encode([one, two])
    at = find_contact(payload, 2, two.contact)
    two.version, two.expires, two.cseq, two.modified = 99 << 16, 3_000, 6, 1_500
    two.methods, two.q, two.origin = 5951, 500, 7
    assert patched(payload, at, 99 << 16, 3_000, 6, 1_500, 5951, 500, 7) == encode([one, two])
    two.q = -1
    assert patched(payload, at, 99 << 16, 3_000, 6, 1_500, 5951, -1, 7) == encode([one, two])


def test_a_contact_is_found_by_its_bytes() -> None:
    one, two = phone(), phone()
    two.contact = one.contact[:-1] + b"c"
    payload = encode([one, two])
    assert find_contact(payload, 2, one.contact) == 8
    assert find_contact(payload, 2, two.contact) == 64
    assert find_contact(payload, 2, b"sip:nobody@example.com") == -1


def due(binding: Binding) -> int:
    if binding.flags & REMOVED:
        return min((binding.version >> 16) // 1_000 + REMOVED_S, NEVER)
    return binding.expires or NEVER


def test_when_a_record_is_due() -> None:
    one, two = phone(), phone()
    one.expires = 0
    assert due_at(encode([one]), 1) == NEVER
    assert due_at(encode([one, two]), 2) == 2_000
    two.flags, two.expires, two.version = REMOVED, 1, 5_000_000 << 16
    assert due_at(encode([one, two]), 2) == 5_600


def test_tombstones_count_for_nobody() -> None:
    one, two = phone(), phone()
    two.flags = REMOVED
    assert units_of(encode([one, two]), 2) == 1
    assert units_of(encode([two]), 1) == NOBODY


@given(st.data())
def test_corruption_never_raises_out_of_a_reader(
    shared: LocationTable, data: st.DataObject
) -> None:
    payload = bytearray(encode([phone(), phone()]))
    for _ in range(data.draw(st.integers(1, 8))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.one_of(st.just(len(payload)), st.integers(0, len(payload))))
    broken = bytes(payload[:cut])
    assert shared.commit(b"a@b", shared.snapshot(b"a@b")[1], broken, 1, 1)
    faults = Faults()
    found = lookup(shared, b"a@b", "INVITE", 1, faults)
    assert (faults.corrupt == 1) is (binding_count(broken) < 0)
    assert len(found) <= max(binding_count(broken), 0)
    try:
        read = decode(broken)
    except CorruptRecord:
        assert binding_count(broken) == -1
    else:
        assert len(read) == binding_count(broken)
        contact_lines(broken, len(read), 1)


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b"\x01",
        bytes(8),
        b"\x02" + encode([phone()])[1:],
        encode([phone()])[:-1],
        encode([phone()]) + b"x",
        b"\x01\x02" + encode([phone()])[2:],
        b"\x01\x00" + encode([phone()])[2:],
        b"\xff" * 400,
    ],
)
def test_what_is_not_a_record(broken: bytes) -> None:
    assert binding_count(broken) == -1
    with pytest.raises(CorruptRecord):
        decode(broken)


def test_what_cannot_be_a_record() -> None:
    with pytest.raises(CorruptRecord):
        encode([])
    with pytest.raises(CorruptRecord):
        encode([phone()] * 256)
    huge = phone()
    huge.contact = b"x" * 65_536
    with pytest.raises(CorruptRecord):
        encode([huge])
    eternal = phone()
    eternal.version = 2**64 - 1
    with pytest.raises(CorruptRecord):
        encode([eternal])


@pytest.mark.parametrize(
    ("q", "text"),
    [(0, b"0"), (1, b"0.001"), (100, b"0.1"), (500, b"0.5"), (750, b"0.75"), (1000, b"1")],
)
def test_q_is_written_as_the_grammar_has_it(q: int, text: bytes) -> None:
    assert q_text(q) == text


def test_contact_lines() -> None:
    one, two, gone = phone(), phone(), phone()
    one.q, one.reg_id = 500, 2
    two.contact, two.instance, two.expires = b"sip:bob@198.51.100.2", b"", 0
    gone.expires = 1_000
    assert contact_lines(encode([one, two, gone]), 3, 1_000) == (
        b"Contact: <sip:alice@192.168.1.10:5060;transport=udp;ob>;q=0.5;expires=1000"
        b';+sip.instance="<urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6>";reg-id=2\r\n'
        b"Contact: <sip:bob@198.51.100.2>;expires=3600\r\n"
    )


def test_binding_has_no_hash_but_equality() -> None:
    assert phone() == phone()
    assert phone() != Binding(b"sip:a@b")
    assert phone() != "phone"
    assert "192.168.1.10" in repr(phone())
