"""Log lines: one per event, text or JSON, limited per cause, never waited for.

A process writes its lines into a pipe that never blocks; the supervisor alone passes them on to
stderr or a file. A full pipe costs the line, which is counted, and a slow disk or terminal costs
the packet path nothing.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import orjson

from workers.shared_page import SharedPage, threshold

LINE_BYTES: Final = 4_096  # PIPE_BUF: a write of up to this is one piece
BURST: Final = 20  # lines per cause and period
PERIOD_S: Final = 10.0
CAUSES: Final = 1_024
PIPE_BYTES: Final = 1 << 20
BACKLOG_BYTES: Final = 1 << 20
# A full disk, or no memory: it may pass, and then the lines of that time are wanted most.
PASSING: Final = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ENOMEM, errno.ENOBUFS}

Write = Callable[[bytes], bool]


class RateLimit:
    """At most `BURST` lines per cause and period, and how many were held back."""

    def __init__(self) -> None:
        self._causes: dict[str, list[float]] = {}

    def admit(self, cause: str, now: float) -> int:
        """How many lines of `cause` were held back before this one; -1 holds this one back too."""
        entry = self._causes.get(cause)
        if entry is None:
            if len(self._causes) >= CAUSES:
                self._causes.clear()
            self._causes[cause] = [now, 1, 0]
            return 0
        if now - entry[0] >= PERIOD_S:
            suppressed = int(entry[2])
            entry[:] = [now, 1, 0]
            return suppressed
        if entry[1] >= BURST:
            entry[2] += 1
            return -1
        entry[1] += 1
        return 0


@dataclass(frozen=True, slots=True)
class LogStyle:
    """Whose lines, and how they look."""

    process: str
    row: int
    json: bool


class Log:
    """What a process says. `event` is a constant phrase and the cause that lines are limited by."""

    def __init__(self, style: LogStyle, page: SharedPage, write: Write) -> None:
        self.style = style
        self.dropped = 0  # lines that found the pipe full
        self._levels = page.levels
        self._write = write
        self._limit = RateLimit()
        self._pid = os.getpid()

    def enabled(self, level: str) -> bool:
        """Whether lines of `level` are written: ask before composing something costly."""
        return self._levels[self.style.row] >= threshold(level)

    def debug(self, event: str, **fields: object) -> None:
        """Say what only a developer wants to know."""
        self._emit("debug", event, fields)

    def info(self, event: str, **fields: object) -> None:
        """Say what happened as expected."""
        self._emit("info", event, fields)

    def notice(self, event: str, **fields: object) -> None:
        """Say what an operator should have seen."""
        self._emit("notice", event, fields)

    def warning(self, event: str, **fields: object) -> None:
        """Say what needs attention soon."""
        self._emit("warning", event, fields)

    def error(self, event: str, **fields: object) -> None:
        """Say what failed."""
        self._emit("error", event, fields)

    def callback_failed(self, _loop: object, context: dict[str, Any]) -> None:
        """Say what went wrong where nobody awaits it: an event loop's exception handler."""
        self.error("callback failed", reason=repr(context.get("exception", context["message"])))

    def _emit(self, level: str, event: str, fields: dict[str, object]) -> None:
        if not self.enabled(level):
            return
        try:  # nobody fails because he cannot say what he does
            try:
                self._say(level, event, fields)
            except MemoryError:  # it may be there again at once
                self._say(level, event, fields)
        except (OSError, MemoryError):
            self.dropped += 1

    def _say(self, level: str, event: str, fields: dict[str, object]) -> None:
        suppressed = self._limit.admit(event, time.monotonic())
        if suppressed < 0:
            return
        if suppressed:
            fields["suppressed"] = suppressed
        render = json_line if self.style.json else text_line
        line = render(datetime.now(UTC), level, f"{self.style.process}[{self._pid}]", event, fields)
        if not self._write(line):
            self.dropped += 1


def text_line(when: datetime, level: str, who: str, event: str, fields: dict[str, object]) -> bytes:
    """A line for people: time, level, process, event, key=value."""
    words = [when.isoformat(timespec="milliseconds").replace("+00:00", "Z"), level, f"{who}:"]
    words.append(_plain(event))
    words.extend(f"{key}={_quoted(_shown(value))}" for key, value in fields.items())
    return _cut(" ".join(words).encode("utf-8", "backslashreplace"))


