"""Overload control in a worker: its rules as configured, and what the log says of it."""

from __future__ import annotations

import os
from typing import Final

from proxy.limits.counters import OVERLOADS
from proxy.limits.overload import OverloadRules, Shedder
from proxy.shm.slots import Counters
from workers.logs import Log
from workers.settings import Config

CALM_S: Final = 5  # without pressure, after which it is over


def overload_rules(config: Config) -> OverloadRules:
    """The settings of [overload]."""
    settings = config.overload
    return OverloadRules(
        settings.target_ms / 1_000,
        settings.stale_ms / 1_000,
        float(settings.answers_per_second),
        settings.retry_after,
    )


def salt() -> int:
    """What makes this process's choice of requests another one than that of all others."""
    return int.from_bytes(os.urandom(4), "little")


class OverloadWatch:
    """Says when a worker begins to turn work away, and when it is over; told of each second."""

    def __init__(self, shedder: Shedder, counters: Counters, log: Log) -> None:
        self._shedder = shedder
        self._counters = counters
        self._log = log
        self._seconds = 0  # that it has lasted
        self._calm = 0  # of them the last ones

    def look(self) -> None:
        """Another second has passed."""
        pressure = self._shedder.pressure
        if not self._seconds:
            if pressure > 0:
                self._seconds = 1
                self._counters.add(OVERLOADS, 1)
                self._log.warning(
                    "overloaded",
                    delay_ms=round(self._shedder.delay * 1_000),
                    turned_away=f"{pressure:.0%}",
                )
            return
        self._seconds += 1
        self._calm = 0 if pressure > 0 else self._calm + 1
        if self._calm >= CALM_S:
            self._log.notice("overload is over", seconds=self._seconds - self._calm)
            self._seconds = self._calm = 0
