"""Digest access authentication: challenges and the responses to them (RFC 7616, RFC 8760)."""

from __future__ import annotations

import hashlib
from functools import partial
from hmac import compare_digest

from proxy.limits import bounds
from proxy.sip.credentials import Credentials
from proxy.sip.digest_algorithms import (
    HASH_OF,
    HASHES,
    MD5_SESS,
    NAMES,
    SHA_256_SESS,
    SHA_512_256_SESS,
)

_REMEMBERED_BYTES = bounds.REMEMBERED_BYTES
_AUTH_INT = 2
_HASH_OF = HASH_OF
_KNOWN_TARGETS = 1_024
_IS_SESS = frozenset({MD5_SESS, SHA_256_SESS, SHA_512_256_SESS})
_HASH = (
    partial(hashlib.md5, usedforsecurity=False),
    hashlib.sha256,
    partial(hashlib.new, HASHES[2]),
)
NOBODY = (b"0" * 32, b"0" * 64, b"0" * 64)  # the HA1s of a user who does not exist


def ha1_of(kind: int, username: bytes, realm: bytes, password: bytes) -> bytes:
    """What stands for a password (RFC 7616 §3.4.2), by the number of a hash in HASHES."""
    text: str = _HASH[kind](b":".join((username, realm, password))).hexdigest()
    return text.encode()


def ha1s_of(username: bytes, realm: bytes, password: bytes) -> tuple[bytes, bytes, bytes]:
    """The HA1 of a password under each hash."""
    return (
        ha1_of(0, username, realm, password),
        ha1_of(1, username, realm, password),
        ha1_of(2, username, realm, password),
    )


def challenge(realm: bytes, nonce: bytes, algorithm: int, qop: bytes, stale: bool) -> bytes:
    """The value of a WWW-Authenticate or Proxy-Authenticate header.

    No `opaque`: the nonce itself says all we need, and a challenge must not be much larger than
    what it answers. Without `qop` it is the form of RFC 2069.
    """
    value = b'Digest realm="%b", nonce="%b"' % (realm, nonce)
    if qop:
        value += b', qop="%b"' % qop
    value += b", algorithm=%b" % NAMES[algorithm]
    return value + b", stale=true" if stale else value


class Verifier:
    """Computes the responses that were expected; remembers the part that has no secret in it."""

    def __init__(self) -> None:
        self.hashes = 0  # how many have been computed with a secret in them
        self._targets: tuple[dict[bytes, bytes], ...] = ({}, {}, {})

    def expected(self, given: Credentials, method: bytes, body: bytes, ha1: bytes) -> bytes:
        """The response that a client with this HA1 would have given (RFC 7616 §3.4.1)."""
        kind = _HASH_OF[given.algorithm]
        hashed = _HASH[kind]
        if given.algorithm in _IS_SESS:
            self.hashes += 1
            ha1 = hashed(b":".join((ha1, given.nonce, given.cnonce))).hexdigest().encode()
        a2 = self._a2(given, kind, method, body)
        if given.qop:
            text = b":".join((ha1, given.nonce, given.nc_text, given.cnonce, given.qop_text, a2))
        else:
            text = b":".join((ha1, given.nonce, a2))
        self.hashes += 1
        return hashed(text).hexdigest().encode()

    def matches(self, given: Credentials, method: bytes, body: bytes, ha1: bytes) -> bool:
        """Whether the response was made with this HA1; as long for a wrong one as for a right."""
        return compare_digest(self.expected(given, method, body, ha1), given.response)

    def _a2(self, given: Credentials, kind: int, method: bytes, body: bytes) -> bytes:
        """H(A2): the same for all phones that register at one domain."""
        text = method + b":" + given.uri
        if given.qop == _AUTH_INT:
            text += b":" + _HASH[kind](body).hexdigest().encode()
            return _HASH[kind](text).hexdigest().encode()
        known = self._targets[kind]
        a2 = known.get(text)
        if a2 is None:
            a2 = _HASH[kind](text).hexdigest().encode()
            if len(text) <= _REMEMBERED_BYTES:
                if len(known) >= _KNOWN_TARGETS:
                    known.clear()
                known[text] = a2
        return a2
