"""Commands about rate limits and the flood guard: OpenSIPS' `rl_*` and `pike_*`."""

from __future__ import annotations

import fnmatch
import time
from typing import Any

from proxy.limits import algorithms
from proxy.limits.feedback import Gains
from proxy.limits.source import source_of, source_text
from proxy.shm import pipe_view
from workers.child import Child
from workers.commands.command import INVALID_PARAMS, NOT_FOUND, CommandError, Group, command, text

MOST_GAIN = 1e6


class Limits(Group):
    """Pipes and banned sources."""

    def __init__(self, child: Child) -> None:
        super().__init__(child)
        self._pipes = child.tables.pipes
        self._sources = child.tables.sources

    @command
    def rl_list(self, pipe: str = "", filter: str = "", filter_out: str = "") -> dict[str, Any]:
        """List the pipes: one, those that match a pattern (trunk*), or those that do not."""
        pipes = pipe_view.listing(self._pipes, _now_ms())
        drop_rate = max((each.drop_rate for each in pipes), default=0) / 100
        if pipe:
            dump = pipe_view.dump(self._pipes, _name(pipe), _now_ms())
            if dump is None:
                raise CommandError(NOT_FOUND, "Pipe Not Found")
            return {"Pipe": _shape(dump.pipe), "drop_rate": drop_rate}
        chosen = [
            each
            for each in pipes
            if (not filter or fnmatch.fnmatchcase(text(each.name), filter))
            and (not filter_out or not fnmatch.fnmatchcase(text(each.name), filter_out))
        ]
        return {"Pipes": [_shape(each) for each in chosen], "drop_rate": drop_rate}

    @command
    def rl_dump_pipe(self, pipe: str) -> dict[str, Any]:
        """Show a pipe with the slots of its window and the counts of the other nodes."""
        dump = pipe_view.dump(self._pipes, _name(pipe), _now_ms())
        if dump is None:
            raise CommandError(NOT_FOUND, "Pipe Not Found")
        shape: dict[str, Any] = {}
        if dump.pipe.algorithm == algorithms.SBT:
            shape["Window"] = {
                "Buckets": [{"Index": index, "Count": n} for index, n in enumerate(dump.slots)],
                "Status": "OK",
                "Window Size": len(dump.slots),
                "Bucket Total": sum(dump.slots),
            }
        nodes = [{"MachineID": node, "NodeCounter": n} for node, n in sorted(dump.remote.items())]
        return {
            **shape,
            "Pipe": text(dump.pipe.name),
            "Algorithm": algorithms.NAMES[dump.pipe.algorithm],
            "Counter": dump.pipe.counter,
            "Replication Nodes": nodes,
            "Total": dump.pipe.counter + sum(dump.remote.values()),
        }

    @command
    def rl_reset_pipe(self, pipe: str) -> str:
        """Count a pipe from zero again."""
        if not pipe_view.reset(self._pipes, _name(pipe)):
            raise CommandError(NOT_FOUND, "Pipe Not Found")
        return "OK"

    @command
    def rl_set_pid(self, ki: str, kp: str, kd: str) -> str:
        """Set the gains of the controller of FEEDBACK pipes, until the next start."""
        try:
            gains = Gains(float(ki), float(kp), float(kd))
        except ValueError:
            raise CommandError(INVALID_PARAMS, "Invalid params: gains must be numbers") from None
        if not all(-MOST_GAIN <= gain <= MOST_GAIN for gain in gains):
            raise CommandError(INVALID_PARAMS, "Invalid params: gains are too large")
        pipe_view.set_gains(self._pipes, gains)
        return "OK"

    @command
    def rl_get_pid(self) -> dict[str, float]:
        """Show the gains of the controller of FEEDBACK pipes."""
        return pipe_view.gains(self._pipes)._asdict()

    @command
    def pike_list(self) -> dict[str, list[str]]:
        """List the sources that the flood guard has banned."""
        banned = [] if self._sources is None else self._sources.banned(_now_ms())
        return {"IPs": [source_text(source) for source, _ in sorted(banned)]}

    @command
    def pike_rm(self, ip: str) -> str:
        """End the ban of a source."""
        try:
            source = source_of(ip)
        except ValueError:
            raise CommandError(INVALID_PARAMS, "Bad IP") from None
        if self._sources is None or not self._sources.lift(source, _now_ms()):
            raise CommandError(NOT_FOUND, "Match not found")
        return "OK"


def _now_ms() -> int:
    """The clock that pipes and bans run by."""
    return time.monotonic_ns() // 1_000_000


def _name(pipe: str) -> bytes:
    """A pipe's name as policies write it; it may come from bytes that are no text."""
    return pipe.encode("utf-8", "surrogateescape")


def _shape(pipe: pipe_view.Pipe) -> dict[str, Any]:
    return {
        "id": text(pipe.name),
        "algorithm": algorithms.NAMES[pipe.algorithm],
        "limit": pipe.limit,
        "counter": pipe.counter,
    }
