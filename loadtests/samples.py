"""Memory, descriptors and fill of a running server, looked at again and again; and their slopes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from loadtests import processes
from loadtests.picture import Panel, draw_panels
from loadtests.servers import Sipherd
from workers.control_client import ask

MEGABYTE = 1 << 20


@dataclass(frozen=True)
class Sample:
    """One look: anonymous memory and open files of each process by its title, and statistics."""

    at: float
    memory: dict[str, int]
    descriptors: dict[str, int]
    figures: dict[str, int]


def take(server: Sipherd, at: float, names: Sequence[str] = ()) -> Sample:
    """Look at every process now."""
    titles = {pid: processes.title(pid) for pid in processes.tree(server.pid)}
    ours = {pid: title for pid, title in titles.items() if title.startswith("sipherd: ")}
    figures = figures_of(server, *names) if names else {}
    return Sample(
        at,
        {title: processes.private_bytes(pid) for pid, title in ours.items()},
        {title: processes.descriptors(pid) for pid, title in ours.items()},
        figures,
    )


def figures_of(server: Sipherd, *names: str) -> dict[str, int]:
    """Statistics, asked without a process of their own."""
    answer = ask(server.runtime_dir, "get_statistics", {"statistics": list(names)})
    found: dict[str, int] = answer["result"]
    return found


def editions(server: Sipherd) -> dict[int, int]:
    """The edition of each process but the supervisor, by process id."""
    rows = ask(server.runtime_dir, "ps", {})["result"]["Processes"]
    return {row["PID"]: row["Edition"] for row in rows[1:]}


def growth(points: Sequence[tuple[float, float]]) -> float:
    """How much a series grew from its first to its last point, by the line that fits it best."""
    middle = sum(x for x, _ in points) / max(1, len(points))
    spread = sum((x - middle) ** 2 for x, _ in points)
    if not spread:
        return 0.0
    slope = sum((x - middle) * y for x, y in points) / spread
    return slope * (points[-1][0] - points[0][0])


def growths(samples: Sequence[Sample], of: Callable[[Sample], dict[str, int]]) -> dict[str, int]:
    """What grew in the second half of a run: of each process, or figure, that was always there."""
    half = samples[len(samples) // 2 :]
    names = set.intersection(*(set(of(each)) for each in half)) if half else set()
    return {name: round(growth([(each.at, of(each)[name]) for each in half])) for name in names}


def draw_samples(samples: Sequence[Sample], path: Path, title: str, *more: Panel) -> None:
    """Memory, descriptors and statistics over time, as PNG."""
    at = [each.at for each in samples]
    names = sorted({name for each in samples for name in each.memory})
    memory = {
        name.removeprefix("sipherd: "): [each.memory.get(name, 0) / MEGABYTE for each in samples]
        for name in names
    }
    files = {"": [float(sum(each.descriptors.values())) for each in samples]}
    figures = {
        name: [float(each.figures.get(name, 0)) for each in samples]
        for name in sorted({name for each in samples for name in each.figures})
    }
    panels = [*more, Panel("MB of memory", memory, at), Panel("open files", files, at)]
    if figures:
        panels.append(Panel("in use", figures, at, logarithmic=True))
    draw_panels(panels, path, title)
