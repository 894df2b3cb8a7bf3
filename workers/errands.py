"""What other processes of a node tell a worker, by way of the worker's inbox.

An errand is a byte that says which it is, and what that one needs. A full inbox loses it, as it
loses datagrams, so whoever sends one must be able to do without or to repeat it.
"""

from __future__ import annotations

import enum
import os
from contextlib import suppress

from proxy.constants import INTERNAL_LISTENER
from proxy.shm.inbox import FULL, WAKE
from proxy.sip.scanner import hash_call_id
from workers.child import Child


class Errand(enum.IntEnum):
    """Which errand it is: the key into a worker's `node.errands`."""

    HTTP_ANSWER = 8  # to a look-up of a policy (proxy/routing/web.py)
    DURABLE = 1  # the database has what was committed up to ring.done(READER_STORAGE)
    ANSWER = 2  # a part of what the storage process was asked for (proxy/storage/kinds.py)
    CREDENTIALS = 3  # what the database has said: a state and the key of the question
    RELOAD_LIST = 4  # read a list of the database anew: its number
    DIALOG = 5  # look at the dialog of this key: something is due in it


def send_errand(child: Child, worker: int, errand: int, data: bytes) -> bool:
    """Tell worker number `worker`; False when its inbox is full."""
    outcome = child.tables.inboxes[worker].push(
        INTERNAL_LISTENER, b"", 0, errand.to_bytes(1, "little") + data
    )
    if outcome == WAKE:
        with suppress(BlockingIOError):
            os.eventfd_write(child.inbox_eventfds[worker], 1)
    return outcome != FULL


def send_to_owner(child: Child, call_id: bytes, errand: int, data: bytes) -> bool:
    """Tell the worker that owns a Call-ID."""
    return send_errand(child, child.tables.shards.owner(hash_call_id(call_id)), errand, data)
