"""Commands about registered phones: OpenSIPS' `ul_*`."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any, Final

from proxy.cluster.hlc import HybridClock
from proxy.errors import BadMessage, CorruptRecord
from proxy.limits import bounds
from proxy.registrar.binding import Binding, decode
from proxy.registrar.contact_id import contact_id
from proxy.registrar.edit import Editor
from proxy.registrar.layout import BEHIND_NAT, REMOVED
from proxy.sip.headers import parse_contacts
from proxy.sip.uri import aor_key, parse_uri
from workers.child import Child
from workers.commands.command import (
    INVALID_PARAMS,
    NOT_FOUND,
    CommandError,
    Group,
    command,
    text,
)
from workers.registrar_rules import rules_of
from workers.version import VERSION

TABLE: Final = "location"
SCAN_BATCH: Final = 500
CONTROL_CALL_ID: Final = b"added-by-sipherd-ctl"
NAT: Final = "NAT"  # the cflag's name in OpenSIPS' default script
FLAG_SHIFT: Final = 1
LAST_FLAGS: Final = 0x7FFF

_SCHEME: Final = re.compile(r"(?:sips?|tel|urn):", re.IGNORECASE)


class Phones(Group):
    """The location table."""

    def __init__(self, child: Child) -> None:
        super().__init__(child)
        self._table = child.tables.location
        self._editor = Editor(self._table, rules_of(child), HybridClock())

    @command
    def ul_dump(self, brief: bool = False, index: int = 0, counter: int = 0) -> dict[str, Any]:
        """List the registered phones: all, or `counter` of them from number `index` on."""
        now, phones = int(time.time()), []
        for number, (key, bindings) in enumerate(self._records()):
            if counter and number >= index + counter:
                break
            if number >= index:
                entry: dict[str, Any] = {"AOR": text(key)}
                if not brief:
                    entry["Contacts"] = [contact_shape(key, each, now) for each in bindings]
                phones.append(entry)
        domain = {"name": TABLE, "hash_size": self._table.capacity, "AORs": phones}
        paged = {"count": self._table.gauges()[0]} if index or counter else {}
        return {**paged, "Domains": [domain]}

    @command
    def ul_show_contact(self, table_name: str, aor: str) -> dict[str, Any]:
        """Show the contacts of one phone."""
        key = self._key(table_name, aor)
        payload, _ = self._table.snapshot(key)
        bindings = None if payload is None else _bindings(payload)
        if bindings is None:
            raise CommandError(NOT_FOUND, "AOR not found")
        now = int(time.time())
        return {"AOR": text(key), "Contacts": [contact_shape(key, each, now) for each in bindings]}

    @command
    def ul_add(
        self,
        table_name: str,
        aor: str,
        contact: str,
        expires: int,
        q: str = "",
        flags: int = 0,
        cflags: str = "",
        methods: int = 0xFFFF_FFFF,
    ) -> str:
        """Register a contact, for `expires` seconds or, with 0, for good."""
        key, now = self._key(table_name, aor), int(time.time())
        if not 0 <= expires <= bounds.EXPIRES_SECONDS - now or not 0 <= methods <= 0xFFFF_FFFF:
            raise CommandError(INVALID_PARAMS, "Invalid params: expires or methods out of range")
        added = Binding(_contact_uri(contact), CONTROL_CALL_ID, 1)
        added.expires = now + expires if expires else 0
        added.modified, added.methods, added.q = now, methods, _thousandths(q)
        added.user_agent = f"sipherd ctl {VERSION}".encode()
        added.origin = self._child.config.node.id
        added.flags = _flags(flags, cflags)
        self._editor.add(key, added, now, _now_ms())
        return "OK"

    @command
    def ul_rm(self, table_name: str, aor: str) -> str:
        """Remove a phone with all its contacts."""
        if not self._editor.remove(self._key(table_name, aor), _now_ms()):
            raise CommandError(NOT_FOUND, "AOR not found")
        return "OK"

    @command
    def ul_rm_contact(self, table_name: str, aor: str, contact: str) -> str:
        """Remove one contact of a phone."""
        key = self._key(table_name, aor)
        uri = _contact_uri(contact)
        if not self._editor.remove_contact(key, uri, int(time.time()), _now_ms()):
            raise CommandError(NOT_FOUND, "Contact not found")
        return "OK"

    def _records(self) -> Iterator[tuple[bytes, list[Binding]]]:
        """Every phone; this process goes on giving signs of life meanwhile."""
        cursor = 0
        while True:
            records, cursor = self._table.scan(cursor, SCAN_BATCH)
            for key, payload in records:
                bindings = _bindings(payload)
                if bindings is not None:
                    yield key, bindings
            self._child.beat()
            if cursor == 0:
                return

    def _key(self, table_name: str, aor: str) -> bytes:
        """The key of an AoR: "user@host", a URI, or a user of this node's first domain."""
        if table_name != TABLE:
            raise CommandError(NOT_FOUND, "Table not found")
        uri = aor if _SCHEME.match(aor) else f"sip:{aor}"
        if "@" not in uri and uri[:4].lower() in {"sip:", "sips"}:
            uri = f"{uri}@{self._first_domain()}"
        try:
            return aor_key(parse_uri(uri.encode()))
        except BadMessage as error:
            raise CommandError(INVALID_PARAMS, f"Invalid params: aor: {error.reason}") from None

    def _first_domain(self) -> str:
        config = self._child.config
        first = config.listen.udp[0].host
        return next(iter(config.node.domains), f"[{first}]" if ":" in first else first)


