"""A program that comes maps what others use: it finds everything and changes nothing."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from proxy.errors import LockTimeout, ShmError
from proxy.shm.answer_table import AnswerTable
from proxy.shm.arena import Arena
from proxy.shm.changes import ChangeRing
from proxy.shm.cluster_page import ClusterPage
from proxy.shm.destination_table import DestinationTable
from proxy.shm.dialog_table import DialogTable
from proxy.shm.inbox import Inbox
from proxy.shm.kept_calls import KeptCalls
from proxy.shm.location_table import LocationTable
from proxy.shm.nonce_table import NonceTable
from proxy.shm.page import Page
from proxy.shm.pipe_layout import Timing
from proxy.shm.pipes import Pipes
from proxy.shm.places import Places
from proxy.shm.profile_table import ProfileTable
from proxy.shm.row_page import RowPage
from proxy.shm.shards import Shards
from proxy.shm.slots import ProcessSlots
from proxy.shm.sources import Sources

pytestmark = pytest.mark.compiled

TIMING = Timing(10_000, 10_000, 200, False, 3_600_000)
KINDS: dict[str, tuple[Callable[[str], Any], Callable[[Arena], Any]]] = {
    "answers": (lambda path: AnswerTable.create(path, 64), AnswerTable.over),
    "changes": (lambda path: ChangeRing.create(path, 64), ChangeRing.over),
    "cluster": (
        lambda path: ClusterPage.create(path, 1, ("vip",)),
        lambda arena: ClusterPage.over(arena, 1, ("vip",)),
    ),
    "destinations": (lambda path: DestinationTable.create(path, 64), DestinationTable.over),
    "dialogs": (lambda path: DialogTable.create(path, 64), DialogTable.over),
    "inbox": (lambda path: Inbox.create(path, 4_096), Inbox.over),
    "kept": (KeptCalls.create, KeptCalls.over),
    "location": (lambda path: LocationTable.create(path, 64), LocationTable.over),
    "nonces": (lambda path: NonceTable.create(path, 100, 300_000, 1), NonceTable.over),
    "page": (Page.create, Page.over),
    "pipes": (lambda path: Pipes.create(path, 16, TIMING, seed=7), Pipes.over),
    "places": (Places.create, Places.over),
    "profiles": (lambda path: ProfileTable.create(path, 16, 16), ProfileTable.over),
    "rows": (lambda path: RowPage.create(path, 2, 4_096), RowPage.over),
    "shards": (lambda path: Shards.create(path, 3), Shards.over),
    "slots": (lambda path: ProcessSlots.create(path, 4, 3), ProcessSlots.over),
    "sources": (lambda path: Sources.create(path, 64, unit=2_000, density=9), Sources.over),
}


@pytest.mark.parametrize("name", KINDS)
def test_nothing_changes_in_what_is_taken_over(tmp_path: Path, name: str) -> None:
    create, over = KINDS[name]
    path = tmp_path / name
    made = create(str(path))
    before = path.read_bytes()
    found = over(Arena.inherit(made.arena.descriptor, name))
    assert type(found) is type(made)
    assert found.arena.size == made.arena.size
    assert path.read_bytes() == before
    made.arena.put_u32(8, 999)  # the number of the layout
    with pytest.raises(ShmError, match=f"{name} has layout version 999"):
        over(Arena.inherit(made.arena.descriptor, name))


@pytest.mark.parametrize("name", KINDS)
def test_something_else_is_refused(tmp_path: Path, name: str) -> None:
    other = "page" if name != "page" else "shards"
    made = KINDS[other][0](str(tmp_path / other))
    with pytest.raises(ShmError, match="holds something else"):
        KINDS[name][1](Arena.inherit(made.arena.descriptor, name))


def test_what_was_written_is_there_and_locks_that_are_held_stay_held(tmp_path: Path) -> None:
    table = LocationTable.create(str(tmp_path / "t"), 64)
    assert table.commit(b"alice", 0, b"payload", 9, 1)
    arena = Arena.inherit(table.arena.descriptor, "t")
    other = LocationTable.over(arena)
    assert other.snapshot(b"alice")[0] == b"payload"
    assert other.count == 1
    stripe_at = table.stripe_at(table.hash_of(b"alice"))
    held = os.eventfd(0)
    if (pid := os.fork()) == 0:
        table.arena.lock(stripe_at)
        os.eventfd_write(held, 1)
        while True:
            signal.pause()  # until it is killed
    os.eventfd_read(held)
    try:
        with pytest.raises(LockTimeout):
            LocationTable.over(Arena.inherit(table.arena.descriptor, "t")).commit(
                b"alice", 0, b"new", 9, 1
            )
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)


def test_memory_without_a_name_has_a_descriptor() -> None:
    ring = Inbox.create(None, 4_096)
    ring.push(0, b"", 0, b"hello")
    found = Inbox.over(Arena.inherit(ring.arena.descriptor, "ring"))
    assert [data for _, _, _, data in found.pop(9)] == [b"hello"]


def test_a_descriptor_of_something_else_is_no_memory() -> None:
    pipe = os.pipe()
    with pytest.raises(ShmError, match="is not a shared memory file"):
        Arena.inherit(pipe[0], "pipe")
    for descriptor in pipe:
        os.close(descriptor)
    with pytest.raises(ShmError, match="cannot be mapped: Bad file descriptor"):
        Arena.inherit(1 << 30, "nothing")  # more than a process may have
