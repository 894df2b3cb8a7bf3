"""Dialogs as rows: nothing is lost on the way there and back, and nothing hostile comes back."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.dialog import layout as at
from proxy.dialog.decoded import DialogRecord, Leg, decode, encode
from proxy.dialog.rows import (
    RECORD,
    VARS_BYTES,
    WIDTHS,
    dialog_row,
    joined,
    plain_row,
    read_row,
    split,
    version_of,
)
from proxy.dialog.states import State
from proxy.errors import CorruptRecord
from proxy.limits import bounds
from proxy.storage.schema import dialog

TEXT = st.binary(max_size=30)
URI = st.text(
    st.characters(codec="utf-8", min_codepoint=32, exclude_characters="\x7f"), max_size=100
).map(lambda text: text.encode())


def up(**more: Any) -> DialogRecord:
    made = DialogRecord(
        key=b"call@host\0from",
        node=7,
        epoch=5,
        counter=2**40,
        state=State.CONFIRMED,
        version=(1_700_000_000_000 << 16) + 3,
        owner=7,
        created_ms=1_699_999_990_001,
        answered_ms=1_699_999_995_002,
        timeout_at=1_700_040_000,
        lifetime=40_000,
        due=1_700_000_030,
        flags=at.BYE_ON_TIMEOUT | at.REINVITE_PING_CALLEE,
        user_flags=8,
        invite_cseq=9,
        from_uri=b"sip:alice@example.com",
        to_uri=b"sip:bob@example.com",
        variables={b"account": b"1#7|\\", b"": b"\0"},
        profiles=[(b"caller", b"alice"), (b"all", b"")],
        caller=Leg(b"from", b"sip:a@192.0.2.1", b"<sip:p1;lr>, <sip:p2;lr>", b"192.0.2.9:5060"),
        callees=[
            Leg(b"late", b"sip:c@192.0.2.3", b"", b"192.0.2.9:5060", State.DELETED),
            Leg(b"to", b"sip:b@192.0.2.2", b"", b"192.0.2.9:5060", State.CONFIRMED, 0, 3, 9, 11, 4),
        ],
    )
    made.caller.state = made.state
    made.caller.sdp = b"v=0\r\n"
    for name, value in more.items():
        setattr(made, name, value)
    return made


def stored(record: DialogRecord) -> DialogRecord:
    """What is read of the row that was written."""
    return read_row(dialog_row(record))


def test_the_columns_are_opensips() -> None:
    row = dialog_row(up())
    assert set(row) == {column.name for column in dialog.columns}
    assert row["to_tag"] == "to", "the callee that is up"
    assert (row["caller_cseq"], row["callee_cseq"]) == ("3", "9")
    assert (row["callee_ping_cseq"], row["caller_ping_cseq"]) == (11, 4)
    assert row["caller_sock"] == "udp:192.0.2.9:5060"
    assert row["flags"] == 1 << 3 | 1 << 12
    assert (row["timeout"], row["start_time"]) == (1_700_040_000, 1_699_999_995)
    assert row["profiles"] == "caller#alice|all#|"
    assert row["vars"].endswith(b"|account#1\\#7\\|\\\\|#\0|")
    assert 0 < row["dlg_id"] < 2**63
    assert row["dlg_id"] == up(version=1).db_id != up(counter=1).db_id


def test_a_row_is_the_record() -> None:
    record = up(variables={b"account": b"1#7|\\"})
    found = stored(record)
    assert found == record
    assert encode(found) == encode(record)


@given(URI, URI, TEXT, st.binary(max_size=200), st.integers(0, 2**64 - 1))
def test_whatever_is_in_it(contact: bytes, uri: bytes, name: bytes, value: bytes, v: int) -> None:
    record = up(from_uri=uri, version=v, variables={b"x" + name: value})
    record.caller.contact = contact
    row = dialog_row(record)
    assert all(len(row[column] or "") <= width for column, width in WIDTHS.items())
    for each in (row, plain_row(row), row | {"vars": memory(row["vars"])}):
        assert read_row(each) == record
        assert version_of(each) == v


def memory(blob: bytes) -> bytes:
    return bytes(bytearray(blob))


def test_a_column_that_opensips_has_changed_counts() -> None:
    row = dialog_row(up())
    changed = {
        "state": 5,
        "timeout": 1_800_000_000,
        "caller_cseq": "30",
        "callee_cseq": "90",
        "callee_contact": "sip:b@192.0.2.77",
        "callee_route_set": "<sip:p9;lr>",
        "profiles": "caller/b#bob|",
        "flags": (1 << 5) | (1 << 17),
    }
    found = read_row(row | changed)
    leg = found.callee(b"to")
    assert leg is not None
    assert (found.state, found.timeout_at, leg.cseq, leg.caller_cseq) == (5, 1_800_000_000, 30, 90)
    assert (leg.contact, leg.routes) == (b"sip:b@192.0.2.77", b"<sip:p9;lr>")
    assert found.profiles == [(b"caller", b"bob")]
    assert found.flags == at.PING_CALLER | at.RACE
    assert found.did == up().did


def test_a_row_of_opensips_alone() -> None:
    row = dialog_row(up()) | {"vars": b"account#4711|cut\\|off#x", "caller_contact": "<sip:a@h>;x"}
    found = read_row(row)
    assert (found.epoch, found.version, version_of(row)) == (0, 0, 0)
    assert (found.call_id, found.caller.tag, found.callees[0].tag) == (b"call@host", b"from", b"to")
    assert found.caller.contact == b"sip:a@h"
    assert found.variables == {b"account": b"4711"}
    assert found.callees[0].caller_cseq == found.invite_cseq == 9
    assert decode(found.key, encode(found)).timeout_at == 1_700_040_000


@pytest.mark.parametrize(
    "hostile",
    [
        {"callid": None},
        {"callid": "a\r\nb"},
        {"callid": "a\0b"},
        {"callid": "x" * 256},
        {"from_tag": ""},
        {"to_tag": "a\nb"},
        {"from_uri": "sip:a@b\r\nEvil: 1"},
        {"caller_contact": "sip:a@b>\r\nEvil: 1"},
        {"callee_contact": "sip:" + "x" * bounds.DIALOG_CONTACT_BYTES},
        {"callee_route_set": "<sip:p;lr>\r\nRoute: <sip:q;lr>"},
        {"caller_sock": "udp:\x01"},
        {"state": 0},
        {"state": None},
        {"state": 6},
        {"state": "four"},
        {"state": 256},
        {"state": 2**70},
    ],
)
def test_what_must_not_get_into_a_message_is_refused(hostile: dict[str, Any]) -> None:
    row = dialog_row(up()) | {"vars": None}
    assert read_row(row).state == State.CONFIRMED
    with pytest.raises(CorruptRecord):
        read_row(row | hostile)


def test_a_record_in_vars_is_checked_as_columns_are() -> None:
    record = up()
    record.callees[0].routes = b"<sip:p;lr>\r\nEvil: 1"
    with pytest.raises(CorruptRecord):
        stored(record)
    with pytest.raises(CorruptRecord):
        stored(up(key=b"call\r\nEvil: 1\0from"))


@given(st.binary(max_size=300))
def test_any_bytes_in_vars(blob: bytes) -> None:
    row = dialog_row(up())
    for vars_ in (
        blob,
        b"_v#" + blob,
        b"_v#0000000000000001|" + RECORD + b"#" + blob,
        None,
        "text",
    ):
        found = read_row(row | {"vars": vars_})
        assert found.call_id == b"call@host"
        decode(found.key, encode(found))


@given(st.dictionaries(TEXT.filter(len), TEXT))
def test_lists_of_opensips(pairs: dict[bytes, bytes]) -> None:
    assert dict(split(joined(pairs.items()))) == pairs


def test_a_large_call_goes_without_its_session_descriptions() -> None:
    record = up()
    record.callees = [
        Leg(b"t%d" % n, b"sip:x", b"", b"", state=State.CONFIRMED, sdp=b"s" * 4_096)
        for n in range(bounds.DIALOG_LEGS)
    ]
    row = dialog_row(record)
    assert len(row["vars"]) <= VARS_BYTES
    found = read_row(row)
    expected = deepcopy(record)
    for side in (expected.caller, *expected.callees):
        side.sdp = b""
    assert found.callees == expected.callees
    for leg in record.callees:
        leg.routes = b"r" * 5_000
    with pytest.raises(CorruptRecord):
        dialog_row(record)
