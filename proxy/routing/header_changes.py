"""Header lines that a policy adds, removes or replaces in a message that goes on.

What is not named here stays byte for byte (R6). What transactions, dialogs and loop checks hang on
cannot be changed: RFC 3261 §16.6 leaves a proxy no right to it, or the core does it by itself.
"""

from __future__ import annotations

import re

from proxy.errors import BadMessage
from proxy.limits.bounds import CHANGED_BYTES, CHANGED_LINES, DIALOG_CONTACT_BYTES
from proxy.routing.identity import Identity
from proxy.sip.header_ids import (
    CALL_ID,
    CONTACT,
    CONTENT_LENGTH,
    CSEQ,
    FROM,
    MAX_BREADTH,
    MAX_FORWARDS,
    RECORD_ROUTE,
    ROUTE,
    TO,
    VIA,
    header_id,
)
from proxy.sip.headers import contact_uri
from proxy.sip.message import Message
from proxy.sip.uri import parse_uri

PROTECTED = frozenset(
    {
        CALL_ID,
        CONTENT_LENGTH,
        CSEQ,
        FROM,
        MAX_BREADTH,
        MAX_FORWARDS,
        RECORD_ROUTE,
        ROUTE,
        TO,
        VIA,
    }
)
_NAME = re.compile(rb"[A-Za-z0-9\-.!%*_+`'~]{1,128}")  # §25.1 token
_FORBIDDEN = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")  # a tab is white space


class HeaderChanges:
    """The changes of one message: whole lines to insert, and edits of lines that are there.

    `edits` are pairs (header index, new value or None to take the line away).
    """

    def __init__(self, message: Message) -> None:
        self.message = message
        self.lines: list[bytes] = []
        self.edits: tuple[tuple[int, bytes | None], ...] = ()

    def insert(self) -> bytes:
        """The lines to insert."""
        return b"".join(self.lines)

    def add(self, name: bytes, value: bytes) -> None:
        """One line more, before those that are there."""
        check_name(name)
        check_value(value)
        line = name + b": " + value + b"\r\n"
        if len(self.lines) >= CHANGED_LINES or len(self.insert()) + len(line) > CHANGED_BYTES:
            raise ValueError(f"at most {CHANGED_LINES} lines, {CHANGED_BYTES} bytes may be added")
        self.lines.append(line)

    def remove(self, name: bytes) -> int:
        """Take away every line of a header, added ones included; how many there were."""
        check_name(name)
        wanted = named_alike(name)
        kept = [line for line in self.lines if named_alike(line.partition(b":")[0]) != wanted]
        removed = len(self.lines) - len(kept)
        self.lines = kept
        gone = {index for index, value in self.edits if value is None}
        for index in self.message.lines_named(name):
            if index not in gone:
                self.edit(index, None)
                removed += 1
        return removed

    def replace(self, name: bytes, value: bytes) -> None:
        """Leave one line of a header, with this value; add it when there is none."""
        check_name(name)
        check_value(value)
        found = self.message.lines_named(name)
        self.remove(name)
        if found:
            self.edit(found[0], value)
        else:
            self.add(name, value)

    def edit(self, index: int, value: bytes | None) -> None:
        """Another value for the header line `index`, or None to take it away."""
        others = [edit for edit in self.edits if edit[0] != index]
        self.edits = (*others, (index, value))

    def given(self, header: int) -> bytes:
        """The value that the first line of a header has been given; nothing if it is as it came."""
        first = self.message.first_of(header)
        for index, value in self.edits:
            if index == first and value is not None:
                return value
        for line in self.lines:
            name, _, value = line.partition(b":")
            if header_id(name) == header:
                return value.strip()
        return b""


def contact_given(changes: HeaderChanges | None, identity: Identity) -> bytes:
    """The URI that a policy has put into Contact; nothing where it has not.

    Nor where it leads to ourselves: then it is for the policy to know who is meant.
    """
    value = b"" if changes is None else changes.given(CONTACT)
    uri = contact_uri(value) if value else b""
    try:
        ours = len(uri) > DIALOG_CONTACT_BYTES or identity.is_ours(parse_uri(uri))
    except BadMessage:
        return b""
    return b"" if ours else uri


def named_alike(name: bytes) -> object:
    """Equal for the full and the compact form of one header, in any case."""
    return header_id(name) or name.lower()


def check_name(name: bytes) -> None:
    """ValueError for what is no header name, and for a header that only the core may change."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no header name")
    if header_id(name) in PROTECTED:
        raise ValueError(f"{name.decode()} is not for a policy to change like any other header")


def check_value(value: bytes) -> None:
    """ValueError for what would end the line, or is hidden in it."""
    if _FORBIDDEN.search(value):
        raise ValueError(f"a header value holds no line ends and no control characters: {value!r}")
