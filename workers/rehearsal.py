"""A proxy core with a policy and without sockets: time, names and datagrams are given to it.

What a worker does around the core, played by hand: the tests of this project and `policy_kit.py`
stand on it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from proxy.dialog.profiles import Profiles
from proxy.dialog.store import DialogStore
from proxy.dialog.tracker import Tracker
from proxy.limits import counters as ids
from proxy.limits import measures
from proxy.registrar.rules import RegistrarRules
from proxy.routing.branch import Signer
from proxy.routing.core import ProxyCore
from proxy.routing.identity import Identity
from proxy.routing.locate import Located
from proxy.routing.node import Node
from proxy.routing.ratelimit import Declared, Ratelimit
from proxy.shm.cluster_page import ClusterPage
from proxy.shm.dialog_table import DialogTable
from proxy.shm.location_table import LocationTable
from proxy.shm.pipe_layout import Timing
from proxy.shm.pipes import Pipes
from proxy.shm.profile_table import ProfileTable
from proxy.shm.slots import ProcessSlots
from proxy.sip.address import Address
from proxy.sip.message import Message, parse
from proxy.transaction.layer import TransactionLayer
from proxy.transaction.states import Stimulus
from proxy.transaction.timers import TimerConfig
from workers.policy import Script
from workers.settings import Dialog
from workers.tracking import rules_from

SECRET: Final = b"sixteen bytes or more"
TRANSPORT_ERROR: Final = int(Stimulus.TRANSPORT_ERROR)
WALL_MS: Final = 1_700_000_000_000


class KeptLog:
    """Keeps events to look at."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str, dict[str, object]]] = []

    def debug(self, event: str, **fields: object) -> None:
        """A line of level debug."""
        self.events.append(("debug", event, fields))

    def warning(self, event: str, **fields: object) -> None:
        """A line of level warning."""
        self.events.append(("warning", event, fields))

    def error(self, event: str, **fields: object) -> None:
        """A line of level error."""
        self.events.append(("error", event, fields))


