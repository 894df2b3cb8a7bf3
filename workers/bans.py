"""Whom the flood guard bans: everybody who sends too much, except networks that are trusted."""

from __future__ import annotations

from proxy.limits import counters as ids
from proxy.limits.source import Trusted, source_text
from proxy.shm.flood_guard import FloodGuard
from proxy.shm.slots import Counters
from proxy.shm.sources import Sources
from workers.child import Child
from workers.logs import Log


class Bans:
    """Decides about a source that has just gone over its limit."""

    def __init__(
        self, sources: Sources, trusted: Trusted, seconds: int, counters: Counters, log: Log
    ) -> None:
        self._sources = sources
        self._trusted = trusted
        self._seconds = seconds
        self._counters = counters
        self._log = log

    def over(self, source: int, now_ms: int) -> bool:
        """Ban the source unless it is trusted; whether it has been."""
        if source in self._trusted:
            return False
        if not self._sources.ban(source, now_ms + self._seconds * 1_000):
            return False
        self._counters.add(ids.FLOOD_BANS, 1)
        passed_s = max(now_ms % self._sources.unit, 1) / 1_000
        rate = round((self._sources.density + 1) / passed_s)
        self._log.warning(
            "source banned", source=source_text(source), rate=rate, seconds=self._seconds
        )
        return True


def flood_guard_of(child: Child) -> FloodGuard | None:
    """The guard as configured."""
    sources = child.tables.sources
    if sources is None:
        return None
    settings = child.config.flood
    counters = child.tables.slots.counters(child.slot)
    bans = Bans(sources, Trusted(settings.trusted), settings.remove_latency, counters, child.log)
    return FloodGuard(sources, counters, ids.FLOOD_STOPPED, ids.FLOOD_DISPLACED, bans.over)
