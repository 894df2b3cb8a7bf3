"""Stops what banned sources send, before it is copied, handed off or looked at."""

from __future__ import annotations

from collections.abc import Callable

from proxy.shm import sources as answers
from proxy.shm.slots import Counters
from proxy.shm.sources import Sources

_OVER = answers.OVER
_BANNED = answers.BANNED
_DISPLACED = answers.DISPLACED


class FloodGuard:
    """Counts one worker's datagrams in the table of all; the worker sets `now_ms` each turn.

    `stopped` and `displaced` are the columns for datagrams dropped and sources forgotten.
    `over(source, now_ms)` is called when a source has just sent too much, and may ban it.
    """

    def __init__(
        self,
        sources: Sources,
        counters: Counters,
        stopped: int,
        displaced: int,
        over: Callable[[int, int], object],
    ) -> None:
        self.sources = sources
        self.counters = counters
        self.stopped = stopped
        self.displaced = displaced
        self.over = over
        self.now_ms = 0

    def stops(self, source: int) -> bool:
        """Whether this datagram of `source` is to be dropped."""
        answer = self.sources.note(source, self.now_ms)
        if answer == 0:
            return False
        if answer & _DISPLACED:
            self.counters.add(self.displaced, 1)
        if answer & _OVER:
            self.over(source, self.now_ms)
        if answer & _BANNED:
            self.counters.add(self.stopped, 1)
            return True
        return False
