"""What each nonce has been used for: the request counts `nc` that were seen (RFC 7616 §3.4).

A fixed number of sets, each with a robust lock and ten places. A nonce has its place in one set;
when the set is full, the oldest nonce loses its place. Because nobody could tell any more what it
has been used for, the set then remembers the time of the youngest nonce that lost a place: what
is as old as that and unknown is answered as if it had expired, and the phone gets a new nonce.

Any process may die between any two stores. The order of the stores is such that a nonce then has
been used more often, never less often, than it was.
"""

from __future__ import annotations

from typing import NamedTuple

from proxy.errors import ShmError
from proxy.shm import layout
from proxy.shm.arena import Arena

KIND = b"nonces"
LAYOUT = "set 512: lock forgotten_ms evicted; 10 places 40: serial issued_ms nc used_s window twin"
PLACES = 10
ACCEPTED = 0
REPLAYED = 1
FORGOTTEN = 2
EVICTING = 3  # accepted, and another nonce of its set has lost its place
REPEAT_SECONDS = 32  # RFC 3261 §17: no request is retransmitted for longer than 64*T1

_SETS_AT = layout.HEADER_BYTES
_SET = 512
_FORGOTTEN = layout.BESIDE_LOCK
_EVICTED = layout.BESIDE_LOCK + 8
_PLACES_AT = layout.LINE
_PLACE = 40
_PLACES = PLACES
# A place.
_ISSUED = 8
_NC = 16
_USED = 20
_WINDOW = 24  # bit n: nc - 1 - n was seen
_TWIN = 32  # hash of the whole request that brought `nc`
_BORN_AT = layout.OWN_WORDS  # the header's own word
_ALL = 0xFFFFFFFFFFFFFFFF
_TOP = 0xFFFFFFFF
_ONE = 1
_REPEAT = REPEAT_SECONDS
_ACCEPTED = ACCEPTED
_REPLAYED = REPLAYED
_FORGOTTEN_NONCE = FORGOTTEN
_EVICTING = EVICTING


class Uses(NamedTuple):
    """What one nonce has been used for, as another node may be told."""

    serial: int
    issued_ms: int
    nc: int
    window: int


