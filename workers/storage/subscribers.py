"""`sipherd db add-user`: a row of `subscriber`, with hashes and never with the password itself."""

from __future__ import annotations

from sqlalchemy import Connection, insert, update

from proxy.errors import SipherdError
from proxy.limits.bounds import AOR_BYTES, PASSWORD_BYTES
from proxy.sip.digest import ha1s_of
from proxy.storage import schema
from workers.storage.setup import with_database

_user = schema.subscriber.c


def parse_user(user: str, default_domain: str) -> tuple[str, str]:
    """Name and domain of USER@DOMAIN, or of USER in the first domain."""
    name, _, domain = user.removeprefix("sip:").rpartition("@")
    if not name:
        name, domain = domain, default_domain
    if not name or not domain or len(user.encode()) > AOR_BYTES:
        raise SipherdError(f'"{user}" is no user: write alice@example.com')
    if any(character in name + domain for character in '"\\ ') or not (name + domain).isprintable():
        raise SipherdError(f'"{user}" has a character that no phone could send')
    return name, domain.lower()


def add_user(url: str, name: str, domain: str, realm: str, password: str) -> str:
    """Enter a user, or give one a new password; a sentence about it."""
    secret = password.encode()
    if not 0 < len(secret) <= PASSWORD_BYTES:
        raise SipherdError(f"a password has 1 to {PASSWORD_BYTES} bytes")
    ha1, sha256, sha512t256 = (each.decode() for each in hashes_of(name, realm, secret))
    hashes = {"ha1": ha1, "ha1_sha256": sha256, "ha1_sha512t256": sha512t256, "password": ""}

    def work(connection: Connection) -> list[str]:
        chosen = (_user.username == name, _user.domain == domain)
        if connection.execute(update(schema.subscriber).where(*chosen).values(hashes)).rowcount:
            return [f"{name}@{domain} has a new password"]
        row = {"username": name, "domain": domain, **hashes}
        connection.execute(insert(schema.subscriber).values(row))
        return [f"{name}@{domain} added"]

    return with_database(url, work)[0]


def hashes_of(name: str, realm: str, password: bytes) -> tuple[bytes, bytes, bytes]:
    """What stands for the password in each column."""
    made: tuple[bytes, bytes, bytes] = ha1s_of(name.encode(), realm.encode(), password)
    return made
