"""A node that asks who you are, a database for it, and phones that know, or guess, passwords."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any, NamedTuple

from proxy.registrar.answers import Answers
from proxy.registrar.questions import ALIAS, SUBSCRIBER, URIS
from proxy.routing.authentication import Authentication, AuthenticationRules
from proxy.routing.inquiries import Inquiries
from proxy.routing.nonce import Nonces
from proxy.routing.pending import LATE, Pending
from proxy.shm.answer_table import AnswerTable
from proxy.shm.nonce_table import NonceTable
from proxy.sip.digest_algorithms import MD5, SHA_256
from proxy.sip.message import Message
from tests.scenarios.world import World, address
from workers.rehearsal import SECRET, WALL_MS

PHONE = address("203.0.113.7:5060")
THIEF = address("198.51.100.66:5060")
LIFETIME_MS = 300_000
HASHES = {
    b"MD5": hashlib.md5,
    b"SHA-256": hashlib.sha256,
    b"SHA-512-256": lambda data: hashlib.new("sha512_256", data),
}


class Fetched(NamedTuple):
    """What storage answers."""

    status: int
    rows: list[list[bytes | None]]


class Database:
    """Rows by question; `away` for good, or silent until `answer` is called."""

    def __init__(self) -> None:
        self.users: dict[bytes, bytes] = {b"alice": b"wonderland", b"bob": b"builder"}
        self.columns: dict[bytes, list[bytes | None]] = {}
        self.aliases: dict[tuple[bytes, bytes], tuple[bytes, bytes]] = {}
        self.uris: dict[bytes, list[bytes]] = {}
        self.equal = b""  # whose rows of `uri` it gives instead
        self.refuses: set[bytes] = set()  # names for which it does not like the statement
        self.asked: list[tuple[bytes, list[bytes | None]]] = []
        self.open: list[tuple[bytes, list[bytes | None], Pending]] = []
        self.away = False
        self.silent = False

    def ask(self, kind: bytes, fields: list[bytes | None], pending: Pending) -> None:
        self.asked.append((kind, fields))
        self.open.append((kind, fields, pending))
        if not self.silent:
            self.answer()

    def answer(self) -> None:
        """Answer everything that has been asked."""
        waiting, self.open = self.open, []
        for kind, fields, pending in waiting:
            if self.away:
                pending.finish(LATE if self.silent else Fetched(1, []))
            elif fields[0] in self.refuses:
                pending.finish(Fetched(2, []))
            else:
                pending.finish(Fetched(0, self.rows(kind, fields)))

    def rows(self, kind: bytes, fields: list[bytes | None]) -> list[list[bytes | None]]:
        name, domain = fields[0] or b"", fields[1]
        if kind == SUBSCRIBER and name in self.columns:
            return [[name, domain, None, *self.columns[name]]]
        if kind == SUBSCRIBER and name in self.users:
            return [[name, domain, self.users[name], None, None, None]]
        if kind == ALIAS and (name, domain) in self.aliases:
            return [[name, domain, *self.aliases[name, domain or b""]]]
        if kind == URIS:
            return [[self.equal or name, user] for user in self.uris.get(name, [])]
        return []


class GuardedWorld(World):
    """A node with [auth]."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.auth_rules = {
            "algorithms": (SHA_256, MD5),
            "default_realm": b"example.com",
            "calculate_ha1": True,
        }
        self.auth_rules |= {
            name: options.pop(name)
            for name in (
                *("algorithms", "realm", "qop", "use_domain", "calculate_ha1", "check_uri"),
                "allow_rfc2069",
            )
            if name in options
        }
        self.nonces = Nonces(SECRET, 1, lifetime_ms=LIFETIME_MS)
        self.used = NonceTable.create(None, 1000, LIFETIME_MS, WALL_MS - 1_000_000)
        self.table = AnswerTable.create(str(folder / "answers.table"), 1000)
        self.database = Database()
        self.told: list[bytes] = []
        super().__init__(folder, **options)

    def start_worker(self) -> None:
        super().start_worker()
        answers = Answers(self.table, ttl=600, negative_ttl=30, stale_seconds=86_400)
        inquiries = Inquiries(self.node, answers, self.database.ask, self.told.append)
        self.auth = Authentication(
            AuthenticationRules(**self.auth_rules),  # type: ignore[arg-type]
            self.nonces,
            self.used,
            inquiries,
        )
        self.node.inquiries = inquiries
        self.node.authentication = self.auth


class Challenge(NamedTuple):
    """One WWW- or Proxy-Authenticate header."""

    header: bytes
    realm: bytes
    nonce: bytes
    algorithm: bytes
    stale: bool


