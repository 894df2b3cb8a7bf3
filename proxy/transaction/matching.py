"""Which transaction a message belongs to (RFC 3261 §17.1.3 and §17.2.3)."""

from __future__ import annotations

from typing import Any

from proxy.constants import BRANCH_COOKIE
from proxy.sip.message import Message


class Matching:
    """The transactions of one side by method and key.

    A method is only there while it has any, so that most requests get by without their key.
    """

    def __init__(self) -> None:
        self.methods: dict[str, dict[bytes, Any]] = {}

    def has(self, method: str) -> bool:
        """Whether there is any of this method."""
        return method in self.methods

    def find(self, method: str, key: bytes) -> Any:
        """The one that was entered so."""
        table = self.methods.get(method)
        return None if table is None else table.get(key)

    def enter(self, method: str, key: bytes, one: object) -> None:
        """Make one known."""
        table = self.methods.get(method)
        if table is None:
            table = self.methods[method] = {}
        table[key] = one

    def leave(self, method: str, key: bytes, one: object) -> None:
        """Forget it, if it is still the one that goes by this key."""
        table = self.methods.get(method)
        if table is not None and table.get(key) is one:
            del table[key]
            if not table:
                del self.methods[method]

    def of(self, method: str) -> list[Any]:
        """All of a method, as they are now."""
        return list(self.methods.get(method, {}).values())

    def __len__(self) -> int:
        return sum(map(len, self.methods.values()))


def server_key(request: Message) -> bytes:
    """What a retransmission, an ACK or a CANCEL has in common with its request (§17.2.3)."""
    branch = request.branch
    if len(branch) > 7 and branch.startswith(BRANCH_COOKIE):
        return request.sent_by_and_branch()
    # RFC 2543: no transaction id, so everything that would have gone into one
    return b"%b\n%b\n%d\n%b\n%b" % (
        request.call_id,
        request.from_tag,
        request.cseq,
        request.request_uri,
        request.via.raw,
    )
