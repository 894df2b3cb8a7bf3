"""Tries out a routing script: put requests in, look at what would be sent. No network, no server.

    kit = PolicyKit("routing.py", domains=["example.com"])
    kit.register("sip:bob@example.com", "sip:bob@192.0.2.2:5060")
    trying, invite = kit.request("INVITE", "sip:bob@example.com")
    kit.answer(invite, 486)

The clock stands still until `advance`. docs/policy.md has a whole example.
"""

from __future__ import annotations

import shutil
import tempfile
import textwrap
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path

from proxy.errors import SipherdError
from proxy.registrar.save import save
from proxy.routing.sql import SqlQueries
from proxy.routing.web import UNREACHABLE, HttpAnswer, HttpLookup, failed
from proxy.sip.address import Address
from proxy.sip.header_ids import CONTACT, FROM, RECORD_ROUTE, TO, VIA
from proxy.sip.headers import parse_contacts
from proxy.sip.message import parse
from proxy.sip.patching import ack_for, cancel_for
from workers.policy import load_policy
from workers.rehearsal import SECRET, WALL_MS, Rehearsal, Sent, address
from workers.rehearsed_calls import track
from workers.rehearsed_database import RehearsedDatabase
from workers.rehearsed_users import Users, credentials, guard

CALLER = "192.0.2.1:5060"
Headers = Mapping[str, str]


