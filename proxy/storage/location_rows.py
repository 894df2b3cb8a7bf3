"""Bindings as rows of OpenSIPS' `location`, and back.

What the table has no column for goes into `kv_store`, which is JSON in OpenSIPS too: the version
first and of fixed width, so that SQL can compare it, then the sharing tag under OpenSIPS' own name.
So does what a column cannot hold: a text that is too long for it or not UTF-8 stands there whole,
and in its column as well as it can be.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

from proxy.registrar.binding import Binding
from proxy.registrar.contact_id import contact_id
from proxy.registrar.layout import BEHIND_NAT

Row = dict[str, Any]
AsTime = Callable[[int], Any]  # wall seconds to what the database takes as a DATETIME

NAT: Final = "NAT"
FLAG_SHIFT: Final = 1
ALL_METHODS: Final = 0xFFFF_FFFF
OURS: Final = '{"_v":"'  # how kv_store begins in a row that this program wrote
HEX: Final = "0123456789abcdefABCDEF"
PLAIN: Final = len(OURS) + 18  # with a version and nothing else
LAST_TIME: Final = 0xFFFF_FFFF
DEFAULT_CALL_ID: Final = "Default-Call-ID"
WIDTHS: Final = {
    "username": 64,
    "domain": 64,
    "contact": 16_000,
    "received": 255,
    "path": 255,
    "callid": 255,
    "user_agent": 255,
    "socket": 64,
    "sip_instance": 255,
}
WHOLE: Final = {column: f"_{column}" for column in WIDTHS}  # where in kv_store


def split_aor(key: bytes) -> tuple[bytes, bytes]:
    """The user and the domain of an address-of-record; one that has no @ is all user."""
    if b"@" not in key:
        return key, b""
    user, _, domain = key.rpartition(b"@")
    return user, domain


def location_row(key: bytes, binding: Binding, identity: int, as_time: AsTime) -> Row:
    """The row of one binding of the AoR `key`; `identity` is its contact_id."""
    user, domain = split_aor(key)
    behind_nat = binding.flags & BEHIND_NAT
    more: dict[str, str] = {}
    if not behind_nat and binding.received:
        more["_rc"] = binding.received.decode("latin-1")
    if binding.q % 10:  # FLOAT(10,2), and "not said" is -1
        more["_q"] = str(binding.q)
    if binding.reg_id:
        more["_ri"] = str(binding.reg_id)
    if binding.origin:
        more["_on"] = str(binding.origin)
    if binding.flags >> FLAG_SHIFT and binding.flags > 0x7FFF:
        more["_fl"] = str(binding.flags)
    row: Row = {
        "contact_id": identity,
        "username": fitting("username", user, more),
        "domain": fitting("domain", domain, more) if domain else None,
        "contact": fitting("contact", binding.contact, more),
        "received": fitting("received", b"sip:" + binding.received, more) if behind_nat else None,
        "path": fitting("path", binding.path, more) if binding.path else None,
        "expires": binding.expires,
        "q": binding.q / 1_000,
        "callid": fitting("callid", binding.call_id, more),
        "cseq": min(binding.cseq, 0x7FFF_FFFF),
        "last_modified": as_time(binding.modified),
        "flags": binding.flags >> FLAG_SHIFT,
        "cflags": NAT if behind_nat else None,
        "user_agent": fitting("user_agent", binding.user_agent, more),
        "socket": fitting("socket", b"udp:" + binding.socket, more) if binding.socket else None,
        "methods": None if binding.methods == ALL_METHODS else binding.methods & 0x7FFF_FFFF,
        "sip_instance": fitting("sip_instance", binding.instance, more)
        if binding.instance
        else None,
        "attr": None,
    }
    if binding.tag:
        more["_st"] = binding.tag.decode("latin-1")
    row["kv_store"] = key_values(binding.version, more)
    return row


def key_values(version: int, more: Mapping[str, str]) -> str:
    """The kv_store of a row: JSON, the version at its fixed place."""
    if not more:
        return f'{OURS}{version:016x}"}}'
    texts = orjson.dumps(more).decode()
    if not texts.isascii():  # a column may have no other letters
        texts = json.dumps(more, separators=(",", ":"))
    return f'{OURS}{version:016x}",{texts[1:]}'


def fitting(column: str, value: bytes, more: dict[str, str]) -> str:
    """`value` as its column can hold it; what would lose something stands in `more` as well."""
    if value.isascii():
        text = value.decode("ascii")
        if len(text) <= WIDTHS[column] and text[-1:] != " " and "\0" not in text:
            return text
    else:
        text = value.decode("utf-8", "replace")
        if "\ufffd" not in text and len(text) <= WIDTHS[column] and text[-1:] != " ":
            return text
    more[f"_{column}"] = value.decode("latin-1")
    return text.replace("\0", "\ufffd")[: WIDTHS[column]]


def plain_row(row: Row) -> Row:
    """A row for a database that refuses other characters than ASCII, with nothing lost."""
    more = parse_key_values(row["kv_store"])
    version = more.pop("_v", "0")
    for column in WIDTHS:
        value = row[column]
        if isinstance(value, str) and not value.isascii() and f"_{column}" not in more:
            more[f"_{column}"] = value.encode().decode("latin-1")
    plain = {
        name: value.encode("ascii", "replace").decode() if isinstance(value, str) else value
        for name, value in row.items()
    }
    plain["kv_store"] = key_values(int(version, 16), more)
    return plain


def version_of(kv_store: Any) -> int:
    """The version in a row's kv_store; 0 for rows that others wrote."""
    if not isinstance(kv_store, str) or not kv_store.startswith(OURS):
        return 0
    digits = kv_store[len(OURS) : len(OURS) + 16]
    return int(digits, 16) if len(digits) == 16 and not digits.strip(HEX) else 0


