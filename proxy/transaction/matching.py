"""Which transaction a message belongs to (RFC 3261 §17.1.3 and §17.2.3)."""

from __future__ import annotations

from typing import Any

import cython

from proxy.constants import BRANCH_COOKIE
from proxy.sip.message import Message
from proxy.transaction.timers import Timed

if not cython.compiled:

    def fetch(places: list[Matched | None], at: int) -> None:
        """Have memory bring the line of a place into the processor's cache, without waiting."""


FEWEST_PLACES = 64
MOST_PLACES = 1 << 22


class Matched(Timed):
    """What a transaction is found by; `beside` is the next that has come to the same place."""

    method: str
    key: bytes
    mark: int  # the hash of the key
    beside: Matched | None


class Matching:
    """The transactions of one side by method and key: chains in a table that never grows.

    A side may have half of all transactions, and there is a place for each of those. A dict has to
    be built anew as it fills: with 350,000 keys that takes 30 ms, and every call waits for it.
    """

    def __init__(self, most: int) -> None:
        size = min(max(1 << (most // 2).bit_length(), FEWEST_PLACES), MOST_PLACES)
        self.places: list[Matched | None] = [None] * size
        self.mask = size - 1
        self.count = 0

    def expect(self, key: bytes) -> None:
        """Have memory fetch the place where somebody is about to look."""
        fetch(self.places, hash(key) & self.mask)

    def find(self, method: str, key: bytes) -> Any:
        """The latest that was entered so."""
        mark = hash(key)
        one = self.places[mark & self.mask]
        while one is not None:
            if one.mark == mark and one.method == method and one.key == key:
                return one
            one = one.beside
        return None

    def enter(self, method: str, key: bytes, one: Matched) -> None:
        """Make one known."""
        one.method = method
        one.key = key
        one.mark = mark = hash(key)
        one.beside = self.places[mark & self.mask]
        self.places[mark & self.mask] = one
        self.count += 1

    def leave(self, one: Matched) -> None:
        """Forget one, if it is known."""
        at = one.mark & self.mask
        other = self.places[at]
        if other is one:
            self.places[at] = one.beside
        else:
            while other is not None and other.beside is not one:
                other = other.beside
            if other is None:
                return
            other.beside = one.beside
        one.beside = None
        self.count -= 1

    def everything(self) -> list[Any]:
        """All of them, as they are now."""
        found = []
        for one in self.places:
            while one is not None:
                found.append(one)
                one = one.beside
        return found

    def of(self, method: str) -> list[Any]:
        """All of a method, as they are now."""
        return [one for one in self.everything() if one.method == method]

    def __len__(self) -> int:
        return self.count


def server_key(request: Message) -> bytes:
    """What a retransmission, an ACK or a CANCEL has in common with its request (§17.2.3)."""
    if not request.transaction_key:
        request.transaction_key = _server_key(request)
    return request.transaction_key


def has_cookie(branch: bytes) -> bool:
    """Whether a branch alone tells its transaction from all others of its sender (§8.1.1.7)."""
    return len(branch) > 7 and branch.startswith(BRANCH_COOKIE)


def _server_key(request: Message) -> bytes:
    if has_cookie(request.branch):
        return request.sent_by_and_branch()
    # RFC 2543: no transaction id, so everything that would have gone into one
    return b"%b\n%b\n%d\n%b\n%b" % (
        request.call_id,
        request.from_tag,
        request.cseq,
        request.request_uri,
        request.via.raw,
    )