class Web:
    """The web servers that a script asks: what is not in `answers` cannot be reached."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, bytes]] = {}
        self.asked: list[tuple[str, bytes | None]] = []

    def ask(
        self, url: str, body: bytes | None, content_type: str, seconds: float, now: float
    ) -> HttpLookup:
        """Answer at once."""
        self.asked.append((url, body))
        lookup = HttpLookup()
        found = self.answers.get(url)
        lookup.finish(HttpAnswer(*found) if found else failed(UNREACHABLE))
        return lookup


class PolicyKit:
    """One proxy with a script, and whoever speaks to it.

    `web.answers["http://..."] = (200, b"...")` is what a look-up of the script gets,
    `database.script("CREATE TABLE ...; INSERT ...")` fills the database that it reads.
    """

    def __init__(
        self,
        script: str | Path,
        *,
        domains: Sequence[str] = ("example.com",),
        listeners: Sequence[str] = ("192.0.2.100:5060",),
        names: Mapping[str, Sequence[str]] | None = None,
        users: Mapping[str, str] | None = None,
        profiles: Sequence[str] | None = None,
    ) -> None:
        """`names`: what the DNS says, host name to addresses with ports. `users`: names and
        passwords; with it, authentication is on. `profiles`: those with a value; with it, dialogs
        are tracked.
        """
        folder = tempfile.mkdtemp(prefix="sipherd-policy-")
        self._finalizer = weakref.finalize(self, shutil.rmtree, folder, True)
        self.world = Rehearsal(
            Path(folder),
            load_policy(Path(script)),
            listeners=tuple(listeners),
            domains=tuple(domain.encode() for domain in domains),
            names={
                name.encode(): tuple(address(each) for each in found)
                for name, found in (names or {}).items()
            },
        )
        self.users = Users(dict(users or {}))
        if users is not None:
            guard(self.world, self.users, Path(folder), SECRET, WALL_MS)
        if profiles is not None:
            track(self.world, tuple(profiles), Path(folder))
        self._addresses: list[list[bytes | None]] = []
        self.web = Web()
        self.world.node.lookups = self.web
        self.database = RehearsedDatabase()
        self.world.node.database = SqlQueries(self.database.ask, self.world.node.counters)
        self._serial = 0
        self._invites: list[tuple[bytes, str, int]] = []

    # -- before the test ------------------------------------------------------------------------

    def register(
        self, aor: str, contact: str, *, source: str = "", q: str = "", path: str = ""
    ) -> None:
        """Put a phone into the location table; the script is not asked."""
        lines = [f"Contact: <{contact}>" + (f";q={q}" if q else ""), "Expires: 3600"]
        lines += [f"Path: {path}", "Supported: path"] if path else []
        domain = aor.rpartition("@")[2]
        place = source or contact.rpartition("@")[2].partition(";")[0]
        message = parse(self._text("REGISTER", f"sip:{domain}", aor, aor, place, lines))
        node = self.world.node
        result = save(
            node.location,
            message,
            address(place if ":" in place else f"{place}:5060"),
            node.identity.listeners[0].hostport,
            node.wall,
            node.wall_ms,
            node.rules,
            node.clock,
            node.faults,
        )
        if result.status != 200:
            raise SipherdError(f"{contact} cannot be registered: {result.reason.decode()}")

    def add_address(self, group: int, network: str, *, info: str = "", port: int = 0) -> None:
        """A row of the table `address`: a network such as 192.0.2.0/24, or one address."""
        ip, _, mask = network.partition("/")
        bits = mask or ("128" if ":" in ip else "32")
        row = [str(group), ip, bits, str(port), "any", None, info]
        self._addresses.append([None if each is None else each.encode() for each in row])
        self.world.node.addresses.replace(self._addresses)

    # -- what comes in --------------------------------------------------------------------------

    def receive(self, text: str | bytes, *, source: str = CALLER, listener: int = 0) -> list[Sent]:
        """A message as it stands in a trace; line ends and the last blank line are seen to."""
        data = text if isinstance(text, bytes) else as_datagram(text)
        if data.startswith(b"INVITE "):
            self._invites.append((data, source, listener))
        return self._deliver(data, address(source), listener)

    def request(
        self,
        method: str,
        uri: str,
        *,
        caller: str = "sip:alice@example.com",
        to: str = "",
        source: str = CALLER,
        headers: Headers | None = None,
        password: str = "",
        listener: int = 0,
    ) -> list[Sent]:
        """A request outside a dialog, by the book; with a password it answers a challenge."""
        lines = [f"{name}: {value}" for name, value in (headers or {}).items()]
        if method == "INVITE" and not any(name.lower() == "contact" for name in headers or {}):
            user = caller.partition(":")[2].partition("@")[0]
            lines.append(f"Contact: <sip:{user}@{source}>")
        data = self._text(method, uri, caller, to or uri, source, lines)
        sent = self.receive(data, source=source, listener=listener)
        if password and sent and sent[-1].message.status in (401, 407):
            user = caller.partition(":")[2].partition("@")[0]
            lines.append(credentials(sent[-1].message, method, uri, user, password))
            data = self._text(method, uri, caller, to or uri, source, lines)
            sent = self.receive(data, source=source, listener=listener)
        return sent

    def answer(
        self, sent: Sent, status: int, reason: str = "", *, headers: Headers | None = None
    ) -> list[Sent]:
        """Whoever got the request `sent` answers it."""
        request = sent.message
        to = (request.header(TO) or b"").decode()
        if not request.to_tag and status > 100:
            to += f";tag=callee-{sent.to.port}"
        lines = [f"SIP/2.0 {status} {reason or 'Answer'}"]
        lines += [f"Via: {value.decode()}" for value in request.values(VIA)]
        lines += [f"Record-Route: {value.decode()}" for value in request.headers(RECORD_ROUTE)]
        lines += [f"From: {(request.header(FROM) or b'').decode()}", f"To: {to}"]
        lines += [f"Call-ID: {request.call_id.decode()}"]
        lines += [f"CSeq: {request.cseq} {request.method}"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        if 100 < status < 300 and not any(name.lower() == "contact" for name in headers or {}):
            lines.append(f"Contact: <{request.request_uri.decode()}>")
        text = "\r\n".join([*lines, "Content-Length: 0", "", ""])
        return self._deliver(text.encode(), sent.to, sent.listener)

    def hang_up(self) -> list[Sent]:
        """The caller of the last INVITE sends CANCEL."""
        data, source, listener = self._invites[-1]
        return self._deliver(cancel_for(parse(data)), address(source), listener)

    def follow_up(self, answer: Sent, method: str, *, listener: int = 0) -> list[Sent]:
        """Whoever got the 2xx `answer` sends a request inside the dialog, such as ACK or BYE."""
        message = answer.message
        routes = [value.decode() for value in message.values(RECORD_ROUTE)][::-1]
        target = parse_contacts(message.headers(CONTACT))[0].uri.decode()
        self._serial += 1
        number = message.cseq if method == "ACK" else message.cseq + self._serial
        source = answer.to.hostport.decode()
        lines = [
            f"{method} {target} SIP/2.0",
            f"Via: SIP/2.0/UDP {source};branch=z9hG4bK-kit-{self._serial};rport",
            "Max-Forwards: 70",
            *(f"Route: {route}" for route in routes),
            f"From: {(message.header(FROM) or b'').decode()}",
            f"To: {(message.header(TO) or b'').decode()}",
            f"Call-ID: {message.call_id.decode()}",
            f"CSeq: {number} {method}",
            "Content-Length: 0",
        ]
        text = "\r\n".join([*lines, "", ""])
        return self._deliver(text.encode(), answer.to, listener)

    def advance(self, seconds: float) -> list[Sent]:
        """Let time pass; every timer fires at its moment."""
        return self._acknowledged(self.world.wait(seconds))

    # -- what has come of it --------------------------------------------------------------------

    def count(self, statistic: str) -> int:
        """A statistic, such as `sipherd:policy_errors`."""
        return self.world.count(statistic)

    @property
    def log(self) -> list[str]:
        """The events of the log: their phrases and fields."""
        return [f"{event} {fields}" for _, event, fields in self.world.log.events]

    def _deliver(self, data: bytes, source: Address, listener: int) -> list[Sent]:
        return self._acknowledged(self.world.deliver(data, source, listener))

    def _acknowledged(self, sent: list[Sent]) -> list[Sent]:
        """Callers acknowledge failures, as any does."""
        for one in sent:
            message = one.message
            if message.is_request or message.status < 300 or message.cseq_method != "INVITE":
                continue
            for data, source, listener in self._invites:
                invite = parse(data)
                if invite.branch == message.branch:
                    self.world.deliver(ack_for(invite, message), address(source), listener)
        return sent

    def _text(
        self, method: str, uri: str, caller: str, to: str, source: str, lines: list[str]
    ) -> bytes:
        self._serial += 1
        number = self._serial
        head = [
            f"{method} {uri} SIP/2.0",
            f"Via: SIP/2.0/UDP {source};branch=z9hG4bK-kit-{number};rport",
            "Max-Forwards: 70",
            f"From: <{caller}>;tag=kit{number}",
            f"To: <{to}>",
            f"Call-ID: kit-{number}",
            f"CSeq: {number} {method}",
            *lines,
            "Content-Length: 0",
            "",
            "",
        ]
        return "\r\n".join(head).encode()


def as_datagram(text: str) -> bytes:
    """A message written with ordinary line ends, perhaps indented."""
    lines = textwrap.dedent(text).lstrip("\n").replace("\r\n", "\n")
    head, blank, body = lines.partition("\n\n")
    if not blank:
        head = head.rstrip("\n")
    return head.replace("\n", "\r\n").encode() + b"\r\n\r\n" + body.replace("\n", "\r\n").encode()