def json_line(when: datetime, level: str, who: str, event: str, fields: dict[str, object]) -> bytes:
    """A line for machines: one JSON object."""
    process, _, pid = who.rpartition("[")
    line = {
        "time": when.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "level": level,
        "process": process,
        "pid": int(pid.rstrip("]")),
        "event": event,
        **{key: _json_value(value) for key, value in fields.items()},
    }
    text = orjson.dumps(line)
    if len(text) < LINE_BYTES:
        return text + b"\n"
    for key in fields:  # an object cut in the middle is no object: shorten its parts
        line[key] = _shown(fields[key])[:256]
    text = orjson.dumps(line)
    return (
        text + b"\n" if len(text) < LINE_BYTES else orjson.dumps({**line, **_gone(fields)}) + b"\n"
    )


def _gone(fields: dict[str, object]) -> dict[str, object]:
    return dict.fromkeys(fields, "...")


def _json_value(value: object) -> object:
    if isinstance(value, bool | int | float) and abs(value) < 2**53:
        return value
    return _shown(value)


def _shown(value: object) -> str:
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).decode("utf-8", "backslashreplace")
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(value).encode("utf-8", "backslashreplace").decode()


def _plain(text: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _quoted(text: str) -> str:
    plain = _plain(text.replace("\\", "\\\\"))
    if plain and not any(c in ' "=' for c in plain):
        return plain
    return '"' + plain.replace('"', '\\"') + '"'


def _cut(line: bytes) -> bytes:
    return line + b"\n" if len(line) < LINE_BYTES else line[: LINE_BYTES - 4] + b"...\n"


class LogPipe:
    """The way of the children's lines to the supervisor."""

    def __init__(self, ends: tuple[int, int] | None = None) -> None:
        self.ends = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC) if ends is None else ends
        self.reader, self._writer = self.ends
        with contextlib.suppress(OSError):  # the kernel's limit for pipes may be lower
            fcntl.fcntl(self._writer, fcntl.F_SETPIPE_SZ, PIPE_BYTES)

    def write(self, line: bytes) -> bool:
        """Hand `line` over; False when it was lost."""
        try:
            return os.write(self._writer, line) == len(line)
        except OSError:
            return False

    def read(self) -> bytes:
        """What has gathered, up to a pipe full."""
        try:
            return os.read(self.reader, PIPE_BYTES)
        except BlockingIOError:
            return b""

    def enter_child(self) -> None:
        """Let go of the reading end."""
        os.close(self.reader)


class LogSink:
    """The end of all lines: stderr or a file, written without waiting for it."""

    def __init__(self, file: Path | None, backlog: bytes = b"") -> None:
        self._socket: socket.socket | None = None
        self._backlog = bytearray(backlog)
        self.dropped = 0
        self._file = file
        self._fd = _open_stderr() if file is None else _open_file(file)
        if stat.S_ISSOCK(os.fstat(self._fd).st_mode):
            self._socket = socket.socket(fileno=os.dup(self._fd))

    @property
    def waiting(self) -> bool:
        """Whether lines wait for a slow reader."""
        return bool(self._backlog)

    @property
    def backlog(self) -> bytes:
        """The lines that wait."""
        return bytes(self._backlog)

    def reopen(self) -> str:
        """Go on in the file that is now called so; why not, if that cannot be."""
        if self._file is None:
            return ""
        try:
            fd = _open_file(self._file)
        except OSError as error:
            return f"{self._file}: {error.strerror}"
        os.dup2(fd, self._fd, inheritable=False)
        os.close(fd)
        return ""

    def write(self, lines: bytes) -> bool:
        """Append `lines`; False when the reader is so slow that they were dropped."""
        if len(self._backlog) + len(lines) > BACKLOG_BYTES:
            self.dropped += lines.count(b"\n")
            return False
        self._backlog += lines
        self.flush()
        return True

    def flush(self) -> None:
        """Pass on as much as is taken now."""
        with contextlib.suppress(BlockingIOError):
            while self._backlog:
                piece = bytes(self._backlog[:65_536])
                try:
                    taken = self._send(piece)
                except BlockingIOError:
                    raise
                except OSError as error:
                    if error.errno in PASSING:
                        return
                    taken = len(piece)  # the reader has gone: nobody to tell
                    self.dropped += piece.count(b"\n")
                del self._backlog[:taken]

    def _send(self, piece: bytes) -> int:
        if self._socket is not None:
            return self._socket.send(piece, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        return os.write(self._fd, piece)


def _open_file(file: Path) -> int:
    return os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)


def _open_stderr() -> int:
    """A descriptor of stderr that may be non-blocking without making the terminal's so."""
    mode = os.fstat(2).st_mode
    if stat.S_ISREG(mode) or stat.S_ISSOCK(mode):
        return 2
    try:
        return os.open("/proc/self/fd/2", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except OSError:
        return 2
