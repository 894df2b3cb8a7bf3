"""What /proc says about a process tree: its members, processor time and memory."""

from __future__ import annotations

import os
import signal
import time
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")


def _stat(pid: int) -> list[str] | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text.rpartition(")")[2].split()


def children(pid: int) -> list[int]:
    """The living children of `pid`, oldest first; zombies are not living."""
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return []
    found = [int(word) for word in text.split()]
    return [child for child in found if (stat := _stat(child)) and stat[0] not in "ZX"]


def tree(pid: int) -> list[int]:
    """`pid` and all its living descendants."""
    if not (stat := _stat(pid)) or stat[0] in "ZX":
        return []
    found = [pid]
    for member in found:
        found.extend(children(member))
    return found


def cpu_seconds(pid: int) -> float:
    """User and system time of the whole tree; what dead children used is not in it."""
    stats = [stat for member in tree(pid) if (stat := _stat(member))]
    return sum(int(stat[11]) + int(stat[12]) for stat in stats) / TICK


def title(pid: int) -> str:
    """The command line, which the server's processes set to their role."""
    try:
        raw = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return raw.replace(b"\0", b" ").decode(errors="replace").strip()


def by_role(supervisor: int) -> dict[str, list[int]]:
    """The children of a supervisor that have their titles, without the number of a worker."""
    found: dict[str, list[int]] = defaultdict(list)
    for pid in children(supervisor):
        name = title(pid).partition("sipherd: ")[2]
        if name and name != "supervisor":  # else: forked a moment ago
            found[name.rstrip(" 0123456789")].append(pid)
    return found


def _kilobytes(pid: int, file: str, name: str) -> int:
    try:
        lines = Path(f"/proc/{pid}/{file}").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(name + ":")), 0)


def pss_bytes(pid: int) -> int:
    """Memory of the tree, every shared page counted once (proportional set size)."""
    return 1024 * sum(_kilobytes(member, "smaps_rollup", "Pss") for member in tree(pid))


def rss_bytes(pid: int) -> int:
    """Resident memory of one process, shared pages included."""
    return 1024 * _kilobytes(pid, "status", "VmRSS")


def private_bytes(pid: int) -> int:
    """Anonymous memory of one process: what a leak makes grow."""
    return 1024 * _kilobytes(pid, "status", "RssAnon")


def descriptors(pid: int) -> int:
    """How many files a process has open."""
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except (FileNotFoundError, ProcessLookupError):
        return 0


def alive(pid: int) -> bool:
    """Whether `pid` exists and is no zombie."""
    stat = _stat(pid)
    return bool(stat) and stat[0] not in "ZX"


def kill_tree(pid: int, patience: float = 5.0) -> None:
    """SIGKILL to `pid` and its descendants, the parent first, and wait until all are gone."""
    members = tree(pid)
    for member in members:
        with suppress(ProcessLookupError):
            os.kill(member, signal.SIGKILL)
    deadline = time.monotonic() + patience
    while any(alive(member) for member in members) and time.monotonic() < deadline:
        with suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
        time.sleep(0.005)
