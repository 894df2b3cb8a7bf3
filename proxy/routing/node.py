"""What every request of one worker works with: a passive record of collaborators and the time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from proxy.cluster.hlc import HybridClock
from proxy.dialog.tracker import Tracker
from proxy.limits.overload import OverloadRules, Shedder
from proxy.registrar.binding import Faults
from proxy.registrar.rules import RegistrarRules
from proxy.routing.address_groups import AddressGroups
from proxy.routing.branch import Signer
from proxy.routing.identity import Identity
from proxy.routing.mistakes import Mistakes
from proxy.routing.pending import Pendings
from proxy.routing.ratelimit import Ratelimit
from proxy.routing.sql import SqlQueries
from proxy.routing.web import WebAsker
from proxy.shm.location_table import LocationTable
from proxy.shm.slots import Counters
from proxy.sip.address import Address
from proxy.transaction.layer import TransactionLayer


class EventLog(Protocol):
    """Where events go; `event` is a constant phrase, what varies goes into fields."""

    def debug(self, event: str, **fields: object) -> None:
        """Log at level debug."""

    def warning(self, event: str, **fields: object) -> None:
        """Log at level warning."""

    def error(self, event: str, **fields: object) -> None:
        """Log at level error."""


ReplyHandler = Callable[[Any, Any], None]  # (request, reply)
# resolve(host, port, transport, callback): callback gets a Located, once, perhaps at once
Resolve = Callable[[bytes, int, bytes, Callable[[Any], None]], None]


class Node:
    """One worker's collaborators. The worker sets `now`, `wall` and `wall_ms` each turn."""

    def __init__(
        self,
        layer: TransactionLayer,
        signer: Signer,
        identity: Identity,
        location: LocationTable,
        rules: RegistrarRules,
        counters: Counters,
        log: EventLog,
        resolve: Resolve,
        timer_c: float,
    ) -> None:
        self.layer = layer
        self.signer = signer
        self.identity = identity
        self.location = location
        self.rules = rules
        self.counters = counters
        self.log = log
        self.resolve = resolve
        self.timer_c = timer_c
        self.pendings = Pendings(layer.timers, counters)
        self.mistakes = Mistakes()
        self.shedder = Shedder(OverloadRules())
        self.on_reply: ReplyHandler | None = None  # the policy's, if it has one
        self.lookups: WebAsker | None = None  # None: this node asks no web servers
        self.database: SqlQueries | None = None  # what policies read from databases
        # what other processes of this node tell a worker: the first byte says which of these it is
        self.errands: dict[int, Callable[[bytes], None]] = {}
        self.authentication: Any = None  # an Authentication, where [auth] is enabled
        self.inquiries: Any = None  # an Inquiries, where a database is used
        self.addresses = AddressGroups()
        self.pipes: Ratelimit | None = None  # the worker's, for policies
        self.remote: Any = None  # sql-only: who asks the database instead (remote.py)
        # hand_over(listener, sockaddr, data): whether it was another worker's and has gone there
        self.hand_over: Callable[[int, bytes, bytes], bool] | None = None
        self.dialogs: Tracker | None = None  # the worker's, unless calls are not tracked
        self.parking: Any = None  # answers that wait for the database (parking.py)
        self.clock = HybridClock()
        self.faults = Faults()
        self.literals: dict[bytes, Address] = {}  # URIs and addresses seen as text
        self.now = 0.0
        self.wall = 0
        self.wall_ms = 0

    def set_time(self, monotonic: float, wall_ms: int) -> None:
        """The time of this turn: monotonic seconds and wall-clock milliseconds."""
        self.now = monotonic
        self.wall_ms = wall_ms
        self.wall = wall_ms // 1000
        if self.dialogs is not None:
            self.dialogs.store.set_time(wall_ms)
