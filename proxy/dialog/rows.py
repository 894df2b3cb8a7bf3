"""Dialogs as rows of OpenSIPS' `dialog`, version 12, and back.

OpenSIPS has a row for a caller and one callee. What its columns have no room for (the did, other
callees, session descriptions, numbers behind our own requests) is in `vars`, beside the policy's
variables and in their form: first `_v`, the version at a fixed place so that SQL can compare it,
then `_sipherd`, the record itself. A column that somebody has changed since counts more than that.
"""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from proxy.dialog import layout as at
from proxy.dialog.decoded import DialogRecord, Leg, decode, encode
from proxy.dialog.soundness import is_plausible
from proxy.dialog.states import State
from proxy.errors import CorruptRecord
from proxy.limits import bounds

Row = dict[str, Any]

MARK: Final = b"_v#"  # how vars begins in a row that this program wrote
HEX: Final = b"0123456789abcdefABCDEF"
RECORD: Final = b"_sipherd"
RESERVED: Final = (MARK[:-1], RECORD)
END_HEADERS: Final = b"end_headers"  # lines for a BYE: not from a place where anybody may write
VARS_BYTES: Final = 65_535  # of a BLOB
U32: Final = 0xFFFF_FFFF
STORED: Final = (State.CONFIRMED_NA, State.CONFIRMED)
FLAGS: Final = {  # OpenSIPS' bit in the column `flags`: ours
    1 << 3: at.BYE_ON_TIMEOUT,
    1 << 5: at.PING_CALLER,
    1 << 6: at.PING_CALLEE,
    1 << 11: at.REINVITE_PING_CALLER,
    1 << 12: at.REINVITE_PING_CALLEE,
    1 << 15: at.END_ON_RACE,
    1 << 16: at.CANCELLED,
    1 << 17: at.RACE,
}
ALL_FLAGS: Final = sum(FLAGS.values())
WIDTHS: Final = {
    "callid": 255,
    "from_uri": 255,
    "from_tag": 64,
    "to_uri": 255,
    "to_tag": 64,
    "caller_contact": 255,
    "callee_contact": 255,
    "caller_sock": 64,
    "callee_sock": 64,
    "caller_route_set": 16_000,
    "callee_route_set": 16_000,
    "profiles": 16_000,
}


def main_leg(record: DialogRecord) -> Leg:
    """The callee that the row is about: the first that is up, or the first there is."""
    up = (leg for leg in record.callees if leg.is_confirmed)
    return next(up, record.callees[0] if record.callees else Leg())


def dialog_row(record: DialogRecord) -> Row:
    """The row of a dialog that is up; CorruptRecord when it is too large for one."""
    leg = main_leg(record)
    return {
        "dlg_id": record.db_id,
        "callid": _fitting("callid", record.call_id),
        "from_uri": _fitting("from_uri", record.from_uri),
        "from_tag": _fitting("from_tag", record.caller.tag),
        "to_uri": _fitting("to_uri", record.to_uri),
        "to_tag": _fitting("to_tag", leg.tag),
        "mangled_from_uri": _fitting("from_uri", record.mangled_from_uri) or None,
        "mangled_to_uri": _fitting("to_uri", record.mangled_to_uri) or None,
        # of each side the last CSeq that was sent to it
        "caller_cseq": str(leg.cseq),
        "callee_cseq": str(leg.caller_cseq),
        "caller_ping_cseq": leg.caller_generated,
        "callee_ping_cseq": leg.generated,
        "caller_route_set": _fitting("caller_route_set", record.caller.routes) or None,
        "callee_route_set": _fitting("callee_route_set", leg.routes) or None,
        "caller_contact": _fitting("caller_contact", record.caller.contact) or None,
        "callee_contact": _fitting("callee_contact", leg.contact) or None,
        "caller_sock": _fitting("caller_sock", b"udp:" + record.caller.socket),
        "callee_sock": _fitting("callee_sock", b"udp:" + leg.socket),
        "state": int(record.state),
        "start_time": (record.answered_ms or record.created_ms) // 1_000 & U32,
        "timeout": record.timeout_at,
        "vars": _vars(record),
        "profiles": _fitting("profiles", joined(record.profiles)) or None,
        "script_flags": None,
        "module_flags": 0,
        "flags": sum(theirs for theirs, ours in FLAGS.items() if record.flags & ours),
        "rt_on_answer": None,
        "rt_on_timeout": None,
        "rt_on_hangup": None,
    }


def plain_row(row: Row) -> Row:
    """A row for a database that refuses other characters than ASCII; `vars` has them all."""
    return {
        name: value.encode("ascii", "replace").decode() if isinstance(value, str) else value
        for name, value in row.items()
    }


