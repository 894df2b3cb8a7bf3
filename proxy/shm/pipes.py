"""Rate-limit pipes, counted by all processes together.

A count is one word of (u32 epoch, u32 count), changed by compare-and-swap alone: there is no lock
in a check, nothing to repair after a death, and a word of an epoch long past counts as nothing. Who
admits counts first and looks at the sum afterwards: of those that count at the same time the last
one sees them all, so that together they never admit too many; one too many takes its count back.
Only making and removing a pipe takes the robust lock.
"""

from __future__ import annotations

from proxy.errors import LockTimeout, ShmError
from proxy.limits import algorithms, bounds
from proxy.limits.rates import estimate, is_among
from proxy.shm import layout, pipe_layout
from proxy.shm.arena import Arena, fold
from proxy.shm.pipe_layout import Timing

REFUSED = 0
ADMITTED = 1
NO_ROOM = 2

_TAILDROP = algorithms.TAILDROP
_RED = algorithms.RED
_SBT = algorithms.SBT
_NETWORK = algorithms.NETWORK
_NAME_BYTES = bounds.PIPE_NAME_BYTES
_NODES = bounds.PIPE_NODES
_MAX_LIMIT = 0xFFFFFFFF
_LOW = 0xFFFFFFFF
_AHEAD = 1_024  # epochs that another process's clock may be ahead of ours
_TRIES = 10_000  # of a compare-and-swap: each failure is a success of somebody else
_STALE_MS = 5_000  # a sample of load or queues older than this says nothing
_USED_MS = 1_000  # how exactly the last use of a pipe is known
_REMOTE_TENTHS = 100  # how long another node's count counts without being told again
_RECLAIM = 64  # entries looked at for one that may be given up
_WAIT_NS = 500_000

_LOCK = pipe_layout.LOCK
_TAGS = pipe_layout.TAGS
_GONE = pipe_layout.GONE
_WAITING = pipe_layout.WAITING
_SAMPLED_AT = pipe_layout.SAMPLED_AT
_LIVE = pipe_layout.LIVE
_ROVER = pipe_layout.ROVER
_NAME_LENGTH = pipe_layout.NAME_LENGTH
_ALGORITHM = pipe_layout.ALGORITHM
_DROP_RATE = pipe_layout.DROP_RATE
_LIMIT = pipe_layout.LIMIT
_USED_AT = pipe_layout.USED_AT
_DECLARED = pipe_layout.DECLARED
_REMOTES = pipe_layout.REMOTES
_NAME = pipe_layout.NAME
_OFFERED = pipe_layout.OFFERED
_ADMITTED = pipe_layout.ADMITTED
_REMOTE = pipe_layout.REMOTE
_REMOTE_BYTES = pipe_layout.REMOTE_BYTES
_SLOTS = pipe_layout.SLOTS


