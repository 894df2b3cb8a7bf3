"""Slots of about thirty sizes, cut from 64 KiB pages, with O(1) free lists.

A slot's state word is the truth: FREE means that it belongs on the free list of its page, anything
else that it does not. So a list whose lock was held by a process that died is rebuilt from states,
and nothing leaks or is given out twice. A claimed slot carries its record's hash, hence its stripe.

The last free slot of a list is kept for a record that replaces one of its size, so that what is
there can be changed when nothing new fits. And a page that has become empty goes back to nobody
when there is no other, so that it may serve another size.
"""

from __future__ import annotations

from proxy.errors import ShmError, TableFull
from proxy.shm import layout
from proxy.shm.arena import BUSY, LOCKED, OWNER_DIED, Arena

_LOW = 0xFFFFFFFF  # a literal as large would be a Python number when compiled
_NEXT = layout.NEXT
_STATE = layout.STATE
_HASH = layout.HASH
_GENERATION = layout.GENERATION
_FREE = layout.FREE
_CLAIMED = layout.CLAIMED
_LISTS = layout.LISTS
_PAGE = layout.PAGE_BYTES
_LINE = layout.LINE
_BESIDE = layout.BESIDE_LOCK
_CLASSES = len(layout.SLOT_SIZES)
_MAX_UNITS = _PAGE >> 5
_GIVE_TRIES = 200
_IS_BUSY = 2  # no slot begins there
_WAIT = 1
_GROW = 2
_LAST = 4  # even the last slot of a list
_LOCKED = LOCKED
_OWNER_DIED = OWNER_DIED
_BUSY = BUSY


def page_entry(size_class: int, free_list: int) -> int:
    """The word that gives a page to a class and a list, with its own check byte."""
    check = (0xA5 ^ (size_class + 1) ^ free_list) & 0xFF
    return 0x5A000000 | check << 16 | free_list << 8 | (size_class + 1)


