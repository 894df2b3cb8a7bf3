"""Management commands: OpenSIPS' MI names, parameters and result shapes.

A command is a method of `Commands` marked with `@command`; its signature says which parameters it
takes. Values come as JSON or, from `sipherd ctl`, as text, and are made what the annotation asks.
"""

from __future__ import annotations

import inspect
import re
import time
from collections.abc import Callable, Iterator
from hashlib import blake2b
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as package_version
from typing import Any, Final, TypeVar

from proxy.cluster.hlc import HybridClock
from proxy.errors import BadMessage, CorruptRecord
from proxy.limits import bounds
from proxy.registrar import edit
from proxy.registrar.binding import Binding, decode
from proxy.registrar.layout import BEHIND_NAT
from proxy.sip.headers import parse_contacts
from proxy.sip.uri import aor_key, parse_uri
from workers.child import Child
from workers.shared_page import LEVELS
from workers.statistics import Statistics

TABLE: Final = "location"
SCAN_BATCH: Final = 500
CONTROL_CALL_ID: Final = b"added-by-sipherd-ctl"
INVALID_PARAMS: Final = -32_602
METHOD_NOT_FOUND: Final = -32_601
NOT_FOUND: Final = 404
NAT: Final = "NAT"  # the cflag's name in OpenSIPS' default script
FLAG_SHIFT: Final = 1
LAST_FLAGS: Final = 0x7FFF

_SCHEME: Final = re.compile(r"(?:sips?|tel|urn):", re.IGNORECASE)

Function = TypeVar("Function", bound=Callable[..., Any])


