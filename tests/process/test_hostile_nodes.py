"""Nodes that are on the list and lie, or do not answer: nothing they say is half believed."""

from __future__ import annotations

import os
import random
import re
import signal
import struct
from pathlib import Path

import pytest
from cluster_harness import Pair, are_equal, knows, peer_of, phones, register, statistic, status
from process_harness import Server, wait_for

from proxy.cluster.frames import Frame, encode
from proxy.cluster.messages import Beat, Hello, Kind
from proxy.cluster.wire import BEAT, DATA
from workers.clusterer.bus import Bus
from workers.setting_types import Endpoint

pytestmark = pytest.mark.compiled


class Forger:
    """Node 3 of a cluster: it is on the list, and says what it likes."""

    def __init__(self, port: int) -> None:
        self.bus = Bus(3, Endpoint("127.0.0.3", port), None)
        self.bus.set_peers({1: Endpoint("127.0.0.1", port)}, {})

    def send(self, data: bytes, channel: int = DATA) -> None:
        def sent() -> bool:
            ready = dict(self.bus.poller.poll(0))
            self.bus.admit(ready)
            self.bus.receive(100, ready)
            return self.bus.send(1, channel, data)

        wait_for(sent)

    def say(self, kind: int, body: bytes, epoch: int = 1_000, sequence: int = 1) -> bytes:
        data = encode(Frame(kind, 1, 3, 1, epoch, sequence, body))
        self.send(data, BEAT if kind == Kind.BEAT else DATA)
        return data


def test_a_hostile_node_changes_nothing(pair: Pair) -> None:
    one = pair.node(1, f"{pair.url(2)}, {pair.url(3)}").start()
    other = pair.node(2, f"{pair.url(1)}, {pair.url(3)}").start()
    wait_for(lambda: status(one)["synced"] and status(other)["synced"], 20)
    register(one, "alice")
    wait_for(lambda: status(other)["records"] == 1 and are_equal(one, other))
    before, pid = status(one)["digest"], one.children()["clusterer"]
    forger = Forger(pair.port)
    chance = random.Random(5)
    beat = Beat(0, 0, 0, 0, True, False, 0, True, ((1, True),), (("vip", 1 << 60, 3),)).encode()
    good = forger.say(Kind.BEAT, beat)
    hello = Hello(1, 0, 0, 0, (1, 3)).encode()
    seen = [good, forger.say(Kind.HELLO, hello)]
    for kind in range(256):
        forger.say(kind, chance.randbytes(chance.choice((0, 1, 8, 40, 400, 5_000))))
    for _ in range(500):
        data = bytearray(chance.choice(seen))
        for _ in range(chance.choice((1, 1, 2, 8))):
            data[chance.randrange(len(data))] = chance.randrange(256)
        forger.send(bytes(data))
    for length in (2**32 - 1, 2**31, 65_536):
        forger.say(Kind.DATA, struct.pack("<QI", 0, length))  # as many records
        forger.say(Kind.DATA, struct.pack("<QIIBBHI", 0, 1, length, 1, 0, 65_535, length))
        forger.say(Kind.SYNC_ASK, struct.pack("<QH", 1, 4_096) + bytes(8))
    forger.say(Kind.BEAT, beat, epoch=2_000)

    def are_found_out() -> bool:
        for data in seen:  # replayed, of an epoch that is over once the beat has come its own way
            forger.send(data)
        return statistic(one, "stale_frames") >= 2 and statistic(one, "bad_frames") > 300

    wait_for(are_found_out)
    assert statistic(one, "impostors") >= 1
    assert statistic(one, "unknown_frames") > 200
    forger.bus.close()
    assert status(one)["digest"] == before
    assert one.children()["clusterer"] == pid
    assert one.ctl("clusterer_list_shtags")[0]["State"] == "backup"
    register(one, "bob")
    wait_for(lambda: knows(other, "bob"), 10)
    assert one.ctl("get_statistics", ["sipherd:restarts"]) == {"sipherd:restarts": 0}


def test_a_frozen_node_costs_no_memory_and_no_registration(two: tuple[Server, Server]) -> None:
    one, other = two
    register(one, "first")
    wait_for(lambda: knows(other, "first"))
    frozen = other.children()["clusterer"]
    before = resident_kb(one.children()["clusterer"])
    # Its supervisor must not end it for its silence: it sleeps as well.
    other.signal(signal.SIGSTOP)
    os.kill(frozen, signal.SIGSTOP)
    try:
        for number in range(300):
            register(one, f"u{number}")
        wait_for(lambda: peer_of(one)["link_state"] == "Down")
        for number in range(300):
            register(one, f"u{number}", 2)
        assert resident_kb(one.children()["clusterer"]) - before < 20_000
    finally:
        os.kill(frozen, signal.SIGCONT)
        other.signal(signal.SIGCONT)
    wait_for(lambda: len(phones(other)) == 301 and are_equal(one, other), 15)


def resident_kb(pid: int) -> int:
    (line,) = re.findall(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(line)
