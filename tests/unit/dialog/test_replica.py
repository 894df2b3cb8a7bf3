"""Of two nodes' records of one call one wins, the same on every node (R11)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.cluster.form import joined
from proxy.cluster.store import Horizon
from proxy.dialog import layout as at
from proxy.dialog.decoded import DialogRecord, Leg, decode, encode
from proxy.dialog.replica import DialogForm, buried, is_buried
from proxy.dialog.soundness import is_plausible, is_plausible_key
from proxy.dialog.states import EndReason, State
from proxy.limits import bounds
from proxy.shm.words import put_u32

FORM = DialogForm()
KEY = b"call\0from"
CREATED = 1_700_000_000_000


def record(**more: Any) -> DialogRecord:
    made = DialogRecord(
        KEY,
        node=1,
        epoch=7,
        counter=3,
        state=State.CONFIRMED,
        version=9 << 16,
        owner=1,
        created_ms=CREATED,
        answered_ms=CREATED + 5_000,
        invite_cseq=3,
        from_uri=b"sip:alice@example.com",
        variables={b"account": b"4711"},
        profiles=[(b"caller", b"alice"), (b"all", b"")],
        caller=Leg(b"from", b"sip:a@192.0.2.1", b"<sip:p;lr>", b"192.0.2.9:5060"),
        callees=[
            Leg(b"x", b"sip:x@192.0.2.3", b"", b"192.0.2.9:5060", State.DELETED, 0, 1),
            Leg(b"to", b"sip:b@192.0.2.2", b"", b"192.0.2.9:5060", State.CONFIRMED, 0, 3, 9, 11),
        ],
    )
    made.caller.sdp = b"v=0\r\n"
    return replace(made, **more)


def body(**more: Any) -> bytes:
    return encode(record(**more))


def ended(**more: Any) -> bytes:
    return body(state=State.DELETED, end_reason=EndReason.UPSTREAM_BYE, **more)


def record_of(
    version: int, owner: int, created: int, counter: int, answered: bool, end: int, flags: int
) -> bytes:
    made = body(
        version=version,
        owner=owner,
        created_ms=CREATED + created,
        counter=counter,
        answered_ms=CREATED + 9 if answered else 0,
        state=State.DELETED if end else State.CONFIRMED,
        flags=at.SEALED if end > 1 else 0,
        user_flags=flags,
    )
    return bytes(buried(made)) if end == 3 else made


BODIES = st.builds(
    record_of,
    st.integers(1, 4),
    st.integers(1, 2),
    st.integers(0, 1),
    st.integers(1, 2),
    st.booleans(),
    st.integers(0, 3),
    st.integers(0, 1),
)


@given(BODIES, BODIES)
def test_merge_is_commutative(a: bytes, b: bytes) -> None:
    assert FORM.sound(a)
    assert FORM.merge(a, b) == FORM.merge(b, a)


@given(BODIES, BODIES, BODIES)
def test_merge_is_associative(a: bytes, b: bytes, c: bytes) -> None:
    assert FORM.merge(a, FORM.merge(b, c)) == FORM.merge(FORM.merge(a, b), c)


@given(BODIES, BODIES)
def test_merge_is_idempotent(a: bytes, b: bytes) -> None:
    assert FORM.merge(a, bytes(bytearray(a))) is a
    once = FORM.merge(a, b)
    assert FORM.merge(once, b) is once
    assert FORM.merge(once, a) is once


@given(BODIES, BODIES)
def test_other_bytes_have_other_stamps(a: bytes, b: bytes) -> None:
    assert (FORM.stamps(a) == FORM.stamps(b)) == (a == b)
    live, dead = FORM.stamps(a)
    is_over = decode(KEY, a).state == State.DELETED
    assert (live == 0, dead == 0) == (is_over, not is_over)


@pytest.mark.parametrize(
    ("winner", "loser"),
    [
        (body(version=2), body(version=1)),
        (body(owner=2), body(owner=1)),
        (ended(version=2), body(version=1)),
        # cut off while it rang, and given up there later than it was answered here
        (body(version=1), ended(version=2, answered_ms=0)),
        # its record is being written: what a node says that knows nothing of it is of no use
        (ended(version=1, flags=at.SEALED), body(version=2)),
        (bytes(buried(ended(version=1))), ended(version=2, flags=at.SEALED)),
        # the same names again
        (body(version=1, created_ms=CREATED + 1), bytes(buried(ended(version=2)))),
    ],
)
def test_who_knows_more_wins(winner: bytes, loser: bytes) -> None:
    assert FORM.merge(winner, loser) is winner
    assert FORM.merge(loser, winner) is winner


def test_the_version_is_told() -> None:
    assert FORM.newest(body(version=2**64 - 1)) == 2**64 - 1


def test_what_is_buried_says_only_that_it_has_ended() -> None:
    full = ended(flags=at.RACE, branch=77)
    grave = bytes(buried(full))
    assert len(grave) == at.HEAD
    assert FORM.sound(grave)
    assert is_buried(grave)
    assert not is_buried(full)
    left, was = decode(KEY, grave), decode(KEY, full)
    assert (left.did, left.version, left.created_ms) == (was.did, was.version, was.created_ms)
    assert (left.answered_ms, left.end_reason, left.branch) == (was.answered_ms, 1, 77)
    assert left.flags == at.RACE | at.SEALED | at.WRITTEN
    assert (left.profiles, left.callees, left.from_uri) == ([], [], b"")


def test_a_grave_goes_when_every_node_knows() -> None:
    grave = bytes(buried(ended(version=7)))
    for before, stays in ((7, True), (8, False)):
        assert (FORM.prune(grave, 1, 10**9, 0, before) is grave) == stays
        assert (joined(FORM, None, grave, Horizon(1, 0, 0, before)) is grave) == stays
    for other in (body(version=7), ended(version=7), ended(version=7, flags=at.SEALED)):
        assert FORM.prune(other, 1, 10**9, 0, 8) is other, "somebody has to write its record"


def spoilt(where: int, value: int) -> bytes:
    made = bytearray(body())
    made[where : where + 2] = value.to_bytes(2, "little")
    return bytes(made)


def leg_with(**more: Any) -> bytes:
    return body(callees=[replace(record().callees[1], **more)])


@pytest.mark.parametrize(
    "hostile",
    [
        b"",
        bytes(at.HEAD),
        body()[:-1],
        body(version=0),
        body(owner=0),
        body(node=0),
        body(created_ms=2**64 - 1),
        body(answered_ms=2**63),
        body(end_reason=max(EndReason) + 1),
        body(invite_cseq=bounds.CSEQ + 1),
        body(from_uri=b"sip:a@b\r\nEvil: 1"),
        body(to_uri=b"x" * (bounds.DIALOG_URI_BYTES + 1)),
        body(sharing_tag=b"\0"),
        body(profiles=[(b"n" * 32, b"")]),
        body(profiles=[(b"n", b"%d" % number) for number in range(9)]),
        body(variables={b"%d" % number: b"x" * 1_000 for number in range(9)}),
        body(callees=[Leg(state=State.EARLY)] * (bounds.DIALOG_LEGS + 1)),
        body(caller=Leg(b"from", b"sip:a@b>\r\n")),
        body(caller=Leg(sdp=b"x" * (bounds.DIALOG_SDP_BYTES + 1))),
        spoilt(at.AT_PROFILES, 1),
        spoilt(at.AT_STATE, 6),
        leg_with(routes=b"<sip:p;lr>\nRoute: <sip:q>"),
        leg_with(tag=b"t" * (bounds.TAG_BYTES + 1)),
        leg_with(destination=b"\x7f"),
        leg_with(generated=2**32 - 1),
        leg_with(cseq=2**32 - 1),
        leg_with(ended_ms=2**62),
        leg_with(end_reason=99),
        body(flags=at.WRITTEN | at.SEALED),
        body(flags=at.SEALED),
        ended(flags=at.WRITTEN | at.SEALED),
    ],
)
def test_what_nobody_can_have_written_is_refused(hostile: bytes) -> None:
    assert FORM.sound(body())
    assert not FORM.sound(hostile)


def test_lists_that_do_not_end_are_refused() -> None:
    for field, blob in ((at.PROFILES, b"\x05n"), (at.VARIABLES, b"\x01n\xff\xff"), (6, b"\x09")):
        whole = body(variables={b"0123456789": b""}, profiles=[(b"0123456789", b"")])
        start = at.HEAD + 2 * at.LEG
        for before in range(field):
            start += int.from_bytes(whole[at.AT_LENGTHS + 2 * before :][:2], "little")
        hostile = bytearray(whole)
        hostile[start : start + len(blob)] = blob
        assert FORM.sound(whole)
        assert not FORM.sound(bytes(hostile))


def test_a_key_has_a_call_id_and_a_tag() -> None:
    for key in (b"call\0from", b"call\0from\x001.2.3", b"c" * 255 + b"\0t"):
        assert is_plausible_key(key)
        assert is_plausible(key, body())
        assert not is_plausible(key, b"")
    for key in (
        b"",
        b"call",
        b"call\0",
        b"\0tag",
        b"a\0b\0c\0d",
        b"a\r\nb\0c",
        b"c" * 256 + b"\0t",
    ):
        assert not is_plausible_key(key)
        assert not is_plausible(key, body())


@given(st.integers(0, len(body()) - 4), st.integers(0, 2**32 - 1))
def test_whatever_is_taken_can_be_read(where: int, value: int) -> None:
    made = bytearray(body())
    put_u32(made, where, value)
    taken = bytes(made)
    if FORM.sound(taken):
        found = decode(KEY, taken)
        assert len(found.callees) <= bounds.DIALOG_LEGS
        assert found.end_words is not None
        assert FORM.merge(taken, bytes(made)) is taken
