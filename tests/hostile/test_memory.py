"""Mutated messages leave nothing behind: counted in living objects, not in pages of the system.

`loadtests/mutate.py` asks the same of a running server, which takes a million messages: only then
has its allocator seen its highest tide.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from loadtests.mutations import Mutator, corpus, message, numbered
from proxy.sip.address import Address
from tests.scenarios.world import World

BATCH = 50
ROUND = 4_000
KEPT = 0.05  # blocks per mutant; an address seen for the first time is remembered, up to a bound
CALLER = Address.parse(b"127.0.0.1", 22_000)
CONTACT = "Contact: <sip:callee@127.0.0.1:22001>\r\nExpires: 7200\r\n"


class Flood:
    """A proxy under mutants that all come from one address; nobody answers what it sends."""

    def __init__(self, folder: Path) -> None:
        self.world = World(folder, listeners=("127.0.0.1:5060",))
        self.mutator = Mutator(1)
        self.templates = corpus(CALLER.hostport.decode(), "127.0.0.1:5060")
        self.number = 0

    def send(self, data: bytes) -> None:
        self.world.core.receive_batch([(0, CALLER.sockaddr, 0, data)])

    def round(self, watch: Callable[[bytes], object] = len) -> int:
        """So many mutants, and the time until all is over; the blocks that are in use then."""
        chance = self.mutator.chance
        for sent in range(ROUND):
            self.number += 1
            if sent % (10 * BATCH) == 0:
                here = CALLER.hostport.decode()
                self.send(numbered(message("REGISTER", "callee", here, CONTACT), self.number))
            good = numbered(chance.choice(self.templates), self.number)
            mutant = self.mutator.mutate(good, chance.choice(self.templates))
            watch(mutant)
            self.send(mutant)
            if sent % BATCH == 0:
                self.world.wait(0.05)
                self.world.layer.outbox.clear()
        self.world.wait(400)
        self.world.layer.outbox.clear()
        self.world.log.events.clear()
        return sys.getallocatedblocks()


@pytest.fixture
def flood(tmp_path: Path) -> Iterator[Flood]:
    gc.collect()
    gc.disable()
    yield Flood(tmp_path)
    gc.enable()


@pytest.mark.compiled
def test_mutants_leave_nothing_behind(flood: Flood) -> None:
    flood.round()
    before = flood.round()
    assert flood.round() - before < KEPT * ROUND
    assert flood.world.left() == (0, 0, 0)


@pytest.mark.compiled
def test_the_count_sees_what_is_kept(flood: Flood) -> None:
    kept: list[bytes] = []
    before = flood.round()
    assert flood.round(kept.append) - before > KEPT * ROUND