def _bindings(payload: bytes) -> list[Binding] | None:
    """The bindings of a record; none of one that is unreadable, None of one of the removed."""
    try:
        return [each for each in decode(payload) if not each.flags & REMOVED] or None
    except CorruptRecord:
        return []


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def contact_shape(key: bytes, binding: Binding, now: int) -> dict[str, Any]:
    """One contact as OpenSIPS' `ul_show_contact` prints it."""
    left = binding.expires - now
    shape: dict[str, Any] = {
        "Contact": text(binding.contact),
        "ContactID": str(contact_id(key, binding.contact)),
        "Expires": "permanent" if binding.expires == 0 else left if left > 0 else "expired",
        "Q": "" if binding.q < 0 else f"{binding.q / 1_000:g}",
        "Callid": text(binding.call_id),
        "Cseq": binding.cseq,
        "User-agent": text(binding.user_agent),
    }
    if binding.received:
        shape["Received"] = f"sip:{text(binding.received)}"
    if binding.path:
        shape["Path"] = text(binding.path)
    shape["State"] = "CS_NEW"
    shape["Flags"] = binding.flags >> FLAG_SHIFT
    shape["Cflags"] = NAT if binding.flags & BEHIND_NAT else ""
    shape["Socket"] = f"udp:{text(binding.socket)}" if binding.socket else ""
    shape["Methods"] = binding.methods
    if binding.instance:
        shape["SIP_instance"] = text(binding.instance)
    return shape


def _contact_uri(contact: str) -> bytes:
    """The URI of a contact given bare or as a Contact header value."""
    try:
        if "<" in contact:
            return bytes(parse_contacts([contact.encode()])[0].uri)
        return bytes(parse_uri(contact.encode()).raw)
    except (BadMessage, IndexError) as error:
        raise CommandError(INVALID_PARAMS, f"Invalid params: contact: {error}") from None


def _flags(flags: int, cflags: str) -> int:
    """A binding's flags: the operator's own bits above the one of contacts behind a NAT."""
    if not 0 <= flags <= LAST_FLAGS:
        raise CommandError(INVALID_PARAMS, f"Invalid params: flags must be 0 to {LAST_FLAGS}")
    if cflags.strip() not in {"", "0", NAT}:
        raise CommandError(INVALID_PARAMS, f"Invalid params: the only cflag is {NAT}")
    return flags << FLAG_SHIFT | (BEHIND_NAT if cflags.strip() == NAT else 0)


def _thousandths(q: str) -> int:
    if q in {"", "-1"}:
        return -1
    try:
        value = round(float(q) * 1_000)
    except ValueError:
        value = -1
    if not 0 <= value <= 1_000:
        raise CommandError(INVALID_PARAMS, "Invalid params: q must be 0 to 1")
    return value