def version_of(row: Mapping[str, Any]) -> int:
    """The version in a row's vars; 0 for rows that others wrote."""
    blob = _bytes(row["vars"])
    digits = blob[len(MARK) : len(MARK) + 16]
    if not blob.startswith(MARK) or len(digits) != 16 or digits.strip(HEX):
        return 0
    return int(digits, 16)


def read_row(row: Mapping[str, Any]) -> DialogRecord:
    """The dialog of a row, ours or OpenSIPS'; its epoch is 0 when it has no did of ours yet.

    CorruptRecord when there is none in it, or one whose texts must not get into a message.
    """
    variables = dict(split(_bytes(row["vars"])))
    record = _own(variables.pop(RECORD, b""))
    for name in (MARK[:-1], END_HEADERS):
        variables.pop(name, None)
    said: Mapping[str, Any] = {}
    if record is None:
        record = _foreign(row)
    else:
        said = dialog_row(record)
    leg = main_leg(record)
    for column, take in _COLUMNS.items():
        value = row[column]
        if _text(value) not in (_text(said.get(column, "\0")), _ascii(said.get(column, "\0"))):
            take(record, leg, value)
    record.variables = _bounded(variables.items(), bounds.DIALOG_VARIABLES_BYTES)
    record.version = version_of(row)
    _check(record)
    return record


def _own(text: bytes) -> DialogRecord | None:
    """The record that `vars` holds; None where there is none that makes sense."""
    try:
        blob = b64decode(text, validate=True)
        size = int.from_bytes(blob[:2], "big")
        return decode(blob[2 : 2 + size], blob[2 + size :]) if blob else None
    except (binascii.Error, ValueError, CorruptRecord):
        return None


def _foreign(row: Mapping[str, Any]) -> DialogRecord:
    call_id, tag, to_tag = (_bytes(row[name]) for name in ("callid", "from_tag", "to_tag"))
    if not call_id or not tag or not to_tag:
        raise CorruptRecord("a row of dialog has no Call-ID or tag")
    started = _number(row["start_time"]) * 1_000
    record = DialogRecord(
        key=call_id + b"\0" + tag,
        created_ms=started,
        answered_ms=started,
        from_uri=_bytes(row["from_uri"])[: bounds.DIALOG_URI_BYTES],
        to_uri=_bytes(row["to_uri"])[: bounds.DIALOG_URI_BYTES],
        mangled_from_uri=_bytes(row["mangled_from_uri"])[: bounds.DIALOG_URI_BYTES],
        mangled_to_uri=_bytes(row["mangled_to_uri"])[: bounds.DIALOG_URI_BYTES],
        caller=Leg(tag=tag, socket=_socket(row["caller_sock"])),
    )
    leg = Leg(tag=to_tag, socket=_socket(row["callee_sock"]), answered_ms=started)
    record.callees.append(leg)
    return record


def _state(record: DialogRecord, leg: Leg, value: Any) -> None:
    record.state = leg.state = _number(value)


