"""Exceptions of policies, told apart by where they come from: each is explained once."""

from __future__ import annotations

from traceback import clear_frames, format_tb
from types import TracebackType

from proxy.limits.bounds import POLICY_FAULTS

FRAMES = 8  # the last ones, which tell one cause from another
TRACE_CHARACTERS = 2_500


class Mistakes:
    """How often each mistake has been made in this worker."""

    def __init__(self) -> None:
        self.times: dict[tuple[object, ...], int] = {}

    def note(self, error: BaseException) -> tuple[int, str]:
        """How often this one has happened, and its traceback the first time.

        More causes than anybody can read are counted as one.
        """
        clear_frames(error.__traceback__)  # who ran out of memory needs some to say so
        key = cause(error)
        if key not in self.times and len(self.times) >= POLICY_FAULTS:
            key = ()
        times = self.times[key] = self.times.get(key, 0) + 1
        trace = "".join(format_tb(error.__traceback__))[-TRACE_CHARACTERS:] if times == 1 else ""
        return times, trace


def cause(error: BaseException) -> tuple[object, ...]:
    """What two exceptions of the same mistake have in common: class and lines, not the text."""
    lines: list[tuple[str, int]] = []
    trace: TracebackType | None = error.__traceback__
    while trace is not None:
        lines.append((trace.tb_frame.f_code.co_filename, trace.tb_lineno))
        trace = trace.tb_next
    return (type(error).__name__, *lines[-FRAMES:])


def is_told(times: int) -> bool:
    """Whether the log says it once more: the first time, the tenth, the hundredth ..."""
    while times >= 10 and times % 10 == 0:
        times //= 10
    return times == 1
