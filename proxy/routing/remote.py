"""sql-only: registrations live in one database for several servers, and nowhere else.

A REGISTER goes to the storage process whole and comes back as an answer. Before a policy runs, the
record of the Request-URI is fetched into a table of this worker's own, where `lookup` finds it; it
is good for that request, so it is fetched anew for the next one and forgotten soon after.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from proxy.constants import reason_phrase
from proxy.errors import BadMessage, ShmError
from proxy.limits.counters import STORAGE_PARKED_LATE
from proxy.registrar.commit import commit_record
from proxy.registrar.record import binding_count
from proxy.routing.node import Node
from proxy.routing.pending import Pending
from proxy.sip.uri import aor_key, parse_uri
from proxy.storage.kinds import Fields, Kind

Ask = Callable[[int, Fields, Pending], None]
KEPT_SECONDS = 5.0  # an awaiting policy may look its record up as late as that


class Registering:
    """A REGISTER on its way to the database and back."""

    def __init__(self, remote: Remote, request: Any) -> None:
        self.remote = remote
        self.request = request

    def resume(self, pending: Pending) -> None:
        """The storage process has decided, or could not."""
        request, answer = self.request, pending.result
        request.waiting = False
        if answer and answer.status == 0 and answer.rows:
            status, reason, headers = answer.rows[0]
            request.answer(int(status), reason, headers, b"")
        else:
            self.remote.refuse(request)


class Fetching:
    """A request whose record is being fetched."""

    def __init__(self, remote: Remote, request: Any, policy: Any, key: bytes) -> None:
        self.remote = remote
        self.request = request
        self.policy = policy
        self.key = key

    def resume(self, pending: Pending) -> None:
        """Go on with the policy; without an answer nobody can say who is registered: 503."""
        answer = pending.result
        self.request.waiting = False
        if not answer or answer.status != 0:
            self.remote.refuse(self.request)
            return
        self.remote.keep(self.key, answer.rows[0][0] if answer.rows else None)
        self.request.start(self.policy)


class Remote:
    """The worker's end of sql-only."""

    def __init__(self, node: Node, ask: Ask, retry_after: bytes) -> None:
        self.node = node
        self.ask = ask
        self.retry_after = retry_after
        self.kept: deque[tuple[float, bytes]] = deque()

    def register(self, request: Any) -> None:
        """Let the storage process save; the answer comes without the policy."""
        if not request.hold():
            return
        request.waiting = True
        pending = Pending()
        pending.waiter = Registering(self, request)
        message, source = request.message, request.source
        listener = self.node.identity.listeners[request.listener].hostport
        fields: Fields = [message.data, source.sockaddr, listener]
        self.ask(int(Kind.REGISTER), fields, pending)

    def fetch(self, request: Any, policy: Any) -> bool:
        """Whether the policy has to wait for the record of the Request-URI."""
        if request.method == "REGISTER" or request.in_dialog:
            return False
        try:
            uri = parse_uri(request.message.request_uri)
            if not self.node.identity.is_ours(uri):
                return False
            key = aor_key(uri)
        except BadMessage:
            return False
        if not uri.user:
            return False
        if not request.hold():
            return True  # it has been refused
        request.waiting = True
        pending = Pending()
        pending.waiter = Fetching(self, request, policy, key)
        self.ask(int(Kind.LOOKUP), [key], pending)
        return True

    def keep(self, key: bytes, payload: bytes | None) -> None:
        """Have the record where lookup finds it, or have none there."""
        table = self.node.location
        count = binding_count(payload) if payload is not None else 0
        if count <= 0:
            payload = None
        else:
            self.kept.append((self.node.now + KEPT_SECONDS, key))
        try:
            commit_record(table, key, table.snapshot(key)[1], payload)
        except ShmError:
            self.node.faults.full += 1

    def expire(self, now: float) -> None:
        """Forget what has been fetched a while ago."""
        table = self.node.location
        while self.kept and self.kept[0][0] <= now:
            _, key = self.kept.popleft()
            table.commit(key, table.snapshot(key)[1], None, 0, 0)

    def refuse(self, request: Any) -> None:
        """The database is late or away."""
        self.node.counters.add(STORAGE_PARKED_LATE, 1)
        request.answer(503, reason_phrase(503), self.retry_after, b"")