def _timeout(record: DialogRecord, _leg: Leg, value: Any) -> None:
    record.timeout_at = _number(value) or 1  # 0 would be no end at all
    record.lifetime = max(record.timeout_at - record.answered_ms // 1_000, 1)


def _caller_cseq(_record: DialogRecord, leg: Leg, value: Any) -> None:
    leg.cseq = _number(value, bounds.CSEQ)


def _callee_cseq(record: DialogRecord, leg: Leg, value: Any) -> None:
    leg.caller_cseq = _number(value, bounds.CSEQ)
    record.invite_cseq = record.invite_cseq or leg.caller_cseq


def _caller_ping(_record: DialogRecord, leg: Leg, value: Any) -> None:
    leg.caller_generated = _number(value, bounds.CSEQ)


def _callee_ping(_record: DialogRecord, leg: Leg, value: Any) -> None:
    leg.generated = _number(value, bounds.CSEQ)


def _caller_routes(record: DialogRecord, _leg: Leg, value: Any) -> None:
    record.caller.routes = _bytes(value)


def _callee_routes(_record: DialogRecord, leg: Leg, value: Any) -> None:
    leg.routes = _bytes(value)


def _caller_contact(record: DialogRecord, _leg: Leg, value: Any) -> None:
    record.caller.contact = _uri(value)


def _callee_contact(_record: DialogRecord, leg: Leg, value: Any) -> None:
    leg.contact = _uri(value)


def _profiles(record: DialogRecord, _leg: Leg, value: Any) -> None:
    pairs = [(name.partition(b"/")[0], each) for name, each in split(_bytes(value))]
    record.profiles = [
        (name, each)
        for name, each in dict.fromkeys(pairs)
        if len(name) <= bounds.PROFILE_NAME_BYTES and len(each) <= bounds.PROFILE_VALUE_BYTES
    ][: bounds.DIALOG_PROFILES]


def _flags(record: DialogRecord, _leg: Leg, value: Any) -> None:
    theirs = _number(value)
    record.flags &= ~ALL_FLAGS
    record.flags |= sum(ours for bit, ours in FLAGS.items() if theirs & bit)


_COLUMNS: Final[dict[str, Callable[[DialogRecord, Leg, Any], None]]] = {
    "state": _state,
    "timeout": _timeout,
    "caller_cseq": _caller_cseq,
    "callee_cseq": _callee_cseq,
    "caller_ping_cseq": _caller_ping,
    "callee_ping_cseq": _callee_ping,
    "caller_route_set": _caller_routes,
    "callee_route_set": _callee_routes,
    "caller_contact": _caller_contact,
    "callee_contact": _callee_contact,
    "profiles": _profiles,
    "flags": _flags,
}


# -- lists of names and values --------------------------------------------------------------------


def joined(pairs: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Names and values as OpenSIPS writes them: name#value|, its signs escaped by a backslash."""
    return b"".join(b"%b#%b|" % (_escaped(name), _escaped(value)) for name, value in pairs)


def split(blob: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The opposite of `joined`; what is cut off at the end is left out."""
    name: bytes | None = None
    piece = bytearray()
    escaped = False
    for byte in blob:
        if escaped or byte not in b"\\#|":
            piece.append(byte)
            escaped = False
        elif byte == ord("\\"):
            escaped = True
        elif byte == ord("#") and name is None:
            name, piece = bytes(piece), bytearray()
        elif byte == ord("|"):
            if name:
                yield name, bytes(piece)
            name, piece = None, bytearray()
        else:
            piece.append(byte)


def _escaped(text: bytes) -> bytes:
    return text.replace(b"\\", b"\\\\").replace(b"#", b"\\#").replace(b"|", b"\\|")


def _vars(record: DialogRecord) -> bytes:
    """What `vars` says: the version, the record, the variables; what makes it too large is left."""
    mark = b"%b%016x|" % (MARK, record.version)
    variables = joined(
        (name, value) for name, value in record.variables.items() if name not in RESERVED
    )
    payload = encode(record)
    room = (VARS_BYTES - len(mark) - len(variables) - len(RECORD) - 16) // 4 * 3 - len(record.key)
    if len(payload) > room:
        payload = encode(_lean(record, payload))
    if len(payload) > room:
        raise CorruptRecord(f"a dialog of {len(payload)} bytes is too large for a row")
    blob = len(record.key).to_bytes(2, "big") + record.key + payload
    return b"%b%b#%b|%b" % (mark, RECORD, b64encode(blob), variables)


def _lean(record: DialogRecord, payload: bytes) -> DialogRecord:
    """A copy without session descriptions, and without callees that are not up."""
    lean = decode(record.key, payload)
    lean.callees = [leg for leg in lean.callees if leg.is_confirmed] or lean.callees[:1]
    for side in (lean.caller, *lean.callees):
        side.sdp = b""
    return lean


# -- what comes from a database is anything at all ------------------------------------------------


def _check(record: DialogRecord) -> None:
    try:
        possible = record.key.count(b"\0") == 1 and is_plausible(record.key, encode(record))
    except (ValueError, OverflowError):  # a number that no field of a record holds
        possible = False
    if not possible:
        raise CorruptRecord("a row of dialog is not what we or OpenSIPS could have written")


def _bounded(pairs: Iterable[tuple[bytes, bytes]], room: int) -> dict[bytes, bytes]:
    kept: dict[bytes, bytes] = {}
    for name, value in pairs:
        room -= len(name) + len(value)
        if room >= 0 and len(name) <= 0xFF:
            kept[name] = value
    return kept


def _fitting(column: str, value: bytes) -> str:
    return value.decode("utf-8", "replace").replace("\0", "\ufffd")[: WIDTHS[column]]


def _text(value: Any) -> str:
    """A column for a comparison: CHAR drops spaces at the end, NULL is as good as nothing."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    return "" if value is None else str(value).rstrip(" ")


def _ascii(value: Any) -> str:
    return _text(value).encode("ascii", "replace").decode()


def _bytes(value: Any) -> bytes:
    if value is None:
        return b""
    return bytes(value) if isinstance(value, bytes) else str(value).encode("utf-8", "replace")


def _number(value: Any, most: int = U32) -> int:
    try:
        return min(max(int(value or 0), 0), most)
    except (ValueError, OverflowError, TypeError):
        return 0


def _socket(value: Any) -> bytes:
    return _bytes(value).partition(b":")[2]


def _uri(value: Any) -> bytes:
    uri = _bytes(value)
    return uri[1:].partition(b">")[0] if uri.startswith(b"<") else uri
