"""Who may connect: ZeroMQ's authentication protocol (ZAP, RFC 27), answered in our own loop.

With keys, whoever has one of the list is let in, and what it sends counts as that node's. Without
keys the source address takes their place, which is why every node connects from its own address.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from zmq.utils import z85

from workers.setting_types import Endpoint

ENDPOINT: Final = "inproc://zeromq.zap.01"
DOMAIN: Final = "sipherd"
CURVE: Final = b"CURVE"
NULL: Final = b"NULL"
_VERSION: Final = b"1.0"
REFUSED: Final = [b"400", b"not on the list"]
_NOBODY: Final[frozenset[int]] = frozenset()


class Admission:
    """The list of who may connect, and the names (ZAP's user ids) that messages then carry."""

    def __init__(self, secure: bool) -> None:
        self.secure = secure
        self._nodes: dict[bytes, frozenset[int]] = {}

    def set_peers(self, peers: Mapping[int, Endpoint], keys: Mapping[int, str]) -> None:
        """Replace the list. Messages of connections that are no longer on it come from nobody."""
        found: dict[bytes, set[int]] = {}
        for node, url in peers.items():
            if not self.secure:
                found.setdefault(url.host.encode(), set()).add(node)
            elif node in keys:
                found.setdefault(keys[node].encode(), set()).add(node)
        self._nodes = {name: frozenset(nodes) for name, nodes in found.items()}

    def nodes_of(self, user: bytes) -> frozenset[int]:
        """The nodes for which somebody may speak who was let in under this name."""
        return self._nodes.get(user, _NOBODY)

    def answer(self, request: list[bytes]) -> tuple[list[bytes], str]:
        """The reply to one request, and the address of whoever was refused, or ""."""
        envelope = request[: request.index(b"") + 1] if b"" in request else []
        fields = request[len(envelope) :]
        if len(fields) < 6 or fields[0] != _VERSION:
            return [], ""
        number, _domain, address, _identity, mechanism = fields[1:6]
        address = address.removeprefix(b"::ffff:")
        user = self._user(mechanism, address, fields[6:])
        status = [b"200", b"OK"] if self.nodes_of(user) else REFUSED
        reply = [*envelope, _VERSION, number, *status, user if self.nodes_of(user) else b"", b""]
        return reply, "" if self.nodes_of(user) else address.decode("ascii", "replace")

    def _user(self, mechanism: bytes, address: bytes, credentials: list[bytes]) -> bytes:
        if self.secure:
            if mechanism == CURVE and len(credentials) == 1 and len(credentials[0]) == 32:
                return z85.encode(credentials[0])
            return b""
        return address if mechanism == NULL else b""