def challenges(message: Message) -> list[Challenge]:
    """The challenges of a 401 or 407, in their order."""
    found = []
    for name in (b"WWW-Authenticate", b"Proxy-Authenticate"):
        for value in message.named(name):
            part = dict(re.findall(rb'(\w+)="?([^",]*)', value.removeprefix(b"Digest ")))
            answers_with = b"Authorization" if name[:1] == b"W" else b"Proxy-Authorization"
            stale = part.get(b"stale") == b"true"
            algorithm = part[b"algorithm"]
            found.append(Challenge(answers_with, part[b"realm"], part[b"nonce"], algorithm, stale))
    return found


def credentials(
    given: Challenge,
    user: bytes,
    password: bytes,
    method: bytes,
    uri: bytes,
    *,
    nc: int = 1,
    qop: bytes = b"auth",
    body: bytes = b"",
    cnonce: bytes = b"0a4f113b",
    ha1: bytes = b"",
    **changed: bytes,
) -> bytes:
    """A header line that answers a challenge, made without the code under test."""
    algorithm = given.algorithm.removesuffix(b"-sess")
    hashed = HASHES[algorithm]

    def h(*parts: bytes) -> bytes:
        return hashed(b":".join(parts)).hexdigest().encode()

    ha1 = ha1 or h(user, given.realm, password)
    if given.algorithm.endswith(b"-sess"):
        ha1 = h(ha1, given.nonce, cnonce)
    ha2 = h(method, uri, h(body)) if qop == b"auth-int" else h(method, uri)
    count = b"%08x" % nc
    middle = (given.nonce, count, cnonce, qop) if qop else (given.nonce,)
    said = {
        b"username": b'"%b"' % user,
        b"realm": b'"%b"' % given.realm,
        b"nonce": b'"%b"' % given.nonce,
        b"uri": b'"%b"' % uri,
        b"response": b'"%b"' % h(ha1, *middle, ha2),
        b"algorithm": given.algorithm,
    }
    if qop:
        said |= {b"qop": qop, b"nc": count, b"cnonce": b'"%b"' % cnonce}
    said |= {name.encode(): value for name, value in changed.items()}
    joined = b", ".join(name + b"=" + value for name, value in said.items())
    return b"%b: Digest %b\r\n" % (given.header, joined)


class Phone:
    """A phone of `user`; `source` is where its datagrams come from."""

    def __init__(self, here: World, user: bytes, password: bytes) -> None:
        self.here = here
        self.user = user
        self.password = password
        self.source = PHONE
        self.cseq = 0
        self.call_id = b"call-" + user.hex().encode()

    def send(
        self, method: bytes = b"REGISTER", headers: bytes = b"", **options: Any
    ) -> list[Message]:
        """Send a request; what came back to us."""
        self.cseq += 1
        sent = self.here.deliver(self.text(method, headers, **options), self.source)
        return [one.message for one in sent if one.to.host == self.source.host]

    def text(
        self,
        method: bytes,
        headers: bytes = b"",
        *,
        uri: bytes = b"sip:example.com",
        to: bytes = b"",
        sender: bytes = b"",
        contact: bytes = b"sip:phone@203.0.113.7:5060",
        body: bytes = b"",
    ) -> bytes:
        own = b"sip:%b@example.com" % self.user
        return b"".join(
            (
                b"%b %b SIP/2.0\r\n" % (method, uri),
                b"Via: SIP/2.0/UDP %b;branch=z9hG4bK%b-%b-%d\r\n"
                % (PHONE.hostport, self.user.hex().encode(), self.call_id, self.cseq),
                b"Max-Forwards: 70\r\nFrom: <%b>;tag=1\r\n" % (sender or own),
                b"To: <%b>\r\nCall-ID: %b\r\n" % (to or own, self.call_id),
                b"CSeq: %d %b\r\nContact: <%b>\r\n" % (self.cseq, method, contact),
                headers,
                b"Content-Length: %d\r\n\r\n%b" % (len(body), body),
            )
        )

    def asked(self, method: bytes = b"REGISTER", **options: Any) -> list[Challenge]:
        """The challenges to a request without credentials."""
        (answer,) = self.send(method, **options)
        assert answer.status in (401, 407)
        return challenges(answer)

    def answering(
        self, given: Challenge, method: bytes = b"REGISTER", *, nc: int = 1, **changed: Any
    ) -> bytes:
        """The header line that answers a challenge."""
        uri = changed.pop("target", b"sip:example.com")
        return credentials(given, self.user, self.password, method, uri, nc=nc, **changed)

    def register(self, **options: Any) -> int:
        """Register as a phone does; the last status."""
        given = self.asked()[0]
        return self.send(headers=self.answering(given), **options)[-1].status