class Rehearsal:
    """One node without sockets: `deliver` puts a datagram in and gives what comes out.

    `names` is what the DNS says, `dialogs` how calls are tracked if they are, `cluster` what the
    clusterer says if there is one; other keywords are rules of the registrar.
    """

    def __init__(
        self,
        folder: Path,
        script: Script,
        listeners: tuple[str, ...] = ("192.0.2.100:5060",),
        domains: tuple[bytes, ...] = (b"example.com",),
        capacity: int = 1000,
        names: dict[bytes, tuple[Address, ...]] | None = None,
        dialogs: Dialog | None = None,
        cluster: ClusterPage | None = None,
        **rules: Any,
    ) -> None:
        self.location = LocationTable.create(str(folder / "location.table"), 1000)
        self.slots = ProcessSlots.create(None, 4, measures.COLUMNS)
        self.counters = self.slots.counters(3)
        self.pipes = Pipes.create(None, 64, Timing())
        self.dialogs = dialogs
        self.cluster = cluster
        if dialogs is not None:
            self.dialog_table = DialogTable.create(str(folder / "dialogs.table"), dialogs.capacity)
            self.dialog_table.begin_epoch(1)
            self.members = ProfileTable.create(None, 1_000, 1_000)
        self.declared: dict[str, Declared] = {}
        self.listeners = [address(text) for text in listeners]
        self.domains = domains
        self.script = script
        self.capacity = capacity
        self.names = names or {}
        self.rules = RegistrarRules(
            [*domains, *(one.host for one in self.listeners)], **{"expires_jitter": 0.0, **rules}
        )
        self.log = KeptLog()
        self.now = self.started = 1000.0
        self.unreachable: set[Address] = set()
        self.dns_waits = False
        self.cores: list[ProxyCore] = []  # the last one lives
        self.questions: list[tuple[bytes, Callable[[Any], None]]] = []
        self.start_worker()

    @property
    def core(self) -> ProxyCore:
        """The core of the worker that lives; dead ones are kept, as nothing has freed them."""
        return self.cores[-1]

    def start_worker(self) -> None:
        """A worker that knows of no transaction, as after a kill -9."""
        self.layer = TransactionLayer(TimerConfig(), self.capacity)
        identity = Identity(self.listeners, self.domains)
        self.node = Node(
            self.layer,
            Signer(SECRET),
            identity,
            self.location,
            self.rules,
            self.counters,
            self.log,
            self.resolve,
            181.0,
        )
        self.node.pipes = Ratelimit(self.pipes, self.declared, "TAILDROP", self.counters)
        if self.dialogs is not None:
            self.node.dialogs = self.tracker(self.dialogs, self.node)
        self.node.on_reply = self.script.on_reply
        self.cores.append(ProxyCore(self.node, self.script.on_request))
        self.tell_time()

    def tracker(self, settings: Dialog, node: Node) -> Tracker:
        """What tracks dialogs, by `[dialog]`."""
        profiles = Profiles(self.members, settings.profiles, settings.profiles_no_value)
        rules = rules_from(settings, node=1, timer_c=181)
        store = DialogStore(
            self.dialog_table, profiles, rules, node.clock, self.counters, self.cluster
        )
        return Tracker(store)

    def tell_time(self) -> None:
        """Set the node's clocks to `now`."""
        self.node.set_time(self.now, WALL_MS + round((self.now - 1000.0) * 1000))

    def resolve(
        self, host: bytes, port: int, transport: bytes, callback: Callable[[Any], None]
    ) -> None:
        """The resolver: what `names` says, at once or when `answer_dns` is called."""
        self.questions.append((host, callback))
        if not self.dns_waits:
            self.answer_dns()

    def answer_dns(self) -> None:
        """Answer what the resolver has been asked."""
        questions, self.questions = self.questions, []
        for host, callback in questions:
            found = self.names.get(host, ())
            callback(Located(found, "" if found else "no such name"))

    def deliver(self, data: bytes, source: Address, listener: int = 0) -> list[Sent]:
        """One datagram from the network; what the proxy sends because of it."""
        self.core.receive(data, source, listener)
        return self.collect()

    def collect(self) -> list[Sent]:
        """Empty the outbox; what goes to an unreachable address comes back as a failure."""
        sent: list[Sent] = []
        while self.layer.outbox:
            outbox, self.layer.outbox = self.layer.outbox, []
            for data, to, listener, transaction in outbox:
                if to in self.unreachable:
                    if transaction is not None:
                        self.layer.drive(transaction, TRANSPORT_ERROR, None, self.now)
                else:
                    sent.append(Sent(self.now, data, to, listener))
        return sent

    def wait(self, seconds: float) -> list[Sent]:
        """Let time pass, each timer firing at its moment."""
        end = self.now + seconds
        sent: list[Sent] = []
        while True:
            deadline = self.layer.timers.next_deadline()
            if deadline is None or deadline > end:
                break
            self.now = max(self.now, deadline)
            self.tell_time()
            self.layer.timers.fire_due(self.now)
            sent += self.collect()
        self.now = end
        self.tell_time()
        return sent

    def left(self) -> tuple[int, int, int]:
        """How many server and client transactions and timers there are."""
        layer = self.layer
        return len(layer.servers), len(layer.clients), len(layer.timers)

    def count(self, name: str) -> int:
        """A statistic by its OpenSIPS name."""
        return self.slots.total(ids.NAMES.index(name))


class Sent:
    """One datagram that the proxy sent."""

    def __init__(self, at: float, data: bytes, to: Address, listener: int) -> None:
        self.at = at
        self.data = data
        self.to = to
        self.listener = listener

    @property
    def message(self) -> Message:
        """It, parsed."""
        return parse(self.data)

    @property
    def line(self) -> str:
        """Method and Request-URI, or status and reason."""
        message = self.message
        if message.is_request:
            return f"{message.method} {message.request_uri.decode()}"
        return f"{message.status} {message.reason.decode()}"

    def header(self, name: str) -> str | None:
        """The first value of a header, None when there is none."""
        found = self.message.named(name.encode())
        return found[0].decode() if found else None

    def __str__(self) -> str:
        return f"{self.to.hostport.decode()} {self.line}"

    __repr__ = __str__


def address(text: str) -> Address:
    """An Address from host:port or [host]:port."""
    host, _, port = text.rpartition(":")
    return Address.parse(host.encode(), int(port))
