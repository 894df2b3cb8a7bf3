"""What must outlive every child, and how a child gets its share of it.

The supervisor opens everything once, before the first fork. A child keeps what belongs to it and
closes the rest, so that a socket closed by the supervisor is closed indeed.
"""

from __future__ import annotations

import faulthandler
import os
import struct
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import Final

from setproctitle import setproctitle

from proxy.limits import counters
from proxy.shm.changes import READERS
from proxy.shm.places import PLACES
from proxy.sip.address import Address
from workers import priority, signals
from workers.child import Child, Elder, Slot
from workers.edition import Area, Edition
from workers.generations import Generation
from workers.handover import Lineage
from workers.logs import Log, LogPipe, LogSink, LogStyle
from workers.mailbox import Mailbox
from workers.policy import compile_script
from workers.setting_types import Endpoint
from workers.settings import Config
from workers.shared_page import LEVELS, SharedPage
from workers.sockets import Group, kept_name, open_group
from workers.systemd import ServiceManager, let_go
from workers.tables import (
    Tables,
    declare_pipes,
    lock_folder,
    node_secret,
    open_tables,
    prepare_folder,
)
from workers.version import VERSION

SUPERVISOR: Final = "supervisor"
LOOKUPS_BYTES: Final = 1 << 20  # of questions that are on their way to the web servers
ORDERS_BYTES: Final = 1 << 18  # of what operators want of the clusterer, and rows of its table
_PID: Final = struct.Struct("=i")


@dataclass(slots=True)
class Journal:
    """The way of all log lines: the page of levels, the children's pipe, the end of it."""

    page: SharedPage
    pipe: LogPipe
    sink: LogSink
    json: bool

    @classmethod
    def open(cls, config: Config) -> Journal:
        """Everything that logging needs, as the configuration asks for it."""
        settings = config.log
        page, sink = SharedPage(settings.level), LogSink(settings.file)
        return cls(page, LogPipe(), sink, settings.format == "json")

    def supervisor_log(self) -> Log:
        """The supervisor's log: it holds the end, so it needs no pipe."""
        return Log(LogStyle(SUPERVISOR, 0, self.json), self.page, self.sink.write)

    def child_log(self, slot: Slot, count_dropped: Callable[[], object]) -> Log:
        """A child's log, through the pipe."""

        def write(line: bytes) -> bool:
            taken = self.pipe.write(line)
            if not taken:
                count_dropped()
            return taken

        return Log(LogStyle(slot.title, slot.row, self.json), self.page, write)

    def pass_on(self) -> None:
        """Write what the children have said."""
        if lines := self.pipe.read():
            self.sink.write(lines)


