"""The file of call detail records: each dialog once, whatever is killed, and in its own time.

Whoever writes here removes the dialog from its table afterwards. When it is killed in between, the
one that takes its place finds the did at the end of the file and does not write it again; what it
finds half written it takes away.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import orjson

TAIL_BYTES: Final = 1 << 20  # more than may be written before a dialog is removed
RENAMED: Final = 3  # files that are looked into beside the one that is written
REMEMBERED: Final = 20_000  # dids
BLOCK_BYTES: Final = 65_536
MODE: Final = 0o640


class CdrFile:
    """Lines of JSON, appended by one process. It may be renamed at any time: a new one is begun."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.failure = ""  # why the last line could not be written
        self._fd = -1
        self._written: dict[str, None] = {}  # the last ones, oldest first

    def has(self, did: str) -> bool:
        """Whether the record of a dialog has been written lately."""
        return did in self._written

    def open(self) -> bool:
        """Have the file open that is now called so; False, and `failure`, when it cannot be."""
        try:
            if self._fd >= 0 and self._is_current():
                return True
            first = self._fd < 0
            self.close()
            self._fd = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, MODE)
            _cut_torn_line(self._fd)
            if first:
                self._read_tails()
        except OSError as error:
            self.close()
            self.failure = error.strerror or repr(error)
            return False
        return True

    def append(self, details: list[dict[str, object]]) -> bool:
        """Write the records of some dialogs, all or none, and see them onto the disk."""
        if not self.open():
            return False
        block = b"".join(orjson.dumps(detail) + b"\n" for detail in details)
        before = os.fstat(self._fd).st_size
        try:
            written = os.write(self._fd, block)
            if written < len(block):
                raise OSError(0, "no space left for a whole line")
            os.fdatasync(self._fd)
        except OSError as error:
            self.failure = error.strerror or repr(error)
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, before)
            self.close()
            return False
        self.failure = ""
        self._remember(str(detail["did"]) for detail in details)
        return True

    def close(self) -> None:
        """Let go of the file; what has been written is still known."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _is_current(self) -> bool:
        """Whether nobody has renamed or removed the file."""
        try:
            named = self.path.stat()
        except FileNotFoundError:
            return False
        opened = os.fstat(self._fd)
        return (named.st_dev, named.st_ino) == (opened.st_dev, opened.st_ino)

    def _read_tails(self) -> None:
        """Learn what the process before us wrote last, here or in files renamed since."""
        beside = [
            (path.stat().st_mtime_ns, path)
            for path in self.path.parent.glob(f"{self.path.name}?*")
            if path.is_file()
        ]
        recent = [path for _, path in sorted(beside)[-RENAMED:]]
        for path in (*recent, self.path):
            self._remember(dids_at_end(path))

    def _remember(self, dids: Iterable[str]) -> None:
        self._written.update(dict.fromkeys(dids))
        while len(self._written) > REMEMBERED:
            del self._written[next(iter(self._written))]


def dids_at_end(path: Path) -> list[str]:
    """The dids of the last lines of a file; lines that are none are passed over."""
    with path.open("rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL_BYTES))
        lines = file.read(TAIL_BYTES).split(b"\n")
    found: list[str] = []
    for line in lines:
        with contextlib.suppress(orjson.JSONDecodeError, KeyError, TypeError):
            found.append(str(orjson.loads(line)["did"]))
    return found


def _cut_torn_line(fd: int) -> None:
    """Take away what follows the last line end: its writer died, its dialog is in the table."""
    size = end = os.fstat(fd).st_size
    while end > 0:
        start = max(0, end - BLOCK_BYTES)
        newline = os.pread(fd, end - start, start).rfind(b"\n")
        if newline >= 0:
            end = start + newline + 1
            break
        end = start
    if end < size:
        os.ftruncate(fd, end)
