"""Branches, route cookies and tags: everything we sign with the cluster's secret (R4).

A forwarded branch is

    z9hG4bK <mac: 16 hex> <loop: 8 hex> <target: 8 hex>

where `loop` hashes what decides the routing of the request (RFC 5393 §4.2), `target` the target
the branch goes to, and `mac` everything that makes the incoming request this one: its branch,
Call-ID, CSeq number, the host it came from, and the two other parts. The same request forwarded
again, by a new worker or by another node, gets the same branch; a response whose mac is right has
passed through us, and goes back to that host and to no other.
"""

from __future__ import annotations

import cython

from proxy.constants import BRANCH_BYTES, BRANCH_COOKIE
from proxy.routing.siphash import SipHash, siphash
from proxy.sip.message import Message

if not cython.compiled:

    def branch_text(mac: int, suffix: int) -> bytes:
        """A branch of ours."""
        return BRANCH_COOKIE + b"%016x%016x" % (mac, suffix)

    def digits_of(number: int) -> bytes:
        """The sixteen hex digits of a number."""
        return b"%016x" % number

    def has_digits(p: bytes, at: int, number: int) -> bool:
        """Whether a text has those from `at` on."""
        return p[at : at + 16] == b"%016x" % number


# Compiled, a literal of more than 31 bits would be a Python number, and the mask a slow one.
LOW = 0xFFFFFFFF
# What a signature is for, above the lengths of what is signed; a branch has neither of these bits.
ROUTE_COOKIE = 1 << 62
OWN_TAG = 2 << 62
OWN_BRANCH = 3 << 62
COOKIE = BRANCH_COOKIE
_hash = SipHash()


def hex_digits(value: int, width: int) -> bytes:
    """The lowest `width` hex digits of a number; `width` is at most 16."""
    return digits_of(value)[16 - width :]


class Signer:
    """Makes and checks branches, route cookies and tags under one secret of 16 bytes or more."""

    def __init__(self, secret: bytes) -> None:
        if len(secret) < 16:
            raise ValueError("the secret has to have at least 16 bytes")
        self.key0 = siphash(0x627A6E6368, 1, 0, secret)
        self.key1 = siphash(0x627A6E6368, 2, 0, secret)
        # for what only tells one thing from another, and never stands alone for a signature
        self.lean0 = siphash(0x627A6E6368, 3, 0, secret)
        self.lean1 = siphash(0x627A6E6368, 4, 0, secret)

    def loop_hash(self, request: Message, request_uri: bytes, routes: bytes) -> int:
        """32 bits over what the routing decision depends on (RFC 5393 §4.2.1).

        Not over the To tag: the ACK of a failed INVITE has one and must get its INVITE's branch.
        """
        made = _hash
        made.begin(self.lean0, self.lean1, True)
        made.add_number(request.cseq | len(request_uri) << 32)
        made.add_number(len(routes) | len(request.from_tag) << 32)
        made.add(request_uri)
        if routes:
            made.add(routes)
        made.add(request.from_tag)
        made.add(request.call_id)
        return made.end() & LOW

    def aim_hash(self, uri: bytes, received: bytes, path: bytes, attempt: int) -> int:
        """32 bits over where a branch goes; `path`: one contact behind two proxies (RFC 5626)."""
        made = _hash
        made.begin(self.lean1, self.lean0, True)
        made.add_number(attempt | len(uri) << 32)
        made.add(uri)
        if received or path:
            made.add_number(len(received))
            made.add(received)
            made.add(path)
        return made.end() & LOW

    def branch(self, request: Message, origin: bytes, loop: int, aim: int) -> bytes:
        """The branch of `request`, from host `origin`, to where `aim` says.

        ACK and CANCEL get that of their INVITE.
        """
        suffix = loop << 32 | aim
        return branch_text(self._mac(request.branch, origin, request, suffix), suffix)

    def is_ours(self, branch: bytes, next_branch: bytes, origin: bytes, response: Message) -> bool:
        """Whether we made `branch` for the request that came from `origin` with `next_branch`."""
        if len(branch) != BRANCH_BYTES:
            return False
        try:
            suffix = int(branch[23:], 16)
        except ValueError:
            return False
        return has_digits(branch, len(COOKIE), self._mac(next_branch, origin, response, suffix))

    def _mac(self, branch: bytes, origin: bytes, message: Message, suffix: int) -> int:
        made = _hash
        made.begin(self.key0, self.key1, False)
        made.add_number(message.cseq | len(branch) << 32 | len(origin) << 56)  # an IP address
        made.add_number(suffix)
        made.add(branch)
        made.add(origin)
        made.add(message.call_id)
        return made.end()

    def route_cookie(self, call_id: bytes, caller_tag: bytes, did: bytes = b"") -> bytes:
        """What our Record-Route carries, so that only members of the dialog may use it.

        It vouches for the did beside it as well.
        """
        return digits_of(self._cookie(call_id, caller_tag, did))

    def is_cookie(
        self, data: bytes, at: int, call_id: bytes, caller_tag: bytes, did: bytes
    ) -> bool:
        """Whether the sixteen characters from `at` on are that cookie."""
        return has_digits(data, at, self._cookie(call_id, caller_tag, did))

    def _cookie(self, call_id: bytes, caller_tag: bytes, did: bytes) -> int:
        made = _hash
        made.begin(self.key0, self.key1, False)
        made.add_number(ROUTE_COOKIE | len(call_id) | len(caller_tag) << 24)
        made.add(call_id)
        made.add(caller_tag)
        if did:
            made.add(did)
        return made.end()

    def own_tag(self, request: Message) -> bytes:
        """The To tag of an answer we gave without keeping state; its ACK brings it back."""
        made = _hash
        made.begin(self.key0, self.key1, False)
        made.add_number(OWN_TAG | len(request.call_id) | len(request.from_tag) << 24)
        made.add(request.call_id)
        made.add(request.from_tag)
        made.add(request.branch)
        return digits_of(made.end())

    def own_branch(self, request: bytes) -> bytes:
        """The branch of a request of our own, `request` being what makes it this one.

        Whoever sends it again after a death sends what is to its receiver a retransmission.
        """
        return COOKIE + digits_of(siphash(self.key0, self.key1, OWN_BRANCH, request))