class Pipes:
    """The pipes of one node. Times are monotonic milliseconds, the same clock in every process."""

    def __init__(self, arena: Arena, capacity: int, timing: Timing, seed: int) -> None:
        plan = pipe_layout.plan(capacity, timing)
        self.arena = arena
        self.timing = timing
        self.capacity = capacity
        self.tags = plan.tags
        self.entries_at = plan.entries_at
        self.stride = plan.stride
        self.seed = seed
        self._interval = timing.timer_interval
        self._slot_period = timing.slot_period
        self._slots = timing.slots
        self._ring = timing.ring
        self._per_interval = timing.limit_per_interval
        self._window = max(2 * timing.timer_interval, timing.window_size + timing.slot_period)
        arena.lock_wait_ns = _WAIT_NS

    @staticmethod
    def create(path: str | None, capacity: int, timing: Timing, *, seed: int = 0) -> Pipes:
        """No pipes yet; without a path they live in the family only."""
        plan = pipe_layout.plan(capacity, timing)
        arena = Arena.anonymous(plan.size) if path is None else Arena.create(path, plan.size)
        arena.make_lock(_LOCK)
        words = (capacity, *map(int, timing))
        layout.write(arena, pipe_layout.KIND, pipe_layout.LAYOUT, words, seed=seed)
        return Pipes(arena, capacity, timing, seed)

    @staticmethod
    def attach(path: str) -> Pipes:
        """The pipes of an existing file, as its owner: the lock is made anew."""
        pipes = Pipes.over(Arena.own(path))
        pipes.arena.make_lock(_LOCK)
        pipes._repair()
        return pipes

    @staticmethod
    def over(arena: Arena) -> Pipes:
        """The pipes in a mapping that others use; nothing in it changes."""
        header = layout.read(arena, pipe_layout.KIND, pipe_layout.LAYOUT)
        words = header.geometry
        timing = Timing(words[1], words[2], words[3], bool(words[4]), words[5])
        if pipe_layout.plan(words[0], timing).size != arena.size:
            raise ShmError(f"{arena.path} has a header that contradicts itself")
        return Pipes(arena, words[0], timing, header.seed)

    # -- deciding -----------------------------------------------------------------------------

    def check(self, name: bytes, limit: int, algorithm: int, now_ms: int) -> int:
        """ADMITTED, REFUSED, or NO_ROOM: there is no such pipe and no room for one more."""
        at = self.find(name)
        if at == 0:
            at = self.make(name, limit, algorithm, now_ms)
            if at == 0:
                return NO_ROOM
        self._touch(at, limit, algorithm, now_ms)
        if algorithm == _SBT:
            return self._check_window(at, self._left(at, limit, now_ms), now_ms)
        if algorithm == _TAILDROP:
            return self._check_interval(at, self._left(at, self.budget(limit), now_ms), now_ms)
        if algorithm == _RED:
            return self._check_evenly(at, self._left(at, self.budget(limit), now_ms), now_ms)
        if self._is_known(now_ms):
            if algorithm == _NETWORK:
                if self.arena.u64(_WAITING) > limit:
                    return REFUSED
            elif self._is_dropped(at, now_ms):
                return REFUSED
        self._count(at + _ADMITTED, now_ms // self._interval)
        return ADMITTED

    def budget(self, limit: int) -> int:
        """What `limit` allows in one interval: it is per second unless limit_per_interval."""
        most = limit if self._per_interval else limit * self._interval // 1_000
        return most if most < _MAX_LIMIT else _MAX_LIMIT

    def _check_window(self, at: int, most: int, now_ms: int) -> int:
        epoch = (now_ms // self._slot_period) & _LOW
        oldest = (epoch - self._slots + 1) & _LOW
        span = self._slots - 1 + _AHEAD
        slots = at + _SLOTS
        if self.arena.sum_fresh(slots, self._ring, oldest, span) >= most:
            return REFUSED
        own = slots + 8 * (epoch % self._ring)
        self._add(own, epoch)
        if self.arena.sum_fresh(slots, self._ring, oldest, span) > most:
            self._take_back(own, epoch)
            return REFUSED
        return ADMITTED

    def _check_interval(self, at: int, most: int, now_ms: int) -> int:
        epoch = now_ms // self._interval
        if self._recent(at + _ADMITTED, now_ms) >= most:
            return REFUSED
        self._count(at + _ADMITTED, epoch)
        if self._recent(at + _ADMITTED, now_ms) > most:
            self._take_back(at + _ADMITTED + 8 * (epoch & 1), epoch & _LOW)
            return REFUSED
        return ADMITTED

    def _check_evenly(self, at: int, most: int, now_ms: int) -> int:
        number = self._count(at + _OFFERED, now_ms // self._interval)
        offered = self._recent(at + _OFFERED, now_ms)
        if offered > most and not is_among(number, most, offered):
            return REFUSED
        return self._check_interval(at, most, now_ms)

    def _is_dropped(self, at: int, now_ms: int) -> bool:
        number = self._count(at + _OFFERED, now_ms // self._interval)
        return is_among(number, self.arena.u32(at + _DROP_RATE), 10_000)

    def _is_known(self, now_ms: int) -> bool:
        sampled_at = self.arena.u64(_SAMPLED_AT)
        return sampled_at != 0 and now_ms < sampled_at + _STALE_MS

    def recent(self, at: int, algorithm: int, now_ms: int) -> int:
        """What this node has admitted of late through the pipe at `at`: an absolute value."""
        if algorithm == _SBT:
            oldest = (now_ms // self._slot_period - self._slots + 1) & _LOW
            span = self._slots - 1 + _AHEAD
            return self.arena.sum_fresh(at + _SLOTS, self._ring, oldest, span)
        return self._recent(at + _ADMITTED, now_ms)

    def _left(self, at: int, most: int, now_ms: int) -> int:
        """What the other nodes leave us of `most`."""
        remotes = self.arena.u32(at + _REMOTES)
        if remotes == 0:
            return most
        taken = self.remote(at, now_ms)
        return most - taken if taken < most else 0

    def remote(self, at: int, now_ms: int) -> int:
        """The sum of the other nodes' counts that are fresh."""
        oldest = (now_ms // 100 - _REMOTE_TENTHS) & _LOW
        total = 0
        for place in range(_NODES):
            word = self.arena.u64(at + _REMOTE + place * _REMOTE_BYTES + 16)
            if word != 0 and ((word >> 32) - oldest) & _LOW <= _REMOTE_TENTHS + _AHEAD:
                total += word & _LOW
        return total

    # -- counting -----------------------------------------------------------------------------

    def _count(self, pair: int, epoch: int) -> int:
        """One more in this interval; how many there are in it."""
        return self._add(pair + 8 * (epoch & 1), epoch & _LOW)

    def _recent(self, pair: int, now_ms: int) -> int:
        """How many there were within one interval from now."""
        epoch = now_ms // self._interval
        current = self._read(pair + 8 * (epoch & 1), epoch & _LOW)
        previous = self._read(pair + 8 * ((epoch - 1) & 1), (epoch - 1) & _LOW)
        return estimate(previous, current, now_ms % self._interval, self._interval)

    def _read(self, at: int, epoch: int) -> int:
        word = self.arena.u64(at)
        return word & _LOW if ((word >> 32) - epoch) & _LOW <= _AHEAD else 0

    def _add(self, at: int, epoch: int) -> int:
        for _ in range(_TRIES):
            word = self.arena.u64(at)
            current = ((word >> 32) - epoch) & _LOW <= _AHEAD
            changed = word + 1 if current else (epoch << 32) | 1
            if self.arena.swap_u64(at, word, changed):
                return changed & _LOW
        raise LockTimeout(f"{self.arena.path}: a counter was changed by others all the time")

    def _take_back(self, at: int, epoch: int) -> int:
        for _ in range(_TRIES):
            word = self.arena.u64(at)
            if word & _LOW == 0 or ((word >> 32) - epoch) & _LOW > _AHEAD:
                return 0
            if self.arena.swap_u64(at, word, word - 1):
                return 0
        return 0  # it leaves with its slot

    def _touch(self, at: int, limit: int, algorithm: int, now_ms: int) -> int:
        """Keep what the pipe was last asked for, and when; written only when it has changed."""
        if self.arena.u64(at + _USED_AT) + _USED_MS <= now_ms:
            self.arena.put_u64(at + _USED_AT, now_ms)
        if self.arena.u64(at + _LIMIT) != limit:
            self.arena.put_u64(at + _LIMIT, limit)
        if self.arena.u32(at + _ALGORITHM) != algorithm:
            self.arena.put_u32(at + _ALGORITHM, algorithm)
        return 0

    # -- which pipes there are ----------------------------------------------------------------

    def find(self, name: bytes) -> int:
        """Where a pipe's entry is, or 0. Takes no lock."""
        if len(name) > _NAME_BYTES:
            name = self._shortened(name)
        tag = self._tag(name)
        return 0 if tag < 0 else self._entry((self.arena.u64(_TAGS + 8 * tag) & _LOW) - 1)

    def _tag(self, name: bytes) -> int:
        hashed = fold(name, self.seed)
        mask = self.tags - 1
        index = (hashed >> 32) & mask
        hashed &= _LOW
        for _ in range(self.tags):
            word = self.arena.u64(_TAGS + 8 * index)
            if word == 0:
                return -1
            if word >> 32 == hashed and 0 < word & _LOW <= self.capacity:
                at = self._entry((word & _LOW) - 1)
                if self.arena.u32(at + _NAME_LENGTH) == len(name) and self.arena.equals(
                    at + _NAME, name
                ):
                    return index
            index = (index + 1) & mask
        return -1

    def _entry(self, number: int) -> int:
        return self.entries_at + number * self.stride

    def _shortened(self, name: bytes) -> bytes:
        # without the table's seed: other nodes know the pipe by this name
        return name[: _NAME_BYTES - 17] + b"~%016x" % fold(name, 0)

    def make(self, name: bytes, limit: int, algorithm: int, now_ms: int) -> int:
        """Where the pipe's entry is, made now if need be; 0 when there is no room for it."""
        if len(name) > _NAME_BYTES:
            name = self._shortened(name)
        if not self._lock():
            return 0
        try:
            at = self.find(name)
            if at == 0:
                number = self._free_entry(now_ms)
                if number >= 0:
                    at = self._fill(number, name, limit, algorithm, now_ms)
            return at
        finally:
            self.arena.unlock(_LOCK)

    def _fill(self, number: int, name: bytes, limit: int, algorithm: int, now_ms: int) -> int:
        at = self._entry(number)
        self.arena.zero(at, self.stride)
        self.arena.put_u32(at + _NAME_LENGTH, len(name))
        self.arena.put(at + _NAME, name)
        self.arena.put_u64(at + _LIMIT, limit)
        self.arena.put_u32(at + _ALGORITHM, algorithm)
        self.arena.put_u64(at + _USED_AT, now_ms)
        self.arena.put_u32(at, 1)
        hashed = fold(name, self.seed)
        index = (hashed >> 32) & (self.tags - 1)
        while True:
            word = self.arena.u64(_TAGS + 8 * index)
            if word == 0 or word & _LOW == _GONE:
                break
            index = (index + 1) & (self.tags - 1)
        tag = (hashed & _LOW) << 32 | (number + 1)
        self.arena.put_u64(_TAGS + 8 * index, tag)  # here the pipe begins to exist
        self.arena.put_u32(_LIVE, self.arena.u32(_LIVE) + 1)
        return at

    def _free_entry(self, now_ms: int) -> int:
        """A free entry, if need be that of a pipe whose counts are past; -1 if there is none."""
        rover = self.arena.u32(_ROVER)
        number = -1
        if self.arena.u32(_LIVE) >= self.capacity:
            for step in range(min(_RECLAIM, self.capacity)):
                tried = (rover + step) % self.capacity
                if self._is_idle(self._entry(tried), now_ms, self._window):
                    self._remove(tried)
                    number = tried
                    break
            else:
                self.arena.put_u32(_ROVER, (rover + _RECLAIM) % self.capacity)
                return -1
        else:
            for step in range(self.capacity):
                tried = (rover + step) % self.capacity
                if self.arena.u32(self._entry(tried)) == 0:
                    number = tried
                    break
        if number >= 0:
            self.arena.put_u32(_ROVER, (number + 1) % self.capacity)
        return number

    def _is_idle(self, at: int, now_ms: int, longer: int) -> bool:
        if self.arena.u32(at) == 0 or self.arena.u32(at + _DECLARED) != 0:
            return False
        return self.arena.u64(at + _USED_AT) + _USED_MS + longer <= now_ms

    def _remove(self, number: int) -> int:
        """Under the lock: forget a pipe."""
        at = self._entry(number)
        length = self.arena.u32(at + _NAME_LENGTH)
        name = self.arena.copy(at + _NAME, min(length, _NAME_BYTES))
        index = self._tag(name)
        mask = self.tags - 1
        if index >= 0:
            self.arena.put_u64(_TAGS + 8 * index, _GONE)
            while (  # a search ends at a tag that was never used: let it end early
                self.arena.u64(_TAGS + 8 * index) & _LOW == _GONE
                and self.arena.u64(_TAGS + 8 * ((index + 1) & mask)) == 0
            ):
                self.arena.put_u64(_TAGS + 8 * index, 0)
                index = (index - 1) & mask
            self.arena.put_u32(_LIVE, self.arena.u32(_LIVE) - 1)
        self.arena.put_u32(at, 0)
        return 0

    def expire(self, now_ms: int) -> int:
        """Forget the pipes that were not used for expire_time; how many. The timekeeper's."""
        removed = 0
        if not self._lock():  # or repaired, if its last holder has died
            return 0
        self.arena.unlock(_LOCK)
        longer = max(self.timing.expire_time, self._window)
        for number in range(self.capacity):
            if self._is_idle(self._entry(number), now_ms, longer) and self._lock():
                try:
                    if self._is_idle(self._entry(number), now_ms, longer):
                        self._remove(number)
                        removed += 1
                finally:
                    self.arena.unlock(_LOCK)
        return removed

    def _lock(self) -> bool:
        try:
            if self.arena.lock(_LOCK):
                self._repair()
                self.arena.adopt(_LOCK)
        except LockTimeout:
            return False
        return True

    def _repair(self) -> int:
        """Tags say what exists: make entries and the count agree with them."""
        live = 0
        for number in range(self.capacity):
            self.arena.put_u32(self._entry(number), 0)
        for index in range(self.tags):
            number = self.arena.u64(_TAGS + 8 * index) & _LOW
            if 0 < number <= self.capacity:
                self.arena.put_u32(self._entry(number - 1), 1)
                live += 1
        self.arena.put_u32(_LIVE, live)
        self.arena.add_u64(pipe_layout.REPAIRS, 1)
        return 0

    def entries(self) -> list[int]:
        """Where the entries of all pipes are."""
        found = []
        for index in range(self.tags):
            number = self.arena.u64(_TAGS + 8 * index) & _LOW
            if 0 < number <= self.capacity:
                found.append(self._entry(number - 1))
        return found

    def busy(self, now_ms: int) -> list[int]:
        """Where the entries are that may have let something pass of late."""
        found = []
        for number in range(self.capacity):
            at = self._entry(number)
            used_at = self.arena.u64(at + _USED_AT)
            if self.arena.u32(at) and used_at + _USED_MS + self._window > now_ms:
                found.append(at)
        return found

    @property
    def count(self) -> int:
        """How many pipes there are."""
        return self.arena.u32(_LIVE)
