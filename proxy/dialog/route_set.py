"""Route sets and remote targets as a proxy in the middle sees them (RFC 3261 §12.1, §16.12.1)."""

from __future__ import annotations

import cython

from proxy.limits.bounds import DIALOG_CONTACT_BYTES, DIALOG_ROUTES_BYTES
from proxy.sip.header_ids import CONTACT, RECORD_ROUTE
from proxy.sip.headers import contact_uri
from proxy.sip.message import Message

if not cython.compiled:
    from proxy.sip.grammar import find_byte, find_text, same_text

COOKIE_BYTES = len(";k=0123456789abcdef")  # between a did and the end of our Record-Route
DID_IS = b";did="


def target_of(message: Message) -> bytes:
    """The remote target that a message's Contact gives; nothing when it gives none to use."""
    value = message.header(CONTACT)
    if value is None:
        return b""
    uri = contact_uri(value)
    return uri if len(uri) <= DIALOG_CONTACT_BYTES else b""


def names_target(message: Message, uri: bytes) -> bool:
    """Whether a message's Contact is nothing but this URI in brackets: often, and seen quickly."""
    index = message.first_of(CONTACT)
    if index < 0:
        return False
    data = message.data
    start = message.value_start[index] + 1
    end = message.value_end[index] - 1
    return (
        data[start - 1] == ord("<") and data[end] == ord(">") and same_text(data, start, end, uri)
    )


def names_host(value: bytes, host: bytes) -> bool:
    """Whether a Contact value, not parsed, most likely names this host: the usual case, quickly."""
    p = value
    at = find_text(value, host)
    end = at + len(host)
    if at < 1 or p[at - 1] not in b"@:[":
        return False
    return end == len(value) or p[end] in b":>;]"


def routes_to_caller(request: Message) -> bytes:
    """The Route from us to the caller: the Record-Route that its INVITE came with, as it stands."""
    if not request.has(RECORD_ROUTE):
        return b""
    return bounded(request.values(RECORD_ROUTE))


def routes_to_callee(response: Message, did: bytes) -> bytes:
    """The Route from us to the callee: what was put above our own Record-Route, backwards."""
    first = response.first_of(RECORD_ROUTE)
    if first < 0:
        return b""
    if is_ours(response, first, did):  # nearly always
        return b""
    ours = b";did=" + did
    above: list[bytes] = []
    for each in response.values(RECORD_ROUTE):
        if each.find(ours) >= 0:
            above.reverse()
            return bounded(above)
        above.append(each)
    return b""


def is_ours(response: Message, first: int, did: bytes) -> bool:
    """Whether the first value of a line is our Record-Route, written as we write one."""
    data = response.data
    start = response.value_start[first]
    end = find_byte(data, start, response.value_end[first], ord(">")) - COOKIE_BYTES
    at = end - len(did)
    return at > start + 5 and same_text(data, at, end, did) and same_text(data, at - 5, at, DID_IS)


def bounded(values: list[bytes]) -> bytes:
    """Route values as one line, if that is not too long to be kept."""
    line = b", ".join(values)
    return line if len(line) <= DIALOG_ROUTES_BYTES else b""
