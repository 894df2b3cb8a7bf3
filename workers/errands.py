"""What other processes of a node tell a worker, by way of the worker's inbox.

An errand is a byte that says which it is, and what that one needs. A full inbox loses it, as it
loses datagrams, so whoever sends one must be able to do without or to repeat it.
"""

from __future__ import annotations

import enum
import time
from collections import deque
from typing import Final

from proxy.shm.inbox import Inbox
from proxy.shm.kept_calls import KeptCalls
from proxy.sip.scanner import hash_call_id
from workers.child import Child
from workers.mailbox import Mailbox
from workers.tables import inbox_file, kept_file

CLUSTERER: Final = 0xFFFF  # in a worker's place
KEPT: Final = 10_000
KEPT_SECONDS: Final = 2.0  # by then nobody waits for it


class Errand(enum.IntEnum):
    """Which errand it is: the key into a worker's `node.errands`."""

    HTTP_ANSWER = 8  # to a look-up of a policy (proxy/routing/web.py)
    DURABLE = 1  # the database has what was committed up to ring.done(READER_STORAGE)
    ANSWER = 2  # a part of what the storage process was asked for (proxy/storage/kinds.py)
    CREDENTIALS = 3  # what the database has said: a state and the key of the question
    RELOAD_LIST = 4  # read a list of the database anew: its number
    ORDER = 6  # of an operator to the clusterer: JSON
    DIALOG = 5  # look at the dialog of this key: something is due in it


def send_errand(child: Child, worker: int, errand: int, data: bytes) -> bool:
    """Tell the worker in a place, or the CLUSTERER; False when its inbox is full."""
    if worker == CLUSTERER:
        mailbox = child.clusterer
        if mailbox is None:
            return False
    else:
        mailbox = Mailbox(inbox_of(child, worker), child.inbox_eventfds[worker])
    return mailbox.put(errand.to_bytes(1, "little") + data)


def inbox_of(child: Child, place: int) -> Inbox:
    """The inbox of a place; its file is mapped when it has come after this process."""
    inboxes = child.tables.inboxes
    inbox = inboxes[place]
    if inbox is None:
        folder = child.config.node.runtime_dir
        inbox = inboxes[place] = Inbox.join(str(folder / inbox_file(place)))
    return inbox


def owner_of(child: Child, call_id: bytes) -> int:
    """The place of the worker that a Call-ID belongs to: who keeps it, or who owns it."""
    tables, call = child.tables, hash_call_id(call_id)
    for place in tables.places.handed_over():
        kept = tables.kept[place]
        if kept is None:
            path = child.config.node.runtime_dir / kept_file(place)
            kept = tables.kept[place] = KeptCalls.join(str(path))
        if kept.has(call):
            return place
    return tables.shards.owner(call)


def send_to_owner(child: Child, call_id: bytes, errand: int, data: bytes) -> bool:
    """Tell the worker that a Call-ID belongs to."""
    return send_errand(child, owner_of(child, call_id), errand, data)


def tell_workers(child: Child, errand: int, data: bytes) -> None:
    """Tell every worker that serves calls."""
    for place in child.tables.places.at_work():
        send_errand(child, place, errand, data)


class Deliveries:
    """Errands of a process that may be late: sent again while a worker's inbox is full or busy.

    An inbox is busy when whoever holds its lock is not given the processor; on a machine with
    too much to do that takes longer than a push may wait.
    """

    def __init__(self, child: Child) -> None:
        self.child = child
        self.kept: deque[tuple[float, int, int, bytes]] = deque(maxlen=KEPT)

    def send(self, worker: int, errand: int, data: bytes) -> None:
        """Tell a worker, after what has been kept."""
        if self.kept or not send_errand(self.child, worker, errand, data):
            self.kept.append((time.monotonic() + KEPT_SECONDS, worker, errand, data))

    def repeat(self, now: float) -> None:
        """Try again what could not be sent, each worker's in its order."""
        stuck: set[int] = set()
        for _ in range(len(self.kept)):
            until, worker, errand, data = self.kept.popleft()
            if until <= now:
                continue
            if worker in stuck or not send_errand(self.child, worker, errand, data):
                stuck.add(worker)
                self.kept.append((until, worker, errand, data))
