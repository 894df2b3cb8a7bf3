"""Which processes there are, and what each has counted.

A row belongs to a place in the family, not to a process: whoever is worker 3 after worker 3 died
continues its row. A counter is stored by its row's owner alone and summed by whoever asks.
"""

from __future__ import annotations

from typing import NamedTuple

from proxy.errors import ShmError
from proxy.shm import layout
from proxy.shm.arena import Arena

_WORD = 0xFFFFFFFFFFFFFFFF  # a literal as large would be a Python number when compiled
KIND = b"slots"
LAYOUT = (
    "row 128: pid starts started_at heartbeat role[24] version[32]; "
    "base row and rows of u64 counters"
)

_ROWS_AT = layout.HEADER_BYTES
_ROW = 128
_PID = 0
_STARTS = 4
_STARTED_AT = 8
_HEARTBEAT = 16
_ROLE = 32
_ROLE_BYTES = 24
_VERSION = 56
_VERSION_BYTES = 32


class ProcessRow(NamedTuple):
    """One place of the family and who holds it; pid 0 = nobody."""

    row: int
    pid: int
    role: str
    started_at: int
    heartbeat: int
    starts: int
    version: str  # of its program


class Counters:
    """The counters of one row; only its process may change them."""

    def __init__(self, arena: Arena, at: int, count: int) -> None:
        self._arena = arena
        self.at = at
        self.count = count

    def add(self, counter: int, n: int = 1) -> int:
        """Count `n` more, or fewer."""
        self._arena.count_u64(self._cell(counter), n)
        return 0

    def get(self, counter: int) -> int:
        """This row's figure."""
        word = self._arena.u64(self._cell(counter))
        return word if word < 0x8000000000000000 else word - 0x10000000000000000

    def set(self, counter: int, value: int) -> int:
        """Say what a gauge reads now."""
        self._arena.put_u64(self._cell(counter), value & _WORD)
        return 0

    def _cell(self, counter: int) -> int:
        if counter >= self.count:
            raise ShmError(f"there is no counter {counter}")
        return self.at + 8 * counter


class ProcessSlots:
    """The rows of all processes and their counters."""

    def __init__(self, arena: Arena, rows: int, counters: int) -> None:
        self.arena = arena
        self.rows = rows
        self.counter_count = counters
        self.stride = (8 * counters + layout.LINE - 1) // layout.LINE * layout.LINE
        self.matrix_at = _ROWS_AT + rows * _ROW

    @staticmethod
    def create(path: str | None, rows: int, counters: int, *, boot_id: bytes = b"") -> ProcessSlots:
        """Empty rows; without a path they live in the family only."""
        if rows < 1 or counters < 1:
            raise ShmError("process slots need at least one row and one counter")
        stride = (8 * counters + layout.LINE - 1) // layout.LINE * layout.LINE
        size = _ROWS_AT + rows * _ROW + (rows + 1) * stride
        arena = Arena.anonymous(size) if path is None else Arena.create(path, size)
        layout.write(arena, KIND, LAYOUT, (rows, counters), boot_id=boot_id)
        return ProcessSlots(arena, rows, counters)

    @staticmethod
    def attach(path: str) -> ProcessSlots:
        """The rows of an existing file, as its owner."""
        return ProcessSlots.over(Arena.own(path))

    @staticmethod
    def over(arena: Arena) -> ProcessSlots:
        """The rows in a mapping that others use; nothing in it changes."""
        header = layout.read(arena, KIND, LAYOUT)
        slots = ProcessSlots(arena, header.geometry[0], header.geometry[1])
        if slots.matrix_at + (slots.rows + 1) * slots.stride != arena.size:
            raise ShmError(f"{arena.path} has a header that contradicts itself")
        return slots

    def claim(self, row: int, pid: int, role: str, started_at: int, version: str = "") -> None:
        """Enter a process; the row's counters go on from where they are."""
        at = self._row_at(row)
        self.say_version(row, version)
        name = role.encode()[:_ROLE_BYTES].ljust(_ROLE_BYTES, b"\0")
        self.arena.put(at + _ROLE, name)
        self.arena.put_u64(at + _STARTED_AT, started_at)
        self.arena.put_u64(at + _HEARTBEAT, started_at)
        self.arena.put_u32(at + _STARTS, self.arena.u32(at + _STARTS) + 1)
        self.arena.put_u32(at + _PID, pid)

    def say_version(self, row: int, version: str) -> None:
        """The process has another program than before."""
        text = version.encode()[:_VERSION_BYTES].ljust(_VERSION_BYTES, b"\0")
        self.arena.put(self._row_at(row) + _VERSION, text)

    def release(self, row: int) -> None:
        """The process is gone."""
        self.arena.put_u32(self._row_at(row) + _PID, 0)

    def beat(self, row: int, now: int) -> int:
        """Say that the row's process was alive at `now`."""
        at = self._row_at(row)
        self.arena.put_u64(at + _HEARTBEAT, now)
        return 0

    def row(self, row: int) -> ProcessRow:
        """Who holds a place."""
        at = self._row_at(row)
        return ProcessRow(
            row=row,
            pid=self.arena.u32(at + _PID),
            role=self._text(at + _ROLE, _ROLE_BYTES),
            started_at=self.arena.u64(at + _STARTED_AT),
            heartbeat=self.arena.u64(at + _HEARTBEAT),
            starts=self.arena.u32(at + _STARTS),
            version=self._text(at + _VERSION, _VERSION_BYTES),
        )

    def _text(self, at: int, length: int) -> str:
        return self.arena.copy(at, length).rstrip(b"\0").decode("utf-8", "replace")

    def live(self) -> list[ProcessRow]:
        """The rows that somebody holds."""
        return [row for row in map(self.row, range(self.rows)) if row.pid != 0]

    def counters(self, row: int) -> Counters:
        """A row's counters, for its own process."""
        self._row_at(row)
        return Counters(self.arena, self.matrix_at + (row + 1) * self.stride, self.counter_count)

    def total(self, counter: int) -> int:
        """The sum over all rows since the last reset."""
        if counter >= self.counter_count:
            raise ShmError(f"there is no counter {counter}")
        at = self.matrix_at + 8 * counter
        summed = 0
        for row in range(self.rows):
            word = self.arena.u64(at + (row + 1) * self.stride)
            summed += word
        summed = (summed - self.arena.u64(at)) & _WORD
        return summed if summed < 0x8000000000000000 else summed - 0x10000000000000000

    def totals(self, count: int | None = None) -> list[int]:
        """The sums of the first `count` counters, or of all."""
        return [self.total(counter) for counter in range(count or self.counter_count)]

    def reset(self, counter: int) -> None:
        """Count a total from zero again; rows keep theirs, the sum is subtracted from now on."""
        at = self.matrix_at + 8 * counter
        self.arena.add_u64(at, self.total(counter))

    def _row_at(self, row: int) -> int:
        if row >= self.rows:
            raise ShmError(f"there is no process row {row}")
        return _ROWS_AT + row * _ROW