class NonceTable:
    """The places of all nonces in use."""

    def __init__(self, arena: Arena, sets: int, lifetime_ms: int) -> None:
        self.arena = arena
        self.set_mask = sets - 1
        self.lifetime_ms = lifetime_ms
        self.born_ms = arena.u64(_BORN_AT)
        arena.lock_wait_ns = 2_000_000

    @staticmethod
    def create(path: str | None, nonces: int, lifetime_ms: int, now_ms: int) -> NonceTable:
        """Empty places for `nonces` or more; every nonce made before `now_ms` counts as used."""
        sets = 1
        while sets * PLACES < nonces:
            sets *= 2
        size = _SETS_AT + sets * _SET
        arena = Arena.anonymous(size) if path is None else Arena.create(path, size)
        arena.put_u64(_BORN_AT, now_ms)
        for index in range(sets):
            arena.make_lock(_SETS_AT + index * _SET)
        layout.write(arena, KIND, LAYOUT, (sets, lifetime_ms), created_at=now_ms // 1000)
        return NonceTable(arena, sets, lifetime_ms)

    @staticmethod
    def attach(path: str) -> NonceTable:
        """The places of an existing file, as its owner: the locks are made anew."""
        table = NonceTable.over(Arena.own(path))
        for index in range(table.set_mask + 1):
            table.arena.make_lock(_SETS_AT + index * _SET)
        return table

    @staticmethod
    def over(arena: Arena) -> NonceTable:
        """The places in a mapping that others use; nothing in it changes."""
        header = layout.read(arena, KIND, LAYOUT)
        sets = header.geometry[0]
        if sets < 1 or sets & (sets - 1) or _SETS_AT + sets * _SET != arena.size:
            raise ShmError(f"{arena.path} has a header that contradicts itself")
        return NonceTable(arena, sets, header.geometry[1])

    def use(self, serial: int, issued_ms: int, nc: int, twin: int, now_s: int) -> int:
        """Note one use of a nonce: ACCEPTED or EVICTING, or why it may not be.

        The same request again (`twin` says so) within the time of retransmissions is accepted.
        """
        if issued_ms < self.born_ms:
            return _FORGOTTEN_NONCE
        set_at = self._set_at(serial)
        self._acquire(set_at)
        try:
            return self._use(set_at, serial, issued_ms, nc, twin, now_s)
        finally:
            self.arena.unlock(set_at)

    def uses(self, serial: int) -> Uses | None:
        """What a nonce has been used for; None when it has no place."""
        set_at = self._set_at(serial)
        self._acquire(set_at)
        try:
            at = self._find(set_at, serial)
            if at == 0:
                return None
            issued_ms, window = self.arena.u64(at + _ISSUED), self.arena.u64(at + _WINDOW)
            return Uses(serial, issued_ms, self.arena.u32(at + _NC), window)
        finally:
            self.arena.unlock(set_at)

    @property
    def capacity(self) -> int:
        """How many nonces have a place at most."""
        return (self.set_mask + 1) * PLACES

    @property
    def count(self) -> int:
        """How many places are taken, by nonces that may have expired."""
        taken = 0
        for index in range(self.set_mask + 1):
            first = _SETS_AT + index * _SET + _PLACES_AT
            places = range(first, first + PLACES * _PLACE, _PLACE)
            taken += sum(self.arena.u64(at) != 0 for at in places)
        return taken

    @property
    def evicted(self) -> int:
        """How many nonces have lost their place."""
        ends = range(_SETS_AT, _SETS_AT + (self.set_mask + 1) * _SET, _SET)
        return sum(self.arena.u64(at + _EVICTED) for at in ends)

    def close(self) -> None:
        """Unmap."""
        self.arena.close()

    # -- inside, the set's lock held ---------------------------------------------------------------

    def _set_at(self, serial: int) -> int:
        return _SETS_AT + (serial & self.set_mask) * _SET

    def _acquire(self, set_at: int) -> int:
        if self.arena.lock(set_at):
            self.arena.adopt(set_at)  # its holder left a nonce used too often, never too little
        return 0

    def _find(self, set_at: int, serial: int) -> int:
        at = set_at + _PLACES_AT
        for _ in range(_PLACES):
            if self.arena.u64(at) == serial:
                return at
            at += _PLACE
        return 0

    def _use(self, set_at: int, serial: int, issued_ms: int, nc: int, twin: int, now_s: int) -> int:
        at = self._find(set_at, serial)
        if at == 0:
            return self._first_use(set_at, serial, issued_ms, nc, twin, now_s)
        last = self.arena.u32(at + _NC)
        if nc > last:
            self._advance(at, last, nc)
        elif nc == last:
            same = self.arena.u64(at + _TWIN) == twin
            in_time = now_s <= self.arena.u32(at + _USED) + _REPEAT
            return _ACCEPTED if same and in_time else _REPLAYED
        else:
            behind = last - nc - 1
            window = self.arena.u64(at + _WINDOW)
            if behind > 63 or (window >> behind) & 1:
                return _REPLAYED
            self.arena.put_u64(at + _WINDOW, window | _ONE << behind)
            return _ACCEPTED
        self.arena.put_u32(at + _USED, now_s & _TOP)
        self.arena.put_u64(at + _TWIN, twin)
        return _ACCEPTED

    def _advance(self, at: int, last: int, nc: int) -> int:
        """Make `nc` the highest; whoever dies in between leaves everything below it as seen."""
        ahead = nc - last
        window = self.arena.u64(at + _WINDOW)
        shifted = (window << ahead) & _ALL if ahead < 64 else 0
        if ahead <= 64:
            shifted |= _ONE << (ahead - 1)
        self.arena.put_u64(at + _TWIN, 0)
        self.arena.put_u64(at + _WINDOW, _ALL)
        self.arena.put_u32(at + _NC, nc)
        self.arena.put_u64(at + _WINDOW, shifted)
        return 0

    def _first_use(
        self, set_at: int, serial: int, issued_ms: int, nc: int, twin: int, now_s: int
    ) -> int:
        if issued_ms <= self.arena.u64(set_at + _FORGOTTEN):
            return _FORGOTTEN_NONCE
        at = self._oldest(set_at)
        evicting = self.arena.u64(at) != 0
        if evicting:
            issued = self.arena.u64(at + _ISSUED)
            if issued >= issued_ms:  # it would itself be the one to lose its place
                return _FORGOTTEN_NONCE
            if issued > self.arena.u64(set_at + _FORGOTTEN):
                self.arena.put_u64(set_at + _FORGOTTEN, issued)
            self.arena.put_u64(at, 0)  # here the old one loses its place
            evicting = issued + self.lifetime_ms > now_s * 1000  # else nobody misses it
            if evicting:
                self.arena.put_u64(set_at + _EVICTED, self.arena.u64(set_at + _EVICTED) + 1)
        self.arena.put_u64(at + _ISSUED, issued_ms)
        self.arena.put_u32(at + _NC, nc)
        self.arena.put_u32(at + _USED, now_s & _TOP)
        self.arena.put_u64(at + _WINDOW, 0)
        self.arena.put_u64(at + _TWIN, twin)
        self.arena.put_u64(at, serial)  # here the new one has been used
        return _EVICTING if evicting else _ACCEPTED

    def _oldest(self, set_at: int) -> int:
        """A free place, else that of the nonce that was issued first."""
        found = at = set_at + _PLACES_AT
        for _ in range(_PLACES):
            if self.arena.u64(at) == 0:
                return at
            if self.arena.u64(at + _ISSUED) < self.arena.u64(found + _ISSUED):
                found = at
            at += _PLACE
        return found
