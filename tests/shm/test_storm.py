"""Writers and readers on the same few keys while children are killed at random moments.

Every record says who wrote it, its number and its checksum, so that a torn one shows; every writer
tells in a pipe what was committed, so that a lost one shows. SIPHERD_SHM_STORM: how many seconds.
"""

from __future__ import annotations

import os
import random
import select
import signal
import struct
import time
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

from shm_family import family, spawn, wait

from proxy.errors import LockTimeout
from proxy.shm.location_table import LocationTable
from proxy.shm.repair import check, examine, scavenge

SECONDS = float(os.environ.get("SIPHERD_SHM_STORM", "5"))
KEYS = [b"user%d@example.com" % number for number in range(40)]
Make = Callable[..., LocationTable]


def record(writer: int, number: int, length: int) -> bytes:
    body = struct.pack("<IQ", writer, number) + bytes([number & 0xFF]) * length
    return struct.pack("<I", zlib.crc32(body)) + body


def parse(payload: bytes) -> tuple[int, int]:
    assert struct.unpack_from("<I", payload)[0] == zlib.crc32(payload[4:]), "torn"
    writer, number = struct.unpack_from("<IQ", payload, 4)
    return writer, number


def write(table: LocationTable, writer: int, start: int, pipe: int) -> None:
    """Own one key in `writer`, in which numbers only rise; fight over all the others."""
    source = random.Random(start << 8 | writer)
    own = b"own key of %d" % writer
    number = start
    while True:
        number += 1
        for key in (own, source.choice(KEYS)):
            payload, stamp = table.snapshot(key)
            if payload is not None:
                parse(payload)
            if key is own:
                assert payload is None or parse(payload)[1] < number
            gone = key is not own and source.random() < 0.3
            fresh = None if gone else record(writer, number, source.randrange(2000))
            try:
                done = table.commit(key, stamp, fresh, number & 0xFFFF, 1)
            except LockTimeout:
                continue
            if key is own and done:
                os.write(pipe, struct.pack("<Q", number))


def read(table: LocationTable) -> None:
    source = random.Random(1)
    while True:
        payload = table.snapshot(source.choice(KEYS))[0]
        if payload is not None:
            parse(payload)
        for _, payload in table.scan(0, 1000)[0]:
            parse(payload)


def drain(pipe: int, last: int) -> int:
    while select.select([pipe], [], [], 0)[0]:
        data = os.read(pipe, 65_536)
        last = struct.unpack_from("<Q", data, len(data) - 8)[0]
    return last


def test_no_committed_record_is_lost_or_torn_under_kills(make_table: Make) -> None:
    table = make_table(256)
    table.arena.lock_wait_ns = 2_000_000_000  # on a loaded machine nobody gives up
    source = random.Random(3)
    pipes = [os.pipe() for _ in range(3)]
    last = [0, 0, 0]
    kills = 0
    with (
        family(*(partial(write, table, n, 0, pipes[n][1]) for n in range(3))) as writers,
        family(partial(read, table)) as readers,
    ):
        end = time.monotonic() + SECONDS
        while time.monotonic() < end or kills <= 10 * SECONDS or sum(last) <= 100:
            select.select([], [], [], source.uniform(0.0, 0.02))
            victim = source.randrange(3)
            os.kill(writers[victim], signal.SIGKILL)
            assert wait(writers[victim]) == -signal.SIGKILL
            kills += 1
            last[victim] = drain(pipes[victim][0], last[victim])
            payload = table.snapshot(b"own key of %d" % victim)[0]
            number = 0 if payload is None else parse(payload)[1]
            writers[victim] = spawn(partial(write, table, victim, number, pipes[victim][1]))
            assert number >= last[victim], "a committed record was lost"
            last[victim] = number
            if kills % 10 == 0:
                scavenge(table, 1000)
        assert os.waitpid(readers[0], os.WNOHANG) == (0, 0), "the reader found a torn record"
    for pipe in (end for pair in pipes for end in pair):
        os.close(pipe)
    scavenge(table, 10_000_000)
    report = examine(table)
    assert (report.faults, report.leaked) == ([], 0)
    assert report.free + report.records == report.slots


def test_optimistic_commits_lose_no_update(make_table: Make) -> None:
    """Four processes count in one record; every True is one more."""
    table = make_table(64)
    table.arena.lock_wait_ns = 5_000_000_000
    assert table.commit(b"counter", 0, b"0", 0, 0)

    def count() -> None:
        done = 0
        while done < 1500:
            payload, stamp = table.snapshot(b"counter")
            assert payload is not None
            os.sched_yield()  # let the others come between
            done += table.commit(b"counter", stamp, b"%d" % (int(payload) + 1), 0, 0)

    assert [wait(pid) for pid in [spawn(count) for _ in range(4)]] == [0] * 4
    assert table.snapshot(b"counter")[0] == b"6000"
    assert examine(table).leaked == scavenge(table, 1_000_000)


def test_check_beside_busy_writers_finds_no_fault(make_table: Make) -> None:
    table = make_table(256)
    table.arena.lock_wait_ns = 2_000_000_000
    sink = os.open(os.devnull, os.O_WRONLY)
    with family(partial(write, table, 0, 0, sink), partial(write, table, 1, 0, sink)):
        for _ in range(20):
            report = check(table.arena.path)
            assert (report.in_use, report.faults) == (True, [])
            # A slot whose list was busy is left to the scavenger.
            assert report.leaked < 100
    os.close(sink)


def test_a_warm_restart_of_a_hundred_thousand_records_is_quick(tmp_path: Path) -> None:
    path = str(tmp_path / "location")
    table = LocationTable.create(path, 100_000, seed=7)
    for number in range(100_000):
        table.commit(b"user%06d@example.com" % number, 0, bytes(300), 1, 1)
    table.close()
    begin = time.process_time()
    again = LocationTable.attach(path)
    spent = time.process_time() - begin
    assert again.loaded is not None
    assert again.loaded.records == 100_000
    again.close()
    assert spent < 20.0  # with --pure; compiled it takes a tenth of a second
