"""The bytes of a dialog's record: what is written is read, and damage is seen."""

from __future__ import annotations

import random

import pytest

from proxy.dialog import layout
from proxy.dialog.decoded import DialogRecord, Leg, decode, encode, listed, pairs
from proxy.dialog.record import (
    begin,
    did_text,
    find_leg,
    is_sound,
    key_of,
    leg_string,
    string,
    units_of,
    with_leg,
    with_leg_string,
    with_string,
)
from proxy.errors import CorruptRecord

KEY = key_of(b"a84b4c76e66710@pc33.example.com", b"1928301774")


def full() -> DialogRecord:
    return DialogRecord(
        key=KEY,
        node=7,
        epoch=0x68E4F2A1,
        counter=2**40 + 5,
        state=4,
        version=2**63 + 1,
        owner=8,
        created_ms=1_700_000_000_001,
        answered_ms=1_700_000_000_002,
        ended_ms=3,
        timeout_at=4,
        lifetime=5,
        due=6,
        flags=7,
        user_flags=8,
        invite_cseq=9,
        end_reason=1,
        end_code=486,
        from_uri=b"sip:alice@example.com",
        to_uri=b"sip:bob@example.com",
        sharing_tag=b"vip",
        variables={b"account": b"17", b"": b"\0\xff"},
        profiles=[(b"caller", b"alice"), (b"all", b"")],
        caller=Leg(b"1928301774", b"sip:a@192.0.2.1", b"<sip:p1;lr>,<sip:p2;lr>", b"s:1", state=4),
        callees=[
            Leg(b"bob", b"sip:b@192.0.2.2", b"", b"s:2", 4, 1, 2, 3, 4, 5, 6, 7, 8),
            Leg(b"bob2", b"", b"<sip:p3;lr>", b"", 2),
        ],
    )


def test_what_is_encoded_is_decoded() -> None:
    record = full()
    payload = encode(record)
    assert is_sound(payload)
    assert decode(KEY, payload) == record
    assert record.did == "7.68e4f2a1.10000000005"
    assert did_text(payload) == record.did.encode()
    assert record.call_id == b"a84b4c76e66710@pc33.example.com"
    assert record.end_words == "Upstream BYE"


def test_a_new_record_is_the_encoded_one() -> None:
    strings = (b"sip:alice@example.com", b"sip:bob@example.com", b"sip:a@h", b"", b"s:1") + (
        b"",
    ) * 3
    payload = begin(bytes(range(14)) + b"\0\0", 11, 3, 12, 13, 14, 15, 16, 17, strings)
    record = decode(KEY, payload)
    assert encode(record) == payload
    assert (record.state, record.version, record.owner, record.created_ms) == (1, 11, 3, 12)
    assert (record.due, record.lifetime, record.flags, record.invite_cseq) == (13, 14, 15, 16)
    assert record.caller.contact == b"sip:a@h"


def test_legs_are_added_and_found() -> None:
    payload = begin(
        bytes(16), 1, 1, 1, 1, 1, 0, 1, 0, (b"from", b"to", b"", b"", b"", b"", b"", b"")
    )
    assert find_leg(payload, b"") == -1
    for number in range(5):
        payload = with_leg(
            payload, 2, number, number, b"tag%d" % number, b"c", b"", b"s", b"d", b""
        )
        assert is_sound(payload)
    for number in range(5):
        at = find_leg(payload, b"tag%d" % number)
        assert at == layout.HEAD + number * layout.LEG
        assert leg_string(payload, at, layout.LEG_TAG) == b"tag%d" % number
    assert find_leg(payload, b"tag") == find_leg(payload, b"tag55") == -1
    assert string(payload, layout.TO_URI) == b"to"


def test_any_string_is_replaced_by_any_other() -> None:
    """Against the plain way: decode, change, encode."""
    draw = random.Random(3)
    for _ in range(300):
        record = full()
        record.callees = [
            Leg(b"t%d" % n, *(bytes(draw.choice((0, 0, 3)) * [65]) for _ in range(3)))
            for n in range(draw.randrange(4))
        ]
        record.sharing_tag = bytes(draw.choice((0, 2)))
        record.variables = {}
        record.profiles = []
        value = bytes(draw.choice((0, 1, 20)))
        payload = encode(record)
        if record.callees and draw.random() < 0.6:
            which = draw.randrange(len(record.callees))
            field, name = draw.choice(((1, "contact"), (2, "routes"), (3, "socket")))
            payload = with_leg_string(payload, layout.HEAD + which * layout.LEG, field, value)
            setattr(record.callees[which], name, value)
        else:
            field, name = draw.choice(((0, "from_uri"), (1, "to_uri"), (5, "sharing_tag")))
            payload = with_string(payload, field, value)
            setattr(record, name, value)
        assert decode(KEY, payload) == record


def test_damage_is_seen() -> None:
    payload = encode(full())
    for size in range(len(payload)):
        assert not is_sound(payload[:size])
    draw = random.Random(4)
    for _ in range(3000):
        bad = bytearray(payload)
        bad[draw.randrange(len(bad))] = draw.randrange(256)
        try:
            decode(KEY, bytes(bad))
        except (CorruptRecord, ValueError):
            continue
    with pytest.raises(CorruptRecord):
        decode(KEY, b"")


def test_lists_of_pairs() -> None:
    some = [(b"a", b"1"), (b"", b""), (b"b" * 255, b"\0" * 300)]
    assert pairs(listed(some)) == some
    for size in range(1, 5):
        with pytest.raises(CorruptRecord):
            pairs(listed([(b"ab", b"cd")])[:size])
    with pytest.raises(CorruptRecord):
        listed([(b"x" * 256, b"")])


def test_what_counts_for_which_gauge() -> None:
    assert [units_of(state) for state in range(1, 6)] == [0, 1, 1 << 16, 1 << 16, 0]
