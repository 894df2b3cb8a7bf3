"""What must outlive every child, and how a child gets its share of it.

The supervisor opens everything once, before the first fork. A child keeps what belongs to it and
closes the rest, so that a socket closed by the supervisor is closed indeed.
"""

from __future__ import annotations

import faulthandler
import os
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from setproctitle import setproctitle

from proxy.limits import counters
from proxy.shm.changes import READERS
from proxy.sip.address import Address
from workers import priority, signals
from workers.child import Child, Slot
from workers.edition import Area, Edition
from workers.handover import Lineage
from workers.logs import Log, LogPipe, LogSink, LogStyle
from workers.mailbox import Mailbox
from workers.policy import compile_script
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
    groups: list[Group]
    listeners: list[Address]
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
            listeners=[Address.parse(e.host.encode(), e.port) for e in config.listen.udp],
            inbox_eventfds=[_eventfd() for _ in range(config.workers.udp)],
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
        if slot.stop_fd >= 0:
            os.close(slot.stop_fd)
        slot.stop_fd = _eventfd()

    def newly_up(self) -> set[int]:
        """The processes that have said since the last call that they are up."""
        try:
            data = os.read(self.ready[0], 4_096)
        except BlockingIOError:
            return set()
        return {pid for (pid,) in _PID.iter_unpack(data)}

    def enter_child(self, slot: Slot, siblings: list[Slot]) -> Child:
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
        return Child(
            ready=self._child_is_up,
            config=self.config,
            role=slot.spec.role,
            index=slot.index,
            count=slot.spec.count,
            slot=slot.row,
            sockets=self._own_sockets(slot),
            listeners=self.listeners,
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
        for eventfd in self.inbox_eventfds:
            os.eventfd_write(eventfd, 1)

    def keep_sockets(self) -> None:
        """Have the service manager keep the sockets, for a supervisor that comes after a kill."""
        for group in self.groups:
            name = kept_name(group.endpoint)
            self.manager.forget(name)  # what it may hold from before
            self.manager.keep(name, group.fds)

    def _child_is_up(self) -> None:
        """Called in a child, once."""
        priority.go_along(self.nice)
        os.write(self.ready[1], _PID.pack(os.getpid()))

    def _own_sockets(self, slot: Slot) -> list[list[int]]:
        """The members of the groups that are this child's; the others are closed."""
        own: list[list[int]] = []
        for group in self.groups:
            keep = slot.index if slot.spec.reads_sockets else -1
            for member, fd in enumerate(group.fds):
                if member != keep:
                    os.close(fd)
            if keep >= 0:
                own.append([group.fds[keep]])
        return own


def _open_groups(config: Config, log: Log, kept: dict[str, list[int]]) -> list[Group]:
    wanted = config.listen.receive_buffer
    groups = [
        open_group(each, config.workers.udp, wanted, kept.pop(kept_name(each), []))
        for each in config.listen.udp
    ]
    let_go(kept)
    granted = min(group.receive_buffer for group in groups)
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
