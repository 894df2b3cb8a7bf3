"""How busy the machine is and how much waits in receive queues, for FEEDBACK and NETWORK pipes.

The timekeeper reads /proc and leaves the figures in shared memory, where a check finds them: the
packet path opens no file.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

from proxy.limits import algorithms
from proxy.limits.feedback import Course, resume, step
from proxy.shm import pipe_view
from workers.child import Child
from workers.setting_types import Endpoint

SAMPLE_S: Final = 0.2  # queues fill and empty in less than a second
LOAD_S: Final = 1.0
EXPIRE_S: Final = 10.0
STAT: Final = Path("/proc/stat")
QUEUES: Final = (Path("/proc/net/udp"), Path("/proc/net/udp6"))


class Ticks(NamedTuple):
    """Clock ticks of all processors since the start of the machine."""

    busy: int
    total: int


def ticks_of(text: str) -> Ticks:
    """The first line of /proc/stat; waiting for a disk is idle time."""
    values = [int(word) for word in text.partition("\n")[0].split()[1:9]]
    if len(values) < 5:
        return Ticks(0, 0)
    idle = values[3] + values[4]
    return Ticks(sum(values) - idle, sum(values))


def busy_share(before: Ticks, after: Ticks) -> float:
    """The load between two readings, 0 to 1."""
    total = after.total - before.total
    return min(max((after.busy - before.busy) / total, 0.0), 1.0) if total > 0 else 0.0


def kernel_name(address: Endpoint) -> str:
    """How /proc/net/udp writes a local address: each 32-bit word as this machine stores it."""
    packed = ipaddress.ip_address(address.host).packed
    words = (packed[at : at + 4][::-1].hex() for at in range(0, len(packed), 4))
    return f"{''.join(words)}:{address.port:04x}".upper()


def waiting_bytes(text: str, names: Iterable[str]) -> int:
    """What waits in the receive queues of the sockets bound to `names`, from /proc/net/udp."""
    wanted = set(names)
    total = 0
    for line in text.splitlines()[1:]:
        fields = line.split()
        if len(fields) > 4 and fields[1] in wanted:
            total += int(fields[4].partition(":")[2], 16)
    return total


class LoadGauge:
    """Takes the samples, moves the drop rates of FEEDBACK pipes, lets unused pipes expire."""

    def __init__(self, child: Child) -> None:
        self._pipes = child.tables.pipes
        self._child = child
        self._ticks = ticks_of(read_text(STAT))
        self._load = 0.0
        self._load_at = 0.0
        self._expire_at = 0.0
        self._courses: dict[bytes, Course] = {}

    def turn(self, now: float) -> None:
        """One sample; the load and what follows from it once a second."""
        names = {kernel_name(listener) for listener in self._child.config.listen.udp}
        waiting = sum(waiting_bytes(read_text(path), names) for path in QUEUES)
        if now >= self._load_at:
            self._load_at = now + LOAD_S
            ticks = ticks_of(read_text(STAT))
            self._load = busy_share(self._ticks, ticks)
            self._ticks = ticks
            self.feed_back(self._load, int(now * 1_000))
        pipe_view.sample(self._pipes, self._load, waiting, int(now * 1_000))
        if now >= self._expire_at:
            self._expire_at = now + EXPIRE_S
            self._pipes.expire(int(now * 1_000))

    def feed_back(self, load: float, now_ms: int) -> None:
        """A step of the controller of each FEEDBACK pipe."""
        gains = pipe_view.gains(self._pipes)
        courses: dict[bytes, Course] = {}
        for pipe in pipe_view.listing(self._pipes, now_ms, algorithms.FEEDBACK):
            course = self._courses.get(pipe.name) or resume(gains, pipe.drop_rate)
            rate, courses[pipe.name] = step(gains, pipe.limit / 100, load, course)
            pipe_view.set_drop_rate(self._pipes, pipe.name, rate)
        self._courses = courses


def read_text(path: Path) -> str:
    """A file of /proc; nothing where there is none."""
    try:
        with path.open("rb", buffering=0) as file:  # five times a second: without a text layer
            return file.read().decode("ascii")
    except OSError:  # no IPv6, or no /proc: nothing is known, and nothing is refused for it
        return ""
