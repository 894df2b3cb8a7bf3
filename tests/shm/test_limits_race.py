"""Limits hold over real processes in real time, also while one of them is killed."""

from __future__ import annotations

import os
import select
import signal
import struct
import time
from collections import Counter
from pathlib import Path

import pytest
from shm_family import spawn, wait

from proxy.limits.algorithms import RED, SBT, TAILDROP
from proxy.limits.source import source_of
from proxy.shm.pipe_layout import Timing
from proxy.shm.pipes import ADMITTED, Pipes
from proxy.shm.sources import OVER, Sources

WORKERS = 4
LIMIT = 100
WINDOW_MS = 300
SLOT_MS = 20
RUN_MS = 4 * WINDOW_MS
TIMING = Timing(WINDOW_MS, WINDOW_MS, SLOT_MS, limit_per_interval=True)


def now_ms() -> int:
    return time.monotonic_ns() // 1_000_000


def offer(pipes: Pipes, algorithm: int, load: int, begin: int, file: Path) -> None:
    """One worker: its share of `load` times the limit, evenly, and when it was let pass."""
    with file.open("wb", buffering=0) as log:
        sent = 0
        while (now := now_ms()) < begin + RUN_MS:
            due = (now - begin) * LIMIT * load // (WORKERS * WINDOW_MS) if now > begin else 0
            while sent < due:
                sent += 1
                moment = now_ms()
                if pipes.check(b"trunk", LIMIT, algorithm, moment) == ADMITTED:
                    log.write(struct.pack("=Q", moment))
            select.poll().poll(1)


@pytest.mark.parametrize("load", [1, 2, 10])
@pytest.mark.parametrize("algorithm", [TAILDROP, RED, SBT], ids=["TAILDROP", "RED", "SBT"])
def test_a_limit_holds_over_all_workers(algorithm: int, load: int, tmp_path: Path) -> None:
    """Half of the time with all four, the other half with what a killed one has left behind."""
    pipes = Pipes.create(None, 8, TIMING, seed=7)
    # a whole number of intervals, so that what is counted per interval is whole too
    begin = (now_ms() // WINDOW_MS + 1) * WINDOW_MS
    files = [tmp_path / str(number) for number in range(WORKERS)]
    workers = [
        spawn(lambda file=file: offer(pipes, algorithm, load, begin, file)) for file in files
    ]
    select.poll().poll(begin + RUN_MS // 2 - now_ms())
    os.kill(workers[0], signal.SIGKILL)
    assert [wait(pid) for pid in workers] == [-signal.SIGKILL, 0, 0, 0]
    admitted = [
        moment for file in files for (moment,) in struct.iter_unpack("=Q", file.read_bytes())
    ]
    step = SLOT_MS if algorithm == SBT else WINDOW_MS
    counts = Counter((moment - begin) // step for moment in admitted)
    steps = WINDOW_MS // step
    for first in range(-steps, RUN_MS // step + 1):
        window = sum(counts[each] for each in range(first, first + steps))
        assert window <= LIMIT, (first, counts)
    share = 0.6 if load == 1 else 0.75  # an eighth of what was to be offered died with its worker
    assert len(admitted) >= LIMIT * RUN_MS // WINDOW_MS * share


def test_a_source_is_found_over_once_by_all_workers(tmp_path: Path) -> None:
    sources = Sources.create(None, 64, unit=3_600_000, density=5_000, seed=7)
    source = source_of("192.0.2.1")
    moment = now_ms()

    def send(file: Path) -> None:
        found = sum(sources.note(source, moment) == OVER for _ in range(5_000))
        file.write_text(str(found))

    files = [tmp_path / str(number) for number in range(WORKERS)]
    assert [wait(pid) for pid in [spawn(lambda file=file: send(file)) for file in files]] == [0] * 4
    assert sum(int(file.read_text()) for file in files) == 1


def test_racing_for_the_last_places_never_admits_one_too_many(tmp_path: Path) -> None:
    """All at the same moment, a thousand pipes, each with room for three."""
    pipes = Pipes.create(None, 1_024, TIMING, seed=7)
    moment = now_ms()

    def rush(file: Path) -> None:
        admitted = bytearray()
        for number in range(1_000):
            name = b"p%d" % number
            admitted.append(sum(pipes.check(name, 3, SBT, moment) == ADMITTED for _ in range(3)))
        file.write_bytes(admitted)

    files = [tmp_path / str(number) for number in range(WORKERS)]
    assert [wait(pid) for pid in [spawn(lambda file=file: rush(file)) for file in files]] == [0] * 4
    totals = [sum(each) for each in zip(*(file.read_bytes() for file in files), strict=True)]
    assert max(totals) == 3
    assert sum(totals) > 2_900