class CommandError(Exception):
    """A refusal: a JSON-RPC error with `code` and its text."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


def command(function: Function) -> Function:
    """Mark a method as a management command."""
    function.is_command = True  # type: ignore[attr-defined]
    return function


def program_version() -> str:
    """The installed version of sipherd."""
    try:
        return package_version("sipherd")
    except PackageNotFoundError:
        return "not installed"


class Commands:
    """Everything `sipherd ctl` can ask for."""

    def __init__(self, child: Child) -> None:
        self._child = child
        self._table = child.tables.location
        self._slots = child.tables.slots
        self._clock = HybridClock()
        self._statistics = Statistics(child)
        self._commands = {
            name: method
            for name, method in inspect.getmembers(self, inspect.ismethod)
            if getattr(method, "is_command", False)
        }

    def call(self, name: str, params: list[Any] | dict[str, Any]) -> Any:
        """The result of command `name`; a CommandError says why there is none."""
        method = self._commands.get(name)
        if method is None:
            raise CommandError(METHOD_NOT_FOUND, f"Method not found: {name}")
        signature = inspect.signature(method, eval_str=True)
        try:
            if isinstance(params, list):
                bound = signature.bind(*_gathered(params, signature))
            else:
                bound = signature.bind(**params)
        except TypeError as error:
            raise CommandError(INVALID_PARAMS, f"Invalid params: {error}") from None
        for key, value in bound.arguments.items():
            bound.arguments[key] = _typed(key, value, signature.parameters[key].annotation)
        return method(*bound.args, **bound.kwargs)

    # Core

    @command
    def which(self) -> list[str]:
        """List the commands."""
        return sorted(self._commands)

    @command
    def help(self, mi_cmd: str) -> dict[str, str]:
        """Say what a command does and which parameters it takes."""
        method = self._commands.get(mi_cmd)
        if method is None:
            raise CommandError(NOT_FOUND, "unknown MI command")
        takes = ", ".join(inspect.signature(method).parameters)
        return {"Help": inspect.getdoc(method) or "", "Parameters": takes or "none"}

    @command
    def version(self) -> dict[str, str]:
        """Say which program this is."""
        return {"Server": f"sipherd ({program_version()})"}

    @command
    def uptime(self) -> dict[str, str]:
        """Say since when the supervisor runs."""
        now, since = int(time.time()), self._slots.row(0).started_at
        return {
            "Now": time.ctime(now),
            "Up since": time.ctime(since),
            "Up time": f"{now - since} [sec]",
        }

    @command
    def ps(self) -> dict[str, list[dict[str, Any]]]:
        """List the processes of this node."""
        return {
            "Processes": [
                {
                    "ID": row.row,
                    "PID": row.pid,
                    "Type": row.role,
                    "Started": row.started_at,
                    "Starts": row.starts,
                }
                for row in self._slots.live()
            ]
        }

    @command
    def log_level(self, level: str = "", pid: int = 0) -> dict[str, Any]:
        """Show the log level of every process, or set it for all of them or for one."""
        rows = [row for row in self._slots.live() if pid in {0, row.pid}]
        if not rows:
            raise CommandError(NOT_FOUND, "Unknown process")
        if not level:
            return {"Processes": [self._level_of(row) for row in rows]}
        number = _level_number(level)
        if pid:
            self._child.page.set_level(number, rows[0].row)
            return {"Log level": number, "PID": pid}
        self._child.page.set_level(number)
        return {"New global log level": number}

    def _level_of(self, row: Any) -> dict[str, Any]:
        return {"PID": row.pid, "Log level": self._child.page.level(row.row), "Type": row.role}

    # Statistics

    @command
    def get_statistics(self, statistics: list[str]) -> dict[str, int]:
        """Show statistics: "all", a "group:", or names."""
        found = self._statistics.values(statistics)
        if not found:
            raise CommandError(NOT_FOUND, "Statistics Not Found")
        return found

    @command
    def list_statistics(self, statistics: list[str] | None = None) -> dict[str, str]:
        """List the names of statistics, and whether they only count up."""
        return self._statistics.kinds(statistics or ["all"])

    @command
    def reset_statistics(self, statistics: list[str]) -> str:
        """Count from zero again."""
        if not self._statistics.reset(statistics):
            raise CommandError(NOT_FOUND, "Statistics Not Found")
        return "OK"

    # Location

    @command
    def ul_dump(self, brief: bool = False, index: int = 0, counter: int = 0) -> dict[str, Any]:
        """List the registered phones: all, or `counter` of them from number `index` on."""
        now, phones = int(time.time()), []
        for number, (key, payload) in enumerate(self._records()):
            if counter and number >= index + counter:
                break
            if number >= index:
                entry: dict[str, Any] = {"AOR": _text(key)}
                if not brief:
                    entry["Contacts"] = self._contacts(key, payload, now)
                phones.append(entry)
        domain = {"name": TABLE, "hash_size": self._table.capacity, "AORs": phones}
        paged = {"count": self._table.count} if index or counter else {}
        return {**paged, "Domains": [domain]}

    @command
    def ul_show_contact(self, table_name: str, aor: str) -> dict[str, Any]:
        """Show the contacts of one phone."""
        key = self._key(table_name, aor)
        payload, _ = self._table.snapshot(key)
        if payload is None:
            raise CommandError(NOT_FOUND, "AOR not found")
        return {"AOR": _text(key), "Contacts": self._contacts(key, payload, int(time.time()))}

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
        added.user_agent = f"sipherd ctl {program_version()}".encode()
        added.origin = self._child.config.node.id
        added.flags = _flags(flags, cflags)
        edit.add(self._table, key, added, now, time.time_ns() // 1_000_000, self._clock)
        return "OK"

    @command
    def ul_rm(self, table_name: str, aor: str) -> str:
        """Remove a phone with all its contacts."""
        if not edit.remove(self._table, self._key(table_name, aor)):
            raise CommandError(NOT_FOUND, "AOR not found")
        return "OK"

    @command
    def ul_rm_contact(self, table_name: str, aor: str, contact: str) -> str:
        """Remove one contact of a phone."""
        key = self._key(table_name, aor)
        uri = _contact_uri(contact)
        if not edit.remove_contact(self._table, key, uri, int(time.time())):
            raise CommandError(NOT_FOUND, "Contact not found")
        return "OK"

    def _records(self) -> Iterator[tuple[bytes, bytes]]:
        """Every record; this process goes on giving signs of life meanwhile."""
        cursor = 0
        while True:
            records, cursor = self._table.scan(cursor, SCAN_BATCH)
            yield from records
            self._child.beat()
            if cursor == 0:
                return

    def _key(self, table_name: str, aor: str) -> bytes:
        """The key of an AoR: "user@host", a URI, or a user of this node's first domain."""
        if table_name != TABLE:
            raise CommandError(NOT_FOUND, "Table not found")
        text = aor if _SCHEME.match(aor) else f"sip:{aor}"
        if "@" not in text and text[:4].lower() in {"sip:", "sips"}:
            text = f"{text}@{self._first_domain()}"
        try:
            return aor_key(parse_uri(text.encode()))
        except BadMessage as error:
            raise CommandError(INVALID_PARAMS, f"Invalid params: aor: {error.reason}") from None

    def _first_domain(self) -> str:
        config = self._child.config
        first = config.listen.udp[0].host
        return next(iter(config.node.domains), f"[{first}]" if ":" in first else first)

    def _contacts(self, key: bytes, payload: bytes, now: int) -> list[dict[str, Any]]:
        try:
            return [contact_shape(key, binding, now) for binding in decode(payload)]
        except CorruptRecord:
            return []


