"""The pipes as a policy names them: with what the configuration has declared about each."""

from __future__ import annotations

from typing import NamedTuple

from proxy.limits import algorithms, bounds
from proxy.limits.counters import PIPE_REFUSALS, PIPES_FULL
from proxy.shm.pipes import Pipes
from proxy.shm.slots import Counters

_ADMITTED = 1
_NO_ROOM = 2


class Declared(NamedTuple):
    """A pipe of the configuration."""

    limit: int
    algorithm: int


class Ratelimit:
    """Asks the shared pipes and counts what is refused."""

    def __init__(
        self,
        pipes: Pipes,
        declared: dict[str, Declared],
        default_algorithm: str,
        counters: Counters,
    ) -> None:
        self.pipes = pipes
        self.counters = counters
        self._declared = declared
        self._default = algorithms.number_of(default_algorithm)

    def check(self, name: str, limit: int | None, algorithm: str | None, now: float) -> bool:
        """Whether one more may pass the pipe; ValueError when nobody has said how many may."""
        chosen = self._default
        declared = self._declared.get(name)
        if declared is not None:
            chosen = declared.algorithm
            if limit is None:
                limit = declared.limit
        if limit is None:
            raise ValueError(f"pipe {name} is not declared in [ratelimit] pipes and has no limit")
        if not 0 <= limit <= bounds.PIPE_LIMIT:
            raise ValueError(f"a limit is 0 to {bounds.PIPE_LIMIT}, not {limit}")
        if algorithm is not None:
            chosen = algorithms.number_of(algorithm)
        key = name.encode("utf-8", "surrogateescape")  # it may come from bytes that are no text
        verdict = self.pipes.check(key, limit, chosen, int(now * 1000))
        if verdict == _ADMITTED:
            return True
        self.counters.add(PIPES_FULL if verdict == _NO_ROOM else PIPE_REFUSALS, 1)
        return False
