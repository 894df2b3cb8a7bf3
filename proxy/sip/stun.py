"""STUN Binding on the SIP port (RFC 5389 §7, RFC 5626 §4.4.2): phones ask to keep a NAT open."""

from __future__ import annotations

import struct

from proxy.sip.address import Address

_HEADER = struct.Struct("!HHI12s")
_COOKIE = 0x2112A442
_BINDING_REQUEST = 0x0001
_BINDING_SUCCESS = 0x0101
_XOR_MAPPED_ADDRESS = 0x0020


def _xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=False))


def stun_binding_response(data: bytes, source: Address) -> bytes:
    """The success response to a Binding request; b"" for any other STUN message."""
    if len(data) < _HEADER.size:
        return b""
    kind, length, cookie, transaction = _HEADER.unpack_from(data)
    if kind != _BINDING_REQUEST or cookie != _COOKIE or length != len(data) - _HEADER.size:
        return b""
    key = struct.pack("!I", _COOKIE) + transaction
    port = source.port ^ (_COOKIE >> 16)
    raw = source.sockaddr[8:24] if source.is_v6 else source.sockaddr[4:8]
    address = _xor(raw, key)
    value = struct.pack("!BBH", 0, 2 if source.is_v6 else 1, port) + address
    attribute = struct.pack("!HH", _XOR_MAPPED_ADDRESS, len(value)) + value
    return _HEADER.pack(_BINDING_SUCCESS, len(attribute), cookie, transaction) + attribute
