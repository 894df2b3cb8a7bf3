"""What is asked of the database about users: under which key an answer is kept, and how."""

from __future__ import annotations

from typing import Final

from proxy.registrar import subscriber

SUBSCRIBER: Final = b"s"
ALIAS: Final = b"a"
URIS: Final = b"u"

Field = bytes | None
Rows = list[list[Field]]
# Columns of a SUBSCRIBER row, as storage gives them.
_PASSWORD = 2
_HA1 = 3


class Question:
    """One question; equal keys are the same question. `kind` says what storage shall look for."""

    kind: bytes
    key: bytes

    def fields(self) -> list[Field]:
        """What storage is given."""
        raise NotImplementedError

    def encode(self, rows: Rows) -> bytes | None:
        """The answer as it is kept; None when there is no such thing."""
        raise NotImplementedError


class SubscriberQuestion(Question):
    """What stands for a user's password."""

    def __init__(
        self, username: bytes, realm: bytes, *, use_domain: bool, calculate_ha1: bool
    ) -> None:
        self.kind = SUBSCRIBER
        self.key = b"s" + realm + b"\0" + username
        self.username = username
        self.realm = realm
        self.use_domain = use_domain
        self.calculate_ha1 = calculate_ha1

    def fields(self) -> list[Field]:
        """Name and domain; no domain where it does not matter."""
        return [self.username, self.realm if self.use_domain else None]

    def encode(self, rows: Rows) -> bytes | None:
        """HA1s, see subscriber.py. A database compares without case; we do not."""
        for row in rows:
            if row[0] == self.username:
                columns = (row[_HA1], row[_HA1 + 1], row[_HA1 + 2])
                return subscriber.encode(
                    self.username, self.realm, row[_PASSWORD], columns, self.calculate_ha1
                )
        return None


class AliasQuestion(Question):
    """Whose alias an address is (`dbaliases`)."""

    def __init__(self, user: bytes, domain: bytes) -> None:
        self.kind = ALIAS
        self.key = b"a" + domain + b"\0" + user
        self.user = user
        self.domain = domain

    def fields(self) -> list[Field]:
        """The alias."""
        return [self.user, self.domain]

    def encode(self, rows: Rows) -> bytes | None:
        """username NUL domain."""
        for row in rows:
            if row[0] == self.user and row[2] and row[3]:
                return row[2] + b"\0" + row[3].lower()
        return None


class UrisQuestion(Question):
    """Under which other names a user may appear (`uri`)."""

    def __init__(self, username: bytes, domain: bytes) -> None:
        self.kind = URIS
        self.key = b"u" + domain + b"\0" + username
        self.username = username
        self.domain = domain

    def fields(self) -> list[Field]:
        """The user."""
        return [self.username, self.domain]

    def encode(self, rows: Rows) -> bytes | None:
        """The names, NUL between them; of this very user, whatever the database takes for equal."""
        names = b"\0".join(row[1] for row in rows if row[0] == self.username and row[1])
        return names or None
