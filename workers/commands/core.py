"""Commands about the server itself: its processes, its log, its statistics."""

from __future__ import annotations

import time
from typing import Any

from proxy.shm.places import Phase
from workers.child import Child
from workers.commands.command import INVALID_PARAMS, NOT_FOUND, CommandError, Group, command
from workers.shared_page import FIRST_WORKER_ROW, LEVELS
from workers.statistics import Statistics
from workers.version import VERSION


class Core(Group):
    """Processes, log levels, statistics."""

    def __init__(self, child: Child) -> None:
        super().__init__(child)
        self._slots = child.tables.slots
        self._statistics = Statistics(child)

    @command
    def version(self) -> dict[str, str]:
        """Say which program this is."""
        return {"Server": f"sipherd ({VERSION})"}

    @command
    def uptime(self) -> dict[str, str]:
        """Say since when the supervisor runs."""
        now, since = int(time.time()), self._slots.row(0).started_at
        return {
            "Now": time.ctime(now),
            "Up since": time.ctime(since),
            "Up time": f"{now - since} [sec]",
        }

    @command
    def ps(self) -> dict[str, list[dict[str, Any]]]:
        """List the processes of this node."""
        return {
            "Processes": [
                {
                    "ID": row.row,
                    "PID": row.pid,
                    "Type": row.role,
                    "Started": row.started_at,
                    "Starts": row.starts,
                    "Edition": self._child.area.active(row.row),
                    "Version": row.version,
                    **self._duty_of(row.row - FIRST_WORKER_ROW),
                }
                for row in self._slots.live()
            ]
        }

    def _duty_of(self, place: int) -> dict[str, Any]:
        """Of a worker: its generation, what it is at, and what it still has under way."""
        if place < 0:
            return {}
        places = self._child.tables.places
        phase = places.phase(place)
        found = {"Generation": places.generation(place), "State": phase.name.lower()}
        return {**found, "Calls": places.live(place)} if phase is Phase.DRAINING else found

    @command
    def log_level(self, level: str = "", pid: int = 0) -> dict[str, Any]:
        """Show the log level of every process, or set it for all of them or for one."""
        rows = [row for row in self._slots.live() if pid in {0, row.pid}]
        if not rows:
            raise CommandError(NOT_FOUND, "Unknown process")
        if not level:
            return {"Processes": [self._level_of(row) for row in rows]}
        number = _level_number(level)
        if pid:
            self._child.page.set_level(number, rows[0].row)
            return {"Log level": number, "PID": pid}
        self._child.page.set_level(number)
        return {"New global log level": number}

    def _level_of(self, row: Any) -> dict[str, Any]:
        return {"PID": row.pid, "Log level": self._child.page.level(row.row), "Type": row.role}

    @command
    def get_statistics(self, statistics: list[str]) -> dict[str, int]:
        """Show statistics: "all", a "group:", or names."""
        found = self._statistics.values(statistics)
        if not found:
            raise CommandError(NOT_FOUND, "Statistics Not Found")
        return found

    @command
    def list_statistics(self, statistics: list[str] | None = None) -> dict[str, str]:
        """List the names of statistics, and whether they only count up."""
        return self._statistics.kinds(statistics or ["all"])

    @command
    def reset_statistics(self, statistics: list[str]) -> str:
        """Count from zero again."""
        if not self._statistics.reset(statistics):
            raise CommandError(NOT_FOUND, "Statistics Not Found")
        return "OK"


def _level_number(level: str) -> int:
    if level in LEVELS:
        return LEVELS[level]
    try:
        number = int(level)
    except ValueError:
        raise CommandError(INVALID_PARAMS, f"Invalid params: no log level {level}") from None
    return max(known for known in LEVELS.values() if known <= max(-1, min(number, 4)))
