"""The course of a run, second by second, and a picture of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

SHARES = (0.5, 0.95, 0.99)


def percentile(ordered: list[float], share: float) -> float:
    """The value that `share` of them do not exceed; 0 of none."""
    if not ordered:
        return 0.0
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


@dataclass(frozen=True)
class Second:
    """What one second saw: operations, failures, and percentiles of milliseconds."""

    at: int
    count: int
    failed: int
    latencies: tuple[float, ...]


@dataclass
class Course:
    """All seconds of a run; of those that are past only the figures are kept."""

    seconds: list[Second] = field(default_factory=list)
    _at: int = -1
    _latencies: list[float] = field(default_factory=list)
    _failed: int = 0

    def note(self, at: float, milliseconds: float, failed: bool) -> None:
        """An operation has ended `at` seconds after the beginning."""
        if int(at) > self._at:
            self.close()
            self._at = int(at)
        self._latencies.append(milliseconds)
        self._failed += failed

    def close(self) -> None:
        """The second that was open is over."""
        if self._latencies:
            ordered = sorted(self._latencies)
            shown = tuple(percentile(ordered, share) for share in SHARES)
            self.seconds.append(Second(self._at, len(ordered), self._failed, shown))
        self._latencies, self._failed = [], 0


def draw(course: Course, path: Path, title: str) -> None:
    """Rate, latency and failures over time, as PNG."""
    from matplotlib.figure import Figure  # of the extra `load`; wanted here only

    at = [each.at for each in course.seconds]
    figure = Figure(figsize=(10, 8), layout="constrained")
    rate, latency, failed = figure.subplots(3, 1, sharex=True)
    figure.suptitle(title)
    rate.plot(at, [each.count for each in course.seconds])
    rate.set_ylabel("operations / s")
    for number, share in enumerate(SHARES):
        values = [each.latencies[number] for each in course.seconds]
        latency.plot(at, values, label=f"p{share * 100:.0f}")
    latency.set_ylabel("ms")
    latency.set_yscale("symlog", linthresh=1)
    latency.legend(loc="upper right")
    failed.bar(at, [each.failed for each in course.seconds], width=1.0, color="tab:red")
    failed.set_ylabel("failures / s")
    failed.set_xlabel("seconds")
    for each in (rate, latency, failed):
        each.set_ylim(bottom=0)
        each.grid(alpha=0.3)
    figure.savefig(path, dpi=100)
