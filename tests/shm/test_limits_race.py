"""Limits hold over real processes, also while one of them is killed."""

from __future__ import annotations

import os
import signal
import struct
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


BEGIN = 1_000 * WINDOW_MS
STEP_MS = 5


def offer(pipes: Pipes, algorithm: int, load: int, file: Path, orders: int, answers: int) -> None:
    """One worker: its share of `load` times the limit, evenly, and when it was let pass."""
    with file.open("wb", buffering=0) as log:
        sent = 0
        for now in range(0, RUN_MS, STEP_MS):
            os.read(orders, 1)
            due = now * LIMIT * load // (WORKERS * WINDOW_MS)
            while sent < due:
                sent += 1
                if pipes.check(b"trunk", LIMIT, algorithm, BEGIN + now) == ADMITTED:
                    log.write(struct.pack("=Q", now))
            os.write(answers, file.name.encode())


@pytest.mark.parametrize("load", [1, 2, 10])
@pytest.mark.parametrize("algorithm", [TAILDROP, RED, SBT], ids=["TAILDROP", "RED", "SBT"])
def test_a_limit_holds_over_all_workers(algorithm: int, load: int, tmp_path: Path) -> None:
    """Half of the time with all four, the other half with what a killed one has left behind.

    Time is given; who comes first in each step of it is not.
    """
    pipes = Pipes.create(None, 8, TIMING, seed=7)
    files = [tmp_path / str(number) for number in range(WORKERS)]
    orders, answers = [os.pipe() for _ in files], os.pipe()
    workers = [
        spawn(
            lambda file=file, orders=read: offer(pipes, algorithm, load, file, orders, answers[1])
        )
        for file, (read, _) in zip(files, orders, strict=True)
    ]
    living = set(range(WORKERS))
    for now in range(0, RUN_MS, STEP_MS):
        for number in living:
            os.write(orders[number][1], b".")
        if now == RUN_MS // 2:
            os.kill(workers[0], signal.SIGKILL)
            assert wait(workers[0]) == -signal.SIGKILL
            living.discard(0)
        done: set[int] = set()
        while not living <= done:
            done.update(map(int, os.read(answers[0], 100).decode()))
    assert [wait(pid) for pid in workers[1:]] == [0, 0, 0]
    for descriptor in (*answers, *(each for pair in orders for each in pair)):
        os.close(descriptor)
    admitted = [
        moment for file in files for (moment,) in struct.iter_unpack("=Q", file.read_bytes())
    ]
    step = SLOT_MS if algorithm == SBT else WINDOW_MS
    counts = Counter(moment // step for moment in admitted)
    steps = WINDOW_MS // step
    for first in range(-steps, RUN_MS // step + 1):
        window = sum(counts[each] for each in range(first, first + steps))
        assert window <= LIMIT, (first, counts)
    share = 0.6 if load == 1 else 0.75  # an eighth of what was to be offered died with its worker
    assert len(admitted) >= LIMIT * RUN_MS // WINDOW_MS * share


def test_a_source_is_found_over_once_by_all_workers(tmp_path: Path) -> None:
    sources = Sources.create(None, 64, unit=3_600_000, density=5_000, seed=7)
    source = source_of("192.0.2.1")
    moment = BEGIN

    def send(file: Path) -> None:
        found = sum(sources.note(source, moment) == OVER for _ in range(5_000))
        file.write_text(str(found))

    files = [tmp_path / str(number) for number in range(WORKERS)]
    assert [wait(pid) for pid in [spawn(lambda file=file: send(file)) for file in files]] == [0] * 4
    assert sum(int(file.read_text()) for file in files) == 1


def test_racing_for_the_last_places_never_admits_one_too_many(tmp_path: Path) -> None:
    """All at the same moment, a thousand pipes, each with room for three."""
    pipes = Pipes.create(None, 1_024, TIMING, seed=7)
    moment = BEGIN

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
