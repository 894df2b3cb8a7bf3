"""Users for a rehearsed policy: a database that knows them, phones that know their passwords."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from proxy.registrar.answers import Answers
from proxy.registrar.questions import ALIAS, SUBSCRIBER
from proxy.routing.authentication import Authentication, AuthenticationRules
from proxy.routing.inquiries import Inquiries
from proxy.routing.nonce import Nonces
from proxy.routing.pending import Pending
from proxy.shm.answer_table import AnswerTable
from proxy.shm.nonce_table import NonceTable
from proxy.sip.digest_algorithms import MD5, SHA_256
from proxy.sip.message import Message

if TYPE_CHECKING:
    from workers.rehearsal import Rehearsal

LIFETIME_MS: Final = 300_000
TABLE_ENTRIES: Final = 1_000
_FIELD: Final = re.compile(rb'(\w+)="?([^",]*)')


class Fetched(NamedTuple):
    """What the process `storage` would answer."""

    status: int
    rows: list[list[bytes | None]]


class Users:
    """Passwords by name, and the users behind aliases: `aliases["sip:100@…"] = "sip:bob@…"`."""

    def __init__(self, passwords: dict[str, str]) -> None:
        self.passwords = passwords
        self.aliases: dict[str, str] = {}

    def ask(self, kind: bytes, fields: list[bytes | None], pending: Pending) -> None:
        """Answer at once."""
        pending.finish(Fetched(0, self.rows(kind, fields)))

    def rows(self, kind: bytes, fields: list[bytes | None]) -> list[list[bytes | None]]:
        """The rows of a question, as the database has them."""
        name, domain = ((field or b"").decode() for field in fields[:2])
        if kind == SUBSCRIBER and name in self.passwords:
            return [[name.encode(), fields[1], self.passwords[name].encode(), None, None, None]]
        if kind == ALIAS and (found := self.aliases.get(f"sip:{name}@{domain}")):
            user, _, host = found.removeprefix("sip:").partition("@")
            return [[name.encode(), domain.encode(), user.encode(), host.encode()]]
        return []


def guard(rehearsal: Rehearsal, users: Users, folder: Path, secret: bytes, wall_ms: int) -> None:
    """Enable authentication, as `[auth] enabled` does, with these users."""
    table = AnswerTable.create(str(folder / "answers.table"), TABLE_ENTRIES)
    answers = Answers(table, ttl=600, negative_ttl=30, stale_seconds=86_400)
    rules = AuthenticationRules(
        algorithms=(SHA_256, MD5), default_realm=rehearsal.domains[0], calculate_ha1=True
    )
    inquiries = Inquiries(rehearsal.node, answers, users.ask, lambda key: None)
    rehearsal.node.inquiries = inquiries
    rehearsal.node.authentication = Authentication(
        rules,
        Nonces(secret, 1, lifetime_ms=LIFETIME_MS),
        NonceTable.create(None, TABLE_ENTRIES, LIFETIME_MS, wall_ms - LIFETIME_MS),
        inquiries,
    )


def credentials(challenge: Message, method: str, uri: str, user: str, password: str) -> str:
    """The header line by which a phone answers a 401 or 407 (RFC 7616, MD5)."""
    name = "Authorization" if challenge.status == 401 else "Proxy-Authorization"
    header = b"WWW-Authenticate" if challenge.status == 401 else b"Proxy-Authenticate"
    offers = [dict(_FIELD.findall(value)) for value in challenge.named(header)]
    offer = next(each for each in offers if each.get(b"algorithm", b"MD5") == b"MD5")
    realm, nonce = offer[b"realm"].decode(), offer[b"nonce"].decode()
    ha1, ha2 = md5(f"{user}:{realm}:{password}"), md5(f"{method}:{uri}")
    response = md5(f"{ha1}:{nonce}:00000001:kit:auth:{ha2}")
    return (
        f'{name}: Digest username="{user}", realm="{realm}", nonce="{nonce}", uri="{uri}", '
        f'algorithm=MD5, qop=auth, nc=00000001, cnonce="kit", response="{response}"'
    )


def md5(text: str) -> str:
    """The digest that half the world's phones still want."""
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