def parse_key_values(kv_store: Any) -> dict[str, str]:
    """The texts in a row's kv_store; whatever else may stand there counts for nothing."""
    if not isinstance(kv_store, str):
        return {}
    if len(kv_store) == PLAIN and kv_store[: len(OURS)] == OURS:  # most rows of ours
        return {"_v": kv_store[len(OURS) : -2]}
    try:
        parsed = orjson.loads(kv_store)
    except (ValueError, TypeError):
        return {}
    if not isinstance(parsed, dict):
        return {}
    return {name: value for name, value in parsed.items() if isinstance(value, str)}


class RowReader:
    """Makes bindings of rows, ours and OpenSIPS', whatever somebody may have put into them."""

    def __init__(self, default_domain: bytes, as_seconds: Callable[[Any], int]) -> None:
        self.default_domain = default_domain
        self.as_seconds = as_seconds

    def aor(self, row: Mapping[str, Any]) -> bytes:
        """Whose row it is: OpenSIPS leaves `domain` empty when it does not use domains."""
        return self._aor(row, parse_key_values(row["kv_store"]))

    def _aor(self, row: Mapping[str, Any], more: dict[str, str]) -> bytes:
        user = _bytes("username", row, more)
        domain = _bytes("domain", row, more).lower()
        if not domain and "_v" not in more:
            domain = self.default_domain
        return user + b"@" + domain if domain else user

    def binding(self, row: Mapping[str, Any]) -> tuple[bytes, Binding]:
        """The AoR and the binding of a row."""
        more = parse_key_values(row["kv_store"])
        made = Binding(_bytes("contact", row, more))
        made.call_id = _bytes("callid", row, more) or DEFAULT_CALL_ID.encode()
        made.cseq = _number(row["cseq"], 0x7FFF_FFFF)
        made.expires = _expiry(row["expires"])
        made.modified = min(max(self.as_seconds(row["last_modified"]), 0), LAST_TIME)
        made.path = _bytes("path", row, more)
        made.user_agent = _bytes("user_agent", row, more)
        made.instance = _bytes("sip_instance", row, more).strip(b'"')
        made.socket = _bytes("socket", row, more).rpartition(b"udp:")[2]
        made.methods = ALL_METHODS if row["methods"] is None else _number(row["methods"])
        made.version = version_of(row["kv_store"])
        made.tag = more.get("_st", "").encode("latin-1", "ignore")
        made.reg_id = _number(more.get("_ri"), LAST_TIME)
        made.origin = _number(more.get("_on"), 0xFFFF)
        made.q = _q(row["q"], more)
        made.flags = _number(more.get("_fl") or _number(row["flags"], 0x7FFF) << FLAG_SHIFT, 0xFFFF)
        received = _bytes("received", row, more)
        if received or NAT in str(row["cflags"] or "").split():
            made.flags |= BEHIND_NAT
        made.received = _hostport(received) or more.get("_rc", "").encode("latin-1", "ignore")
        return self._aor(row, more), made


def _bytes(column: str, row: Mapping[str, Any], more: dict[str, str]) -> bytes:
    whole = more.get(WHOLE[column])
    if whole is not None:
        return whole.encode("latin-1", "ignore")
    value = row[column]
    if not value:
        return b""
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")


def _number(value: Any, most: int = ALL_METHODS) -> int:
    try:
        return min(max(int(value or 0), 0), most)
    except (ValueError, OverflowError, TypeError):
        return 0


def _expiry(value: Any) -> int:
    """What is no number is over: nobody is registered for ever by a slip of the pen."""
    try:
        return min(max(int(value or 0), 0), LAST_TIME)
    except (ValueError, OverflowError, TypeError):
        return 1


def _q(value: Any, more: dict[str, str]) -> int:
    try:
        exact = int(more.get("_q", round(float(value) * 1_000)))
    except (ValueError, OverflowError, TypeError):
        return -1
    return exact if 0 <= exact <= 1_000 else -1


def _hostport(uri: bytes) -> bytes:
    """The hostport of a `received` URI such as sip:192.0.2.1:5060;transport=udp."""
    return uri.rpartition(b"@")[2].removeprefix(b"sip:").partition(b";")[0]


def identities(key: bytes, bindings: list[Binding], by_call_id: bool) -> list[int]:
    """The contact_id of each binding; `by_call_id` where Call-IDs tell equal contacts apart."""
    return [
        contact_id(key, binding.contact, binding.call_id if by_call_id else b"")
        for binding in bindings
    ]
