"""The course of a run, second by second, and a picture of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    """What one second saw: operations, failures, percentiles of milliseconds, other events."""

    at: int
    count: int
    failed: int
    latencies: tuple[float, ...]
    events: Mapping[str, int] = field(default_factory=dict)


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


@dataclass(frozen=True)
class Panel:
    """One diagram of a picture: curves over the same seconds, or bars."""

    label: str
    curves: Mapping[str, Sequence[float]]
    at: Sequence[float]
    logarithmic: bool = False
    bars: bool = False


def draw(course: Course, path: Path, title: str) -> None:
    """Rate, latency, failures and other events over time, as PNG."""
    at = [each.at for each in course.seconds]
    latencies = {
        f"p{share * 100:.0f}": [each.latencies[number] for each in course.seconds]
        for number, share in enumerate(SHARES)
    }
    panels = [
        Panel("operations / s", {"": [each.count for each in course.seconds]}, at),
        Panel("ms", latencies, at, logarithmic=True),
        Panel("failures / s", {"": [each.failed for each in course.seconds]}, at, bars=True),
    ]
    names = sorted({name for each in course.seconds for name in each.events})
    if names:
        events = {name: [each.events.get(name, 0) for each in course.seconds] for name in names}
        panels.insert(2, Panel("events / s", events, at, logarithmic=True))
    draw_panels(panels, path, title)


def draw_panels(panels: Sequence[Panel], path: Path, title: str) -> None:
    """Diagrams one above the other, over the same seconds, as PNG."""
    from matplotlib.figure import Figure  # of the extra `load`; wanted here only

    figure = Figure(figsize=(10, 2.6 * len(panels)), layout="constrained")
    figure.suptitle(title)
    rows = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    for axes, panel in zip(rows, panels, strict=True):
        for name, values in panel.curves.items():
            if panel.bars:
                axes.bar(panel.at, values, width=1.0, color="tab:red")
            else:
                axes.plot(panel.at, values, label=name or None)
        axes.set_ylabel(panel.label)
        if panel.logarithmic:
            axes.set_yscale("symlog", linthresh=1)
        if len(panel.curves) > 1:
            axes.legend(loc="upper right", fontsize="small")
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
    rows[-1].set_xlabel("seconds")
    figure.savefig(path, dpi=100)
