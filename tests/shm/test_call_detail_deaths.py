"""The timekeeper dies while it writes call detail records: each did is in the file exactly once."""

from __future__ import annotations

import os
import random
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from shm_family import run

from proxy.cluster.hlc import HybridClock
from proxy.dialog.decoded import DialogRecord, encode
from proxy.dialog.profiles import Profiles
from proxy.dialog.record import key_of, units_of
from proxy.dialog.rules import DialogRules
from proxy.dialog.states import EndReason, State
from proxy.dialog.store import DialogStore
from proxy.dialog.tracker import Tracker
from proxy.limits import counters
from proxy.shm.arena import arm_crash
from proxy.shm.dialog_table import DialogTable
from proxy.shm.profile_table import ProfileTable
from proxy.shm.slots import ProcessSlots
from workers import cdr_file
from workers.cdr_file import CdrFile, dids_at_end
from workers.lifetimes import Lifetimes

NOW = 1_700_000_000
DEATHS = 50
ROUND = 20  # calls that end between two deaths


class Place:
    """A dialog table whose calls have all ended, and a file for their records."""

    def __init__(self, folder: Path) -> None:
        self.table = DialogTable.create(str(folder / "dialogs"), 2_000, seed=7)
        self.profiles = Profiles(ProfileTable.create(str(folder / "profiles"), 16, 64), (), ())
        self.slots = ProcessSlots.create(None, 4, counters.COUNT)
        self.path = folder / "cdr.jsonl"
        self.made = 0
        self.errors: list[str] = []

    def end_calls(self, count: int) -> None:
        for _ in range(count):
            self.made += 1
            record = DialogRecord(
                key=key_of(b"call-%d" % self.made, b"tag"),
                node=1,
                epoch=5,
                counter=self.made,
                state=State.DELETED,
                created_ms=(NOW - 60) * 1000,
                ended_ms=(NOW - 50) * 1000,
                end_reason=EndReason.FAILED,
                end_code=486,
            )
            payload = encode(record)
            assert self.table.commit(record.key, 0, payload, NOW - 1, units_of(State.DELETED))

    def lifetimes(self) -> Lifetimes:
        tally = self.slots.counters(0)
        store = DialogStore(self.table, self.profiles, DialogRules(), HybridClock(), tally)
        store.set_time(NOW * 1000)
        log = SimpleNamespace(enabled=lambda _: False, error=self.say)
        tables = SimpleNamespace(slots=self.slots)
        child: Any = SimpleNamespace(tables=tables, slot=0, log=log, pause=lambda: None)
        return Lifetimes(child, Tracker(store), CdrFile(self.path))

    def say(self, event: str, **_: object) -> None:
        self.errors.append(event)

    def written(self) -> Counter[str]:
        """The dids of all whole lines: half a one stays in a file renamed right after a death."""
        return Counter(
            did for path in self.path.parent.glob("cdr.jsonl*") for did in dids_at_end(path)
        )

    def all_dids(self) -> list[str]:
        return [f"1.5.{number:x}" for number in range(1, self.made + 1)]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    made.table.close()


class DyingOs:
    """The system as cdr_file.py sees it: at the n-th call it takes part of a write, and kills."""

    def __init__(self, calls: int) -> None:
        self.calls = calls

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def write(self, fd: int, data: bytes) -> int:
        self.calls -= 1
        if self.calls == 0:
            os.write(fd, data[: len(data) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        written = os.write(fd, data)
        self.fdatasync(fd)
        return written

    def fdatasync(self, fd: int) -> None:
        self.calls -= 1
        if self.calls == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def test_every_did_is_written_once_whatever_is_killed(place: Place) -> None:
    chance = random.Random(20)
    deaths = 0
    next_rename = 5
    while deaths < DEATHS:
        place.end_calls(ROUND)

        def work(in_file: int, store: int) -> None:
            if in_file:
                cdr_file.os = DyingOs(in_file)  # type: ignore[attr-defined]
            arm_crash(store)
            place.lifetimes().sweep()
            arm_crash(0)

        in_file = chance.choice((0, 0, 1, 2, 3))
        store = 0 if in_file else chance.randrange(1, ROUND * 30)
        status = run(lambda in_file=in_file, store=store: work(in_file, store))  # type: ignore[misc]
        assert status in (0, -signal.SIGKILL)
        deaths += status != 0
        if deaths == next_rename and place.path.exists():
            next_rename += DEATHS // 3
            place.path.rename(place.path.with_name(f"cdr.jsonl.{deaths}"))
    heir = place.lifetimes()
    heir.sweep()
    assert heir.sweep() == 0  # and not the count: a stripe is counted anew when it is next locked
    assert place.written() == Counter(place.all_dids())
    assert not place.errors


def test_a_full_disk_keeps_the_dialogs(place: Place) -> None:
    place.end_calls(3)
    place.path = Path("/dev/full")
    lifetimes = place.lifetimes()
    lifetimes.sweep()
    lifetimes.sweep()  # not tried again at once
    assert place.table.count == 3
    assert place.errors == ["call detail records wait"]
    assert place.slots.total(counters.CDR_FAILURES) == 1


def test_what_has_room_again_is_written(place: Place) -> None:
    place.end_calls(3)
    place.path = place.path.parent / "not yet" / "cdr.jsonl"
    lifetimes = place.lifetimes()
    lifetimes.sweep()
    assert place.table.count == 3
    place.path.parent.mkdir()
    lifetimes.tracker.store.set_time((NOW + 60) * 1000)
    lifetimes.sweep()
    assert place.table.count == 0
    assert place.written() == Counter(place.all_dids())
