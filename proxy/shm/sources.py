"""Who sends how much: the sources that the flood guard has counted lately, and those it has banned.

Sets of four places, in which all processes count by compare-and-swap alone. A source that finds its
set taken displaces whoever is worth least: somebody of an earlier unit of time, then who has sent
least, and a banned source only when all four are banned, the one whose ban ends first. What is lost
by a death in between is a count.
"""

from __future__ import annotations

from proxy.errors import ShmError
from proxy.shm import layout
from proxy.shm.arena import Arena

KIND = b"sources"
LAYOUT = "sets of 4: source u64, unit u32 count u32, ban u48 ms and u16 of its source, u64 0"

GO_ON = 0
OVER = 1  # it has just sent one more than is allowed in a unit: decide whether to ban it
BANNED = 2
DISPLACED = 4  # added to the others: somebody who counted has been forgotten for it

_GO_ON = GO_ON
_OVER = OVER
_BANNED = BANNED
_DISPLACED = DISPLACED
_WAYS = 4
_PLACE = 32
_SET = _WAYS * _PLACE
_SETS_AT = layout.HEADER_BYTES
_COUNT = 8
_BAN = 16
_LOW = 0xFFFFFFFF
_TAG = 0xFFFF
_TRIES = 16
_SPREAD = 0x9E3779B97F4A7C15
_WORD = 0xFFFFFFFFFFFFFFFF
_BAN_WORTH = 1 << 32


class Sources:
    """The table. Times are monotonic milliseconds; `unit` is the length of one count, in ms."""

    def __init__(self, arena: Arena, sets: int, seed: int, unit: int, density: int) -> None:
        self.arena = arena
        self.sets = sets
        self.seed = seed
        self.unit = unit
        self.density = density

    @staticmethod
    def create(
        path: str | None, capacity: int, *, unit: int, density: int, seed: int = 0
    ) -> Sources:
        """Nobody yet; room for `capacity` sources or up to twice as many."""
        if capacity < 1 or unit < 1 or density < 1:
            raise ShmError("a table of sources needs room for one, a unit and a density")
        sets = 16
        while sets * _WAYS < capacity:
            sets *= 2
        size = _SETS_AT + sets * _SET
        arena = Arena.anonymous(size) if path is None else Arena.create(path, size)
        layout.write(arena, KIND, LAYOUT, (sets, unit, density), seed=seed)
        return Sources(arena, sets, seed, unit, density)

    @staticmethod
    def over(arena: Arena) -> Sources:
        """The table in a mapping that others use; nothing in it changes."""
        header = layout.read(arena, KIND, LAYOUT)
        sets, unit, density = header.geometry[:3]
        if _SETS_AT + sets * _SET != arena.size or unit < 1 or sets & (sets - 1):
            raise ShmError(f"{arena.path} has a header that contradicts itself")
        return Sources(arena, sets, header.seed, unit, density)

    def note(self, source: int, now_ms: int) -> int:
        """Count one datagram of `source`: GO_ON, OVER or BANNED, perhaps with DISPLACED."""
        first = self._set_of(source)
        at = first
        for _ in range(_WAYS):
            if self.arena.u64(at) == source:
                if self._is_banned(at, source, now_ms):
                    return _BANNED
                return _OVER if self._add(at, now_ms // self.unit) == self.density + 1 else _GO_ON
            at += _PLACE
        return self._enter(first, source, now_ms)

    def _enter(self, first: int, source: int, now_ms: int) -> int:
        unit = (now_ms // self.unit) & _LOW
        least = _WORD
        at = chosen = first
        for _ in range(_WAYS):
            worth = self._worth(at, unit, now_ms)
            if worth < least:
                least = worth
                chosen = at
            at += _PLACE
        old = self.arena.u64(chosen)
        self.arena.put_u64(chosen + _BAN, 0)
        self.arena.put_u64(chosen + _COUNT, 0)
        if self.arena.swap_u64(chosen, old, source):
            self._add(chosen, unit)
        return _GO_ON if least == 0 else _DISPLACED

    def _worth(self, at: int, unit: int, now_ms: int) -> int:
        """What would be lost with a place: 0 nothing, then its count, then the ban's end."""
        source = self.arena.u64(at)
        if source == 0:
            return 0
        if self._is_banned(at, source, now_ms):
            return _BAN_WORTH + (self.arena.u64(at + _BAN) >> 16)
        word = self.arena.u64(at + _COUNT)
        return word & _LOW if word >> 32 == unit else 0

    def _add(self, at: int, unit: int) -> int:
        """One more in this unit of time; how many there are, or 0 if others raced for it."""
        unit &= _LOW
        for _ in range(_TRIES):
            word = self.arena.u64(at + _COUNT)
            changed = word + 1 if word >> 32 == unit else unit << 32 | 1
            if self.arena.swap_u64(at + _COUNT, word, changed):
                return changed & _LOW
        return 0

    def _is_banned(self, at: int, source: int, now_ms: int) -> bool:
        ban = self.arena.u64(at + _BAN)
        return ban != 0 and ban & _TAG == self._tag(source) and now_ms < ban >> 16

    def _set_of(self, source: int) -> int:
        mixed = ((source ^ self.seed) * _SPREAD) & _WORD
        return _SETS_AT + ((mixed >> 32) & (self.sets - 1)) * _SET

    def _tag(self, source: int) -> int:
        """Which of the sources that have had this place a ban belongs to."""
        return ((((source ^ self.seed) * _SPREAD) & _WORD) >> 8) & _TAG

    def _place_of(self, source: int) -> int:
        at = self._set_of(source)
        for _ in range(_WAYS):
            if self.arena.u64(at) == source:
                return at
            at += _PLACE
        return 0

    def ban(self, source: int, until_ms: int) -> bool:
        """Ban a source that is counted; False when it has been displaced meanwhile."""
        at = self._place_of(source)
        if at:
            self.arena.put_u64(at + _BAN, until_ms << 16 | self._tag(source))
        return at != 0

    def lift(self, source: int, now_ms: int) -> bool:
        """End a ban and count anew; False when there is none."""
        at = self._place_of(source)
        if at == 0 or not self._is_banned(at, source, now_ms):
            return False
        self.arena.put_u64(at + _COUNT, 0)
        self.arena.put_u64(at + _BAN, 0)
        return True

    def banned(self, now_ms: int) -> list[tuple[int, int]]:
        """The banned sources, each with the ms until its ban ends."""
        found = []
        for at in range(_SETS_AT, _SETS_AT + self.sets * _SET, _PLACE):
            source = self.arena.u64(at)
            if source != 0 and self._is_banned(at, source, now_ms):
                found.append((source, (self.arena.u64(at + _BAN) >> 16) - now_ms))
        return found