@dataclass(slots=True)
class Holdings:
    """What the supervisor owns."""

    config: Config
    journal: Journal
    log: Log
    lock_fd: int
    groups: dict[Endpoint, Group]
    inbox_eventfds: list[int]
    lookups: Mailbox | None
    clusterer: Mailbox | None
    reader_eventfds: list[int]
    tables: Tables
    secret: bytes
    life: tuple[int, int]  # a pipe nobody writes to: its end of file is the supervisor's end
    nice: int  # what children run with once they are up
    ready: tuple[int, int]  # a pipe into which a child that is up writes its process number
    script: bytes  # the policy, compiled
    area: Area  # of editions: what a reload offers
    manager: ServiceManager
    lineage: Lineage = field(default_factory=Lineage)
    _arrivals: bytearray = field(default_factory=lambda: bytearray(signals.AT_ONCE))
    _unread: int = 0  # bytes of these

    @classmethod
    def open(
        cls, config: Config, journal: Journal, manager: ServiceManager, kept: dict[str, list[int]]
    ) -> Holdings:
        """Take the folder, the addresses and the files; an error is a sentence."""
        log = journal.supervisor_log()
        script = compile_script(config.routing.script)
        prepare_folder(config.node.runtime_dir)
        lock_fd = lock_folder(config.node.runtime_dir)
        groups = _open_groups(config, log, kept)
        tables = open_tables(config, log)
        tables.slots.claim(0, os.getpid(), SUPERVISOR, int(time.time()), VERSION)
        return cls(
            config=config,
            journal=journal,
            log=log,
            lock_fd=lock_fd,
            groups=groups,
            inbox_eventfds=[_eventfd() for _ in range(PLACES)],
            lookups=Mailbox.open(LOOKUPS_BYTES) if config.lookups.enabled else None,
            clusterer=Mailbox.open(ORDERS_BYTES) if config.cluster.is_used else None,
            reader_eventfds=[_eventfd() for _ in range(READERS)],
            tables=tables,
            secret=node_secret(config),
            life=os.pipe2(os.O_CLOEXEC),
            nice=priority.usual(),
            ready=os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC),
            script=script,
            area=Area(),
            manager=manager,
        )

    def open_slot(self, slot: Slot) -> None:
        """Give a slot a fresh descriptor by which its child is told to stop."""
        old, slot.stop_fd = slot.stop_fd, -1
        if old >= 0:
            os.close(old)
        slot.stop_fd = _eventfd()

    def newly_up(self, found: set[int]) -> None:
        """Add the processes that have said that they are up; what is read stays until it is."""
        more = True
        while more:
            if not self._unread:
                try:
                    self._unread = os.readv(self.ready[0], [self._arrivals])
                except BlockingIOError:
                    return
            more = self._unread == len(self._arrivals)
            starts = range(0, self._unread, _PID.size)
            found.update([_PID.unpack_from(self._arrivals, start)[0] for start in starts])
            self._unread = 0

    def make_room(self, endpoints: Iterable[Endpoint], places: list[int]) -> None:
        """Have sockets and files for workers in these places; raises SipherdError."""
        workers = self.config.workers
        for endpoint in endpoints:
            group = self.groups.get(endpoint)
            if group is None:
                wanted = self.config.listen.receive_buffer
                self.groups[endpoint] = open_group(endpoint, len(places), wanted, [])
            else:
                group.widen(len(places))
        for place in places:
            self.tables.open_place(place, self.config.node.runtime_dir, workers.inbox_bytes)

    def bind_sockets(self) -> None:
        """Give the sockets that were made for more workers their addresses."""
        for group in self.groups.values():
            try:
                group.bind()
            except OSError as error:
                self.log.error("socket not bound", address=group.endpoint, reason=error.strerror)

    def give_back(self, used: set[Endpoint]) -> None:
        """Let go of the sockets that nobody reads or will read."""
        for endpoint, group in list(self.groups.items()):
            if endpoint in used:
                group.narrow()
            else:
                self.manager.forget(kept_name(endpoint))
                group.close()
                del self.groups[endpoint]

    def enter_child(self, slot: Slot, siblings: list[Slot], generations: list[Generation]) -> Child:
        """Become the child of `slot`: choose what to keep, close the rest."""
        setproctitle(f"sipherd: {slot.title}")
        signals.enter_child()
        faulthandler.enable(all_threads=False)
        faulthandler.register(signals.TRACE, all_threads=False)
        os.close(self.life[1])
        os.close(self.ready[0])
        self.journal.pipe.enter_child()
        for other in siblings:
            if other is not slot and other.stop_fd >= 0:
                os.close(other.stop_fd)
        now = int(time.time())
        self.tables.slots.claim(slot.row, os.getpid(), slot.title, now, VERSION)
        own = self.tables.slots.counters(slot.row)
        crew = next(each for each in generations if slot.generation in {0, each.number})
        sockets, neighbours = self._sockets(slot, crew, 0), self._sockets(slot, crew, 1)
        self._close_sockets(set(chain(*sockets, *neighbours)))
        return Child(
            ready=self._child_is_up,
            config=self.config,
            role=slot.spec.role,
            index=slot.index,
            first=slot.number == 0,
            slot=slot.row,
            sockets=sockets,
            neighbours=neighbours,
            listeners=[Address.parse(e.host.encode(), e.port) for e in crew.endpoints],
            predecessors=_predecessors(crew, generations),
            inbox_eventfds=self.inbox_eventfds,
            lookups=self.lookups,
            clusterer=self.clusterer,
            reader_eventfds=self.reader_eventfds,
            beaten_at=slot.heartbeat_at if slot.ever_up else 0.0,
            tables=self.tables,
            stop_fd=slot.stop_fd,
            parent_fd=self.life[0],
            secret=self.secret,
            log=self.journal.child_log(slot, partial(own.add, counters.LOG_LINES_DROPPED)),
            page=self.journal.page,
            area=self.area,
            script=self.script,
        )

    def take_over(self, edition: Edition) -> None:
        """What the supervisor itself does by a new edition; children forked from now on have it."""
        old, new = self.config, edition.config
        self.config, self.script = new, edition.script
        if new.log.level != old.log.level:
            self.journal.page.set_level(LEVELS[new.log.level])
        declare_pipes(self.tables.pipes, new)

    def wake_workers(self) -> None:
        """Let the UDP workers look at once what is offered to them."""
        for place in self.tables.places.at_work():
            os.eventfd_write(self.inbox_eventfds[place], 1)

    def keep_sockets(self) -> None:
        """Have the service manager keep the sockets, for a supervisor that comes after a kill."""
        for endpoint, group in self.groups.items():
            name = kept_name(endpoint)
            self.manager.forget(name)  # what it may hold from before
            self.manager.keep(name, group.fds)

    def _child_is_up(self) -> None:
        """Called in a child, once."""
        priority.go_along(self.nice)
        os.write(self.ready[1], _PID.pack(os.getpid()))

    def _sockets(self, slot: Slot, crew: Generation, further: int) -> list[list[int]]:
        """Per listener, the members of its group that the worker `further` on reads."""
        if not slot.generation or further >= len(crew.slots):
            return []
        reader = (slot.number + further) % len(crew.slots)
        return [self.groups[endpoint].fds[reader :: len(crew.slots)] for endpoint in crew.endpoints]

    def _close_sockets(self, kept: set[int]) -> None:
        for group in self.groups.values():
            for fd in set(group.fds) - kept:
                os.close(fd)


def _predecessors(crew: Generation, generations: list[Generation]) -> list[Elder]:
    """The workers before these, with their number of each listener of these, or -1."""
    found: list[Elder] = []
    for older in generations:
        if older.number < crew.number:
            numbers = {endpoint: number for number, endpoint in enumerate(older.endpoints)}
            known = [numbers.get(endpoint, -1) for endpoint in crew.endpoints]
            found += [Elder(slot.index, older.number, tuple(known)) for slot in older.slots]
    return found


def _open_groups(config: Config, log: Log, kept: dict[str, list[int]]) -> dict[Endpoint, Group]:
    wanted = config.listen.receive_buffer
    groups = {
        each: open_group(each, config.workers.udp, wanted, kept.pop(kept_name(each), []))
        for each in config.listen.udp
    }
    let_go(kept)
    granted = min(group.receive_buffer for group in groups.values())
    if granted < wanted:
        log.warning(
            "small receive buffer",
            wanted=wanted,
            granted=granted,
            remedy=f"sysctl -w net.core.rmem_max={wanted}",
        )
    return groups


def _eventfd() -> int:
    return os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