def contact_shape(key: bytes, binding: Binding, now: int) -> dict[str, Any]:
    """One contact as OpenSIPS' `ul_show_contact` prints it."""
    left = binding.expires - now
    shape: dict[str, Any] = {
        "Contact": _text(binding.contact),
        "ContactID": _contact_id(key, binding.contact),
        "Expires": "permanent" if binding.expires == 0 else left if left > 0 else "expired",
        "Q": "" if binding.q < 0 else f"{binding.q / 1_000:g}",
        "Callid": _text(binding.call_id),
        "Cseq": binding.cseq,
        "User-agent": _text(binding.user_agent),
    }
    if binding.received:
        shape["Received"] = f"sip:{_text(binding.received)}"
    if binding.path:
        shape["Path"] = _text(binding.path)
    shape["State"] = "CS_NEW"
    shape["Flags"] = binding.flags >> FLAG_SHIFT
    shape["Cflags"] = NAT if binding.flags & BEHIND_NAT else ""
    shape["Socket"] = f"udp:{_text(binding.socket)}" if binding.socket else ""
    shape["Methods"] = binding.methods
    if binding.instance:
        shape["SIP_instance"] = _text(binding.instance)
    return shape


def _contact_id(key: bytes, contact: bytes) -> str:
    """A number that stays while the contact is registered."""
    digest = blake2b(contact, digest_size=8, key=blake2b(key, digest_size=16).digest())
    return str(int.from_bytes(digest.digest(), "big"))


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


def _level_number(level: str) -> int:
    if level in LEVELS:
        return LEVELS[level]
    try:
        number = int(level)
    except ValueError:
        raise CommandError(INVALID_PARAMS, f"Invalid params: no log level {level}") from None
    return max(known for known in LEVELS.values() if known <= max(-1, min(number, 4)))


def _text(value: bytes) -> str:
    return value.decode("utf-8", "backslashreplace")


def _gathered(params: list[Any], signature: inspect.Signature) -> list[Any]:
    """Plain values in order; what is left over belongs to a last parameter that is a list."""
    takes = [parameter.annotation for parameter in signature.parameters.values()]
    last = len(takes) - 1
    if last < 0 or len(params) <= len(takes) or takes[last] not in {list[str], list[str] | None}:
        return params
    words = [str(word) for word in params[last:]]
    return [*params[:last], ",".join(words)]


def _typed(key: str, value: Any, wanted: Any) -> Any:
    """`value` as its parameter wants it: the command line knows only text."""
    try:
        if wanted is int:
            return int(str(value), 0) if not isinstance(value, bool) else value
        if wanted is bool:
            return str(value).lower() in {"true", "1", "yes", "brief", "on"}
        if wanted is str:
            return "" if value is None else str(value)
    except ValueError:
        raise CommandError(INVALID_PARAMS, f"Invalid params: {key} must be a number") from None
    if value is None:
        return []
    if isinstance(value, str):
        return value.replace(",", " ").split()
    return [str(each) for each in value] if isinstance(value, list) else [str(value)]
