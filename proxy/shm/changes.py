"""The change ring (R10): which record of which table was committed, in shared memory.

Writers append a note inside the commit, without a lock and without waiting for readers. Each reader
has a cursor of its own, fetches the records that notes name, and finds out when notes were lost:
then it compares everything. A note names a key and never a value.

A writer claims units of the ring, fills them and publishes the first. What was claimed and not
published within a reader's patience is marked as skipped; its writer, if it lives, then finds that
publishing fails and appends anew. If it died, it held its stripe, and who takes over the stripe's
lock notes the whole stripe. So no commit goes without a note that every reader will come across.
"""

from __future__ import annotations

from proxy.errors import ShmError
from proxy.shm import layout
from proxy.shm.arena import Arena, fold

_LOW = 0xFFFFFFFF  # a literal as large would be a Python number when compiled
KIND = b"changes"
LAYOUT = (
    "head | lost | readers: sleeping done | units of 64: "
    "u64 position << 2 + state, u32 check, u16 table, u16 key length, 48 of the key, or "
    "u64 position << 2 + state, 56 of the key"
)
WHOLE_STRIPE = 0xFFFF  # in place of a key's length: the key is the number of a stripe
LONGEST_KEY = 1_000
READERS = 4
# What a reader finds at a position.
WAITING = 0  # nothing yet
READ = 1  # a key
STRIPE = 2  # the number of a stripe: any of its records may have changed
PASSED = 3  # nothing to know
OVERRUN = 4  # what stood here has been overwritten

_HEAD_AT = layout.HEADER_BYTES
_LOST_AT = _HEAD_AT + layout.LINE
_READERS_AT = _LOST_AT + layout.LINE
_DONE = 8
_READERS = READERS
_LINE = layout.LINE
_UNITS_AT = 2 * layout.HEADER_BYTES
_UNIT = 64
_CHECK = 8
_TABLE = 12
_LENGTH = 14
_KEY = 16
_FIRST = 48
_MORE = 56
_PUBLISHED = 1
_CONTINUED = 2
_SKIPPED = 3
_WHOLE_STRIPE = WHOLE_STRIPE
_LONGEST_KEY = LONGEST_KEY
_WAITING = WAITING
_READ = READ
_STRIPE = STRIPE
_PASSED = PASSED
_OVERRUN = OVERRUN
_ATTEMPTS = 8
_STATES = 2  # bits


