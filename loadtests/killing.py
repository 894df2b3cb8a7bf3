"""kill -9 of processes of a server by their roles, and how fast each is replaced."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import struct
import time
from collections import defaultdict
from collections.abc import Callable

from loadtests import processes
from loadtests.servers import Sipherd
from proxy.shm import layout
from workers.tables import PROCESSES

LOOK_S = 0.002
PATIENCE_S = 5.0  # until there is another process
BOOT_S = 20.0  # until it gives a sign of life
BORN_DEAD = 0.2  # so many die before that; not all, or nothing would ever get done
ROW = struct.Struct("<I4xQQ104x")  # of processes.table: pid, started_at, heartbeat


class Killer:
    """Kills one process of a role after the other; the roles at the same time."""

    def __init__(self, server: Sipherd, chance: random.Random, pause_s: float) -> None:
        self.server, self.chance, self.pause_s = server, chance, pause_s
        self.usual = {role: len(pids) for role, pids in processes.by_role(server.pid).items()}
        self.replaced: dict[str, list[float]] = defaultdict(list)  # milliseconds
        self.up: dict[str, list[float]] = defaultdict(list)  # milliseconds to the sign of life
        self.not_replaced = 0
        self.kills = 0
        self._left = 0
        self._seen: dict[str, list[int]] = {}
        self._seen_at = 0.0

    async def kill(self, roles: list[str], kills: int, on_kill: Callable[[str], object]) -> None:
        """So many in all."""
        self._left = kills
        await asyncio.gather(*(self._keep_killing(role, on_kill) for role in roles))

    async def _keep_killing(self, role: str, on_kill: Callable[[str], object]) -> None:
        while True:
            await asyncio.sleep(self.chance.uniform(0.0, 2 * self.pause_s))
            if self._left <= 0:
                return
            victims = processes.by_role(self.server.pid).get(role)
            if not victims:
                continue  # it has been missed, and counted
            victim = self.chance.choice(victims)
            self._left -= 1
            os.kill(victim, signal.SIGKILL)
            killed = time.monotonic()
            self.kills += 1
            on_kill(role)
            await self._await_replacement(role, victim, killed)
            if self.chance.random() > BORN_DEAD:
                await self._await_life(role, killed)

    async def _await_replacement(self, role: str, victim: int, killed: float) -> None:
        while time.monotonic() < killed + PATIENCE_S:
            pids = self._look().get(role, [])
            if victim not in pids and len(pids) == self.usual[role]:
                self.replaced[role].append(1e3 * (time.monotonic() - killed))
                return
            await asyncio.sleep(LOOK_S)
        self.not_replaced += 1

    async def _await_life(self, role: str, killed: float) -> None:
        while time.monotonic() < killed + BOOT_S:
            pids = set(self._look().get(role, []))
            if len(pids) == self.usual[role] and pids <= alive(self.server):
                self.up[role].append(1e3 * (time.monotonic() - killed))
                return
            await asyncio.sleep(2 * LOOK_S)
        self.not_replaced += 1

    def _look(self) -> dict[str, list[int]]:
        """The children now; those who ask at the same moment share the answer."""
        if time.monotonic() > self._seen_at + LOOK_S / 2:
            self._seen = processes.by_role(self.server.pid)
            self._seen_at = time.monotonic()
        return self._seen


def alive(server: Sipherd) -> set[int]:
    """The processes that have given a sign of life, by the table that they share.

    Nobody is asked for it: whoever would have to answer may be dead just now.
    """
    with (server.runtime_dir / PROCESSES).open("rb") as file:
        file.seek(layout.HEADER_BYTES)
        rows = file.read(64 * ROW.size)
    found = ROW.iter_unpack(rows[: len(rows) // ROW.size * ROW.size])
    return {pid for pid, started_at, heartbeat in found if pid and heartbeat != started_at}
