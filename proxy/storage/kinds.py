"""The questions other processes ask the storage process, and how they travel.

A question: u8 kind, u16 asker (a worker's number), u32 number, fields. An answer: u32 number, u8
status, u8 whether more follows, rows. Fields: u16 count, u32 length (0xFFFFFFFF = NULL) and bytes.
"""

from __future__ import annotations

import enum
import struct
from typing import Final, NamedTuple

Fields = list[bytes | None]

_QUESTION: Final = struct.Struct("<BHI")
_ANSWER: Final = struct.Struct("<IBB")
_COUNT: Final = struct.Struct("<H")
_LENGTH: Final = struct.Struct("<I")
_NULL: Final = 0xFFFF_FFFF


class Kind(enum.IntEnum):
    """What is asked."""

    FLUSH = 1  # write what is pending now
    SYNC = 2  # compare the whole table with the database
    SET_DATABASE = 3  # [index, allowed 0/1, try again 0/1]
    SYNC_DIALOGS = 4  # load calls that a database has and the table has not
    RESTORE_DIALOGS = 5  # empty the table of calls, and write those that are up
    SUBSCRIBER = 10  # [username, domain or NULL]
    URIS = 11  # [username, domain or NULL]
    ALIASES = 12  # [] or [alias_username, alias_domain or NULL]
    DOMAINS = 13
    ADDRESSES = 14
    NODES = 15  # the rows of the table clusterer
    QUERY = 16  # of a policy: [milliseconds, statement, name, value, …] (proxy/routing/sql.py)
    REGISTER = 20  # sql-only: [datagram, source, listener]
    LOOKUP = 21  # sql-only: [AoR]


class Status(enum.IntEnum):
    """How a question ended."""

    ANSWERED = 0
    UNAVAILABLE = 1  # no database, too many questions, or no answer in time
    FAILED = 2  # the statement was refused; the log says why
    TOO_LARGE = 3
    TOO_MANY = 4


class Question(NamedTuple):
    """A question as it arrives."""

    kind: int
    asker: int
    number: int
    fields: Fields


class Part(NamedTuple):
    """One message of an answer."""

    number: int
    status: int
    more: bool
    rows: list[Fields]


def encode_question(question: Question) -> bytes:
    """The message of a question."""
    kind, asker, number, fields = question
    return _QUESTION.pack(kind, asker, number) + encode_fields(fields)


def decode_question(data: bytes) -> Question:
    """The question in a message; ValueError when it is none."""
    try:
        fields, _ = _decode_fields(data, _QUESTION.size)
        kind, asker, number = _QUESTION.unpack_from(data)
    except struct.error:
        raise ValueError("a question is cut short") from None
    return Question(kind, asker, number, fields)


def encode_part(part: Part) -> bytes:
    """The message of a part of an answer."""
    head = _ANSWER.pack(part.number, part.status, part.more)
    return head + b"".join(map(encode_fields, part.rows))


def decode_part(data: bytes) -> Part:
    """The part in a message; ValueError when it is none."""
    try:
        number, status, more = _ANSWER.unpack_from(data)
        rows: list[Fields] = []
        at = _ANSWER.size
        while at < len(data):
            fields, at = _decode_fields(data, at)
            rows.append(fields)
    except struct.error:
        raise ValueError("an answer is cut short") from None
    return Part(number, status, bool(more), rows)


def encode_fields(fields: Fields) -> bytes:
    """A row, or the fields of a question."""
    pieces = [_COUNT.pack(len(fields))]
    for field in fields:
        if field is None:
            pieces.append(_LENGTH.pack(_NULL))
        else:
            pieces += (_LENGTH.pack(len(field)), field)
    return b"".join(pieces)


def _decode_fields(data: bytes, at: int) -> tuple[Fields, int]:
    (count,) = _COUNT.unpack_from(data, at)
    at += _COUNT.size
    fields: Fields = []
    for _ in range(count):
        (length,) = _LENGTH.unpack_from(data, at)
        at += _LENGTH.size
        if length == _NULL:
            fields.append(None)
            continue
        if at + length > len(data):
            raise ValueError("a field is cut short")
        fields.append(data[at : at + length])
        at += length
    return fields, at