class ChangeRing:
    """Notes at positions that count units and never wrap, taken modulo the ring's length."""

    def __init__(self, arena: Arena) -> None:
        self.arena = arena
        self.table = 0  # what read() has found
        self.key = b""
        self.following = 0
        self._seen = 0  # the head when it was last looked at: the line that all writers write to
        self.units = (arena.size - _UNITS_AT) // _UNIT

    @staticmethod
    def create(path: str | None = None, units: int = 65_536) -> ChangeRing:
        """An empty ring of `units`, a power of two; without a path it lives in the family."""
        if units < 64 or units & (units - 1):
            raise ShmError(f"a change ring of {units} units is not possible: a power of two >= 64")
        total = _UNITS_AT + units * _UNIT
        arena = Arena.anonymous(total) if path is None else Arena.create(path, total)
        arena.put_u64(_HEAD_AT, units)  # so that a unit never written to is behind every position
        layout.write(arena, KIND, LAYOUT, (units,))
        return ChangeRing(arena)

    @staticmethod
    def over(arena: Arena) -> ChangeRing:
        """The ring in a mapping that others use; nothing in it changes."""
        header = layout.read(arena, KIND, LAYOUT)
        if _UNITS_AT + header.geometry[0] * _UNIT != arena.size:
            raise ShmError(f"{arena.path} has a header that contradicts itself")
        return ChangeRing(arena)

    # -- writers ---------------------------------------------------------------------------------

    def note(self, table: int, key: bytes) -> int:
        """Tell readers that the record of `key` has changed; the position behind the note."""
        return self._append(table, len(key), key)

    def note_stripe(self, table: int, stripe: int) -> int:
        """Tell readers that any record of a stripe may have changed."""
        return self._append(table, _WHOLE_STRIPE, stripe.to_bytes(4, "little"))

    def _append(self, table: int, length: int, key: bytes) -> int:
        size = len(key)
        if size > _LONGEST_KEY:
            return self._lose()
        units = units_of(key)
        for _attempt in range(_ATTEMPTS):
            position = self.arena.claim_u64(_HEAD_AT, units)
            at = self._at(position)
            held = self.arena.u64(at)
            self.arena.put_u32(at + _CHECK, self._check(position, table, length, key))
            self.arena.put_u16(at + _TABLE, table)
            self.arena.put_u16(at + _LENGTH, length)
            if units == 1:
                self.arena.put(at + _KEY, key)
            else:
                self._put_long(position, key)
            if held != (position << _STATES | _SKIPPED) and self.arena.swap_u64(
                at, held, position << _STATES | _PUBLISHED
            ):  # here the note begins to exist
                return position + units
        return self._lose()

    def _put_long(self, position: int, key: bytes) -> int:
        self.arena.put(self._at(position) + _KEY, key[:_FIRST])
        done = _FIRST
        while done < len(key):
            position += 1
            at = self._at(position)
            self.arena.put(at + 8, key[done : done + _MORE])
            self.arena.put_u64(at, position << _STATES | _CONTINUED)
            done += _MORE
        return 0

    def _lose(self) -> int:
        """A change that cannot be noted makes every reader compare everything."""
        self.arena.add_u64(_LOST_AT, 1)
        return self.arena.claim_u64(_HEAD_AT, 1) + 1

    # -- readers ---------------------------------------------------------------------------------

    @property
    def head(self) -> int:
        """Where the next note will begin: a reader that wants only what comes starts here."""
        return self.arena.u64(_HEAD_AT)

    @property
    def lost(self) -> int:
        """How many changes could not be noted."""
        return self.arena.u64(_LOST_AT)

    def read(self, position: int) -> int:
        """What stands at `position`: READ and STRIPE leave `table`, `key` and `following`.

        The key of a STRIPE is its number. PASSED leaves the next position in `following`.
        """
        if position >= self._seen:
            self._seen = self.arena.u64(_HEAD_AT)
            if position >= self._seen:
                return _WAITING
        at = self._at(position)
        word = self.arena.u64(at)
        if word >> _STATES != position:
            return _OVERRUN if word >> _STATES > position else _WAITING
        self.following = position + 1
        if word & 3 != _PUBLISHED:
            return _PASSED
        table = self.arena.u16(at + _TABLE)
        length = self.arena.u16(at + _LENGTH)
        size = 4 if length == _WHOLE_STRIPE else length
        if size > _LONGEST_KEY:
            return _OVERRUN
        key = self._key(position, size)
        if self.arena.u32(at + _CHECK) != self._check(position, table, length, key):
            return _OVERRUN
        self.following = position + units_of(key)
        self.table = table
        self.key = key
        return _STRIPE if length == _WHOLE_STRIPE else _READ

    def skip(self, position: int) -> bool:
        """Give up what was claimed at `position` and not published; its writer will append anew."""
        at = self._at(position)
        held = self.arena.u64(at)
        if held >> _STATES >= position:
            return False
        return self.arena.swap_u64(at, held, position << _STATES | _SKIPPED)

    def _key(self, position: int, size: int) -> bytes:
        key = self.arena.copy(self._at(position) + _KEY, min(size, _FIRST))
        done = _FIRST
        while done < size:
            position += 1
            key += self.arena.copy(self._at(position) + 8, min(size - done, _MORE))
            done += _MORE
        return key

    def _at(self, position: int) -> int:
        return _UNITS_AT + (position & (self.units - 1)) * _UNIT

    def _check(self, position: int, table: int, length: int, key: bytes) -> int:
        return fold(key, position << 32 | table << 16 | length) & _LOW

    # -- who is told -----------------------------------------------------------------------------

    def announce_sleep(self, reader: int, cursor: int) -> bool:
        """Ask writers for a wake-up; False when there is something to read instead."""
        at = self._reader_at(reader)
        self.arena.put_u32(at, 1)
        self.arena.fence()
        if self.arena.u64(_HEAD_AT) == cursor:
            return True
        self.arena.put_u32(at, 0)
        return False

    def awake(self, reader: int) -> int:
        """No more wake-ups, please."""
        self.arena.put_u32(self._reader_at(reader), 0)
        return 0

    def sleeps(self, reader: int) -> bool:
        """Whether a reader has asked to be woken; asked by writers after their notes."""
        self.arena.fence()
        return self.arena.u32(self._reader_at(reader)) != 0

    def set_done(self, reader: int, position: int) -> int:
        """A reader says that everything before `position` is done with: durable, or sent."""
        self.arena.put_u64(self._reader_at(reader) + _DONE, position)
        return 0

    def done(self, reader: int) -> int:
        """How far a reader has come."""
        return self.arena.u64(self._reader_at(reader) + _DONE)

    def _reader_at(self, reader: int) -> int:
        if reader >= _READERS:
            raise ShmError(f"there is no reader {reader} of the change ring")
        return _READERS_AT + reader * _LINE


def units_of(key: bytes) -> int:
    """How many units the note of a key takes."""
    size = len(key)
    return 1 if size <= _FIRST else 1 + (size - _FIRST + _MORE - 1) // _MORE
