"""What happened in a run: a sum over all of it, and its end, written out when somebody reads it."""

from __future__ import annotations

from collections import deque
from zlib import crc32

from proxy.cluster.frames import HEADER_BYTES, decode
from proxy.cluster.messages import Kind
from proxy.errors import BadFrame

KEPT = 400


class Trace:
    """Two runs that went the same way have the same sum."""

    def __init__(self) -> None:
        self._sum = 0
        self._last: deque[tuple[int, str, tuple[object, ...]]] = deque(maxlen=KEPT)

    def say(self, now: int, form: str, *values: object) -> None:
        """Something of note; `values` go into `form` when it is read, so they must not change."""
        self._last.append((now, form, values))

    def frame(self, now: int, source: int, target: int, data: bytes) -> None:
        """A frame arrives. What a node does shows in them, and their headers have their sums."""
        self._sum = crc32(data[:HEADER_BYTES], self._sum ^ now << 8 ^ source << 4 ^ target)
        self._last.append((now, "", (source, target, data)))

    @property
    def sum(self) -> str:
        """The sum so far."""
        return f"{self._sum:08x}"

    def lines(self) -> list[str]:
        """The end of it."""
        return [
            f"{now:>6} {form.format(*values) if form else _frame(*values)}"  # type: ignore[arg-type]
            for now, form, values in self._last
            if form or not _is_beat(values[2])
        ]


def _is_beat(data: object) -> bool:
    return isinstance(data, bytes) and data[3:4] == bytes([Kind.BEAT])


def _frame(source: int, target: int, data: bytes) -> str:
    try:
        frame = decode(data)
    except BadFrame as bad:
        return f"{source}>{target} {bad}"
    known = frame.kind in Kind.__members__.values()
    name = Kind(frame.kind).name if known else f"kind {frame.kind}"
    return f"{source}>{target} {name} {frame.epoch}.{frame.sequence}"
