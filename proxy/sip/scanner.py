"""What can be told of a datagram before it is parsed: its kind, and whose call it belongs to."""

from __future__ import annotations

from typing import Final

import cython

if not cython.compiled:
    from proxy.sip.grammar import LWS, find_byte, same_name

KEEPALIVE: Final = 0
STUN: Final = 1
SIP: Final = 2
_FNV_OFFSET = 2166136261
_FNV_PRIME = 16777619
_32_BITS = 0xFFFFFFFF


def classify(data: bytes) -> int:
    """KEEPALIVE (nothing but CR, LF and NUL, or one byte), STUN or SIP."""
    p = data
    end = len(data)
    if end < 2:
        return KEEPALIVE
    # RFC 5389 §6: two zero bits, a length in words, the cookie. No SIP message starts so.
    if (
        p[0] < 2
        and end >= 20
        and p[4] == 0x21
        and p[5] == 0x12
        and p[6] == 0xA4
        and p[7] == 0x42
        and p[2] * 256 + p[3] == end - 20
        and p[3] % 4 == 0
    ):
        return STUN
    i = 0
    while i < end and (p[i] == ord("\r") or p[i] == ord("\n") or p[i] == 0):
        i += 1
    return KEEPALIVE if i == end else SIP


def stands_alone(data: bytes) -> bool:
    """Whether this is most likely a request that its receiver answers without any state.

    REGISTER, and OPTIONS to a host and nobody there: registrations and keep-alives.
    """
    p = data
    end = len(data)
    if end < 9:
        return False
    if p[0] == ord("R"):
        return data.startswith(b"REGISTER ")
    if p[0] != ord("O") or not data.startswith(b"OPTIONS "):
        return False
    i = 8
    while i < end and p[i] > 32:
        if p[i] == ord("@"):
            return False
        i += 1
    return True


def find_call_id(data: bytes) -> int:
    """Where the Call-ID's value lies, as start << 16 | end; -1 for none.

    For every message that parse() accepts it is the value that parse() finds.
    """
    p = data
    if not cython.compiled:
        p = data + b"\0"
    end = len(data)
    i = 0
    while p[i] == ord("\r") and p[i + 1] == ord("\n"):
        i += 2
    while True:
        i = find_byte(p, i, end, 10) + 1
        if i == 0 or p[i] == ord("\r"):
            return -1
        if p[i] | 32 == ord("c"):
            if not same_name(p, i, min(i + 7, end), b"call-id"):
                continue
            at = i + 7
        elif p[i] | 32 == ord("i"):
            at = i + 1
        else:
            continue
        while p[at] == 32 or p[at] == 9:
            at += 1
        if p[at] == ord(":"):
            return _value_at(p, at + 1, end)


def _value_at(p: bytes, start: int, end: int) -> int:
    """The word after a colon and white space, folds included."""
    while start < end and LWS[p[start]]:
        start += 1
    at = start
    while at < end and not LWS[p[at]]:
        at += 1
    if start == at or at > 0xFFFF:
        return -1
    return start << 16 | at


def call_id_hash(data: bytes) -> int:
    """The 32-bit FNV-1a hash of a datagram's Call-ID; 0 when it has none."""
    found = find_call_id(data)
    if found < 0:
        return 0
    return _fnv1a(data, found >> 16, found & 0xFFFF)


def hash_call_id(call_id: bytes) -> int:
    """The same hash of a Call-ID at hand."""
    return _fnv1a(call_id, 0, len(call_id))


def _fnv1a(p: bytes, start: int, end: int) -> int:
    value = _FNV_OFFSET
    for i in range(start, end):
        value = ((value ^ p[i]) * _FNV_PRIME) & _32_BITS
    return value