class Slabs:
    """The pages of one table, their owners, and the free lists."""

    def __init__(
        self, arena: Arena, lists_at: int, table_at: int, pages_at: int, page_count: int
    ) -> None:
        self.arena = arena
        self.lists_at = lists_at
        self.table_at = table_at
        self.pages_at = pages_at
        self.page_count = page_count
        self.hint_at = layout.OWN_WORDS
        self.first_generation_at = layout.OWN_WORDS + 4
        self.repairs_at = layout.OWN_WORDS + 16
        self.by_units = bytes(
            sum(size < units << 5 for size in layout.SLOT_SIZES) for units in range(_MAX_UNITS + 1)
        )

    def page_class(self, page: int) -> int:
        """The size class that owns a page, or -1."""
        entry = self.arena.u32(self.table_at + 4 * page)
        size_class = (entry & 0xFF) - 1
        free_list = entry >> 8 & 0xFF
        if size_class < 0 or size_class >= _CLASSES or free_list >= _LISTS:
            return -1
        return size_class if entry == page_entry(size_class, free_list) else -1

    def size_of(self, size_class: int) -> int:
        """The bytes of a class's slots, layout.SLOT_SIZES without a look-up."""
        size = 5 + ((size_class - 1) & 3)
        return size << (5 + ((size_class - 1) >> 2))

    def slot_size(self, at: int) -> int:
        """The size of the slot that begins at `at`; 0 when none begins there."""
        if at < self.pages_at:
            return 0
        page = (at - self.pages_at) // _PAGE
        if page >= self.page_count:
            return 0
        size_class = self.page_class(page)
        if size_class < 0:
            return 0
        size = self.size_of(size_class)
        offset = (at - self.pages_at) % _PAGE
        if offset % size != 0 or offset + size > _PAGE:
            return 0
        return size

    def follow(self, link_at: int) -> int:
        """Where the reference stored at `link_at` points; 0 = nowhere."""
        at = self.arena.u32(link_at)
        return at << 5

    def take(self, size: int, hash32: int, replaces: int) -> int:
        """Claim a slot of at least `size` bytes for a record of that hash, or TableFull.

        `replaces` is the size of the slot that will be given back for it, 0 when none will.
        """
        units = (size + 31) >> 5
        if units > _MAX_UNITS:
            raise ShmError(f"{self.arena.path}: a record of {size} bytes exceeds {_PAGE}")
        size_class = self.by_units[units]
        while size_class < _CLASSES:  # a larger slot rather than none
            how = _LAST if replaces == self.size_of(size_class) else 0
            at = self._take_class(size_class, hash32, how)
            if at != 0:
                return at
            size_class += 1
        raise TableFull(f"{self.arena.path} has no room for a record of {size} bytes")

    def _take_class(self, size_class: int, hash32: int, how: int) -> int:
        own = hash32 & (_LISTS - 1)
        busy = False
        # While pages are plenty each list has its own, so that a stopped process blocks only one.
        grow = _GROW if 2 * self.arena.u32(self.hint_at) < self.page_count else 0
        for index in range(_LISTS):
            at = self._take_list(size_class, (own + index) & (_LISTS - 1), hash32, how | grow)
            if at == _IS_BUSY:
                busy = True
            elif at != 0:
                return at
            grow = 0
        at = self._take_list(size_class, own, hash32, how | _WAIT | _GROW)
        if at == 0 and busy:
            for index in range(_LISTS):
                at = self._take_list(size_class, index, hash32, how | _WAIT)
                if at != 0:
                    break
        return at

    def _take_list(self, size_class: int, free_list: int, hash32: int, how: int) -> int:
        """A slot, 0 when none is free, or _IS_BUSY when another has the list and we do not wait."""
        lock_at = self.lock_of(size_class, free_list)
        if how & _WAIT == 0:
            got = self.arena.try_lock(lock_at)
            if got == _BUSY:
                return _IS_BUSY
        else:
            got = _OWNER_DIED if self.arena.lock(lock_at) else _LOCKED
        try:
            if got == _OWNER_DIED:
                self._take_over(size_class, free_list)
            at = self._pop(size_class, free_list, hash32, how)
            while at == 0 and how & _GROW and self._grow(size_class, free_list):
                at = self._pop(size_class, free_list, hash32, how)
        finally:
            self.arena.unlock(lock_at)
        return at

    def _pop(self, size_class: int, free_list: int, hash32: int, how: int) -> int:
        head_at = self.lock_of(size_class, free_list) + _BESIDE
        at = self.follow(head_at)
        if at == 0:
            return 0
        if self.slot_size(at) != self.size_of(size_class) or self.arena.u32(at + _STATE) != _FREE:
            self.rebuild(size_class, free_list)
            at = self.follow(head_at)
            if at == 0:
                return 0
        if self.arena.u32(at + _NEXT) == 0 and how & _LAST == 0:
            return 0
        self.arena.put_u32(at + _HASH, hash32)
        self.arena.put_u32(at + _GENERATION, (self.arena.u32(at + _GENERATION) + 1) & _LOW)
        self.arena.put_u32(at + _STATE, _CLAIMED)
        self.arena.put_u32(head_at, self.arena.u32(at + _NEXT))
        return at

    def _grow(self, size_class: int, free_list: int) -> bool:
        """Give a page to a list, whose lock is held. Its slots are FREE as they come."""
        page = self.arena.u32(self.hint_at)
        while page < self.page_count and not self.arena.swap_u32(
            self.table_at + 4 * page, 0, page_entry(size_class, free_list)
        ):
            page += 1
        if page >= self.page_count:
            self.arena.put_u32(self.hint_at, page)
            return False
        self.arena.put_u32(self.hint_at, page + 1)
        size = self.size_of(size_class)
        slots = _PAGE // size
        first = self.pages_at + page * _PAGE
        head_at = self.lock_of(size_class, free_list) + _BESIDE
        generation = self.arena.u32(self.first_generation_at)
        for index in range(slots):
            at = first + index * size
            follows = (at + size) >> 5 if index < slots - 1 else self.arena.u32(head_at)
            self.arena.put_u32(at + _NEXT, follows)
            if generation != 0:
                self.arena.put_u32(at + _GENERATION, generation)
        self.arena.put_u32(head_at, first >> 5)
        return True

    def release_pages(self) -> int:
        """Once no page is left, take back those that hold nothing; how many there were.

        One process at a time may do this. A list that is busy is left for the next time.
        """
        if self.arena.u32(self.hint_at) < self.page_count:
            return 0
        released = 0
        for size_class in range(_CLASSES):
            for free_list in range(_LISTS):
                released += self._release_list(size_class, free_list)
        # Whoever gave away a page meanwhile may have moved the hint past what is nobody's.
        for page in range(self.page_count):
            if self.arena.u32(self.table_at + 4 * page) == 0:
                self.arena.put_u32(self.hint_at, page)
                break
        return released

    def _release_list(self, size_class: int, free_list: int) -> int:
        entry = page_entry(size_class, free_list)
        lock_at = self.lock_of(size_class, free_list)
        released = 0
        got = self.arena.try_lock(lock_at)
        if got == _BUSY:
            return 0
        try:
            if got == _OWNER_DIED:
                self._take_over(size_class, free_list)
            for page in range(self.page_count):
                if self.arena.u32(self.table_at + 4 * page) == entry and self.release(page):
                    released += 1
            if released:
                self.rebuild(size_class, free_list)
        finally:
            self.arena.unlock(lock_at)
        return released

    def release(self, page: int) -> bool:
        """Make a page nobody's if nothing is in it; its list's lock is held, and rebuilt after.

        Who dies in between leaves a list to be rebuilt from states, in which the page is whole.
        """
        size = self.size_of(self.page_class(page))
        first = self.pages_at + page * _PAGE
        generation = self.arena.u32(self.first_generation_at)
        at = first
        while at + size <= first + _PAGE:
            if self.arena.u32(at + _STATE) != _FREE:
                return False
            used = self.arena.u32(at + _GENERATION)
            if used > generation:  # a stamp must not name a record of another time
                generation = used
            at += size
        self.arena.put_u32(self.first_generation_at, generation)
        self.arena.zero(first, _PAGE)
        self.arena.put_u32(self.table_at + 4 * page, 0)
        if page < self.arena.u32(self.hint_at):
            self.arena.put_u32(self.hint_at, page)
        return True

    def give(self, at: int) -> bool:
        """Put a slot back; False when its list stays busy: it leaks until the scavenger comes."""
        page = (at - self.pages_at) // _PAGE
        entry = self.arena.u32(self.table_at + 4 * page)
        size_class = (entry & 0xFF) - 1
        free_list = entry >> 8 & 0xFF
        lock_at = self.lock_of(size_class, free_list)
        got = self.arena.try_lock(lock_at)
        tries = 0
        while got == _BUSY:
            if tries == _GIVE_TRIES:
                return False
            tries += 1
            got = self.arena.try_lock(lock_at)
        try:
            if got == _OWNER_DIED:
                self._take_over(size_class, free_list)
            if self.arena.u32(at + _STATE) != _FREE:
                self.arena.put_u32(at + _NEXT, self.arena.u32(lock_at + _BESIDE))
                self.arena.put_u32(at + _STATE, _FREE)
                self.arena.put_u32(lock_at + _BESIDE, at >> 5)
        finally:
            self.arena.unlock(lock_at)
        return True

    def rebuild(self, size_class: int, free_list: int) -> int:
        """Make a list again from the states of its pages' slots; its lock is held or unused."""
        entry = page_entry(size_class, free_list)
        size = self.size_of(size_class)
        head = 0
        for page in range(self.page_count):
            if self.arena.u32(self.table_at + 4 * page) != entry:
                continue
            at = self.pages_at + page * _PAGE
            end = at + _PAGE
            while at + size <= end:
                if self.arena.u32(at + _STATE) == _FREE:
                    self.arena.put_u32(at + _NEXT, head >> 5)
                    head = at
                at += size
        self.arena.put_u32(self.lock_of(size_class, free_list) + _BESIDE, head >> 5)
        return 0

    def _take_over(self, size_class: int, free_list: int) -> int:
        self.rebuild(size_class, free_list)
        self.arena.adopt(self.lock_of(size_class, free_list))
        self.arena.add_u64(self.repairs_at, 1)
        return 0

    def lock_of(self, size_class: int, free_list: int) -> int:
        """Where the lock of a list lies; the list's head is beside it."""
        return self.lists_at + (size_class * _LISTS + free_list) * _LINE

    def acquire(self, size_class: int, free_list: int) -> int:
        """Take a list's lock, rebuilding the list if its holder died. LockTimeout when busy."""
        if self.arena.lock(self.lock_of(size_class, free_list)):
            self._take_over(size_class, free_list)
        return 0

    def mend(self, size_class: int, free_list: int) -> bool:
        """Take over a list's lock if its holder died."""
        lock_at = self.lock_of(size_class, free_list)
        got = self.arena.try_lock(lock_at)
        if got == _BUSY:
            return False
        try:
            if got == _OWNER_DIED:
                self._take_over(size_class, free_list)
        finally:
            self.arena.unlock(lock_at)
        return got == _OWNER_DIED
