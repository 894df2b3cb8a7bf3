"""A row of `subscriber` as it is cached: what stands for the password under each hash.

A record is one byte that says which of the three there are, and 80 bytes that hold them. A plain
password is hashed when it comes from the database and never kept, so that a check costs the same
whatever the columns are, and the shared file betrays no password.
"""

from __future__ import annotations

from binascii import unhexlify

from proxy.sip.digest import NOBODY, ha1s_of

_SIZES = (16, 32, 32)
_RECORD_BYTES = 1 + sum(_SIZES)


def encode(
    username: bytes,
    realm: bytes,
    password: bytes | None,
    columns: tuple[bytes | None, bytes | None, bytes | None],
    calculate_ha1: bool,
) -> bytes:
    """The record of a user: HA1s from the columns, or from the password (`calculate_ha1`)."""
    if calculate_ha1:
        return pack(ha1s_of(username, realm, password)) if password else pack((None, None, None))
    return pack(columns)


def pack(columns: tuple[bytes | None, bytes | None, bytes | None]) -> bytes:
    """HA1 columns as a record; one that is no hash at all counts as empty."""
    present = 0
    pieces: list[bytes] = []
    for kind, size in enumerate(_SIZES):
        raw = _raw(columns[kind], size)
        present |= (raw is not None) << kind
        pieces.append(raw or bytes(size))
    return bytes((present,)) + b"".join(pieces)


def _raw(column: bytes | None, size: int) -> bytes | None:
    try:
        raw = unhexlify((column or b"").strip())
    except ValueError:
        return None
    return raw if len(raw) == size else None


def has_ha1(record: bytes, kind: int) -> bool:
    """Whether a user can be checked by a hash."""
    return len(record) == _RECORD_BYTES and (record[0] >> kind) & 1 == 1


def ha1_in(record: bytes, kind: int) -> bytes:
    """The HA1 of a record by the number of the hash; that of nobody where it has none."""
    if not has_ha1(record, kind):
        return NOBODY[kind]
    start = 1 if kind == 0 else 17 if kind == 1 else 49
    return record[start : start + _SIZES[kind]].hex().encode()
