"""One mapped file or anonymous mapping, shared by all processes; the only way to its bytes.

Every access is bounds-checked and aligned, or ShmError. Word loads acquire, word stores release.
"""

from typing import Final

LOCK_BYTES: Final[int]
LOCKED: Final[int]
OWNER_DIED: Final[int]
BUSY: Final[int]

def fold(data: bytes, seed: int) -> int:
    """64-bit multiply-fold hash of bytes under a seed."""

def arm_crash(stores: int) -> int:
    """SIGKILL this process before its n-th next shared store; 0 disarms. Returns the rest."""

class Arena:
    """One mapping."""

    size: int
    descriptor: int
    path: str
    lock_wait_ns: int

    @staticmethod
    def create(path: str, size: int) -> Arena:
        """Make a file of `size` allocated, zeroed bytes; ShmError when it exists or has no room."""

    @staticmethod
    def own(path: str) -> Arena:
        """Map an existing file and hold it against any other owner; children inherit the hold."""

    @staticmethod
    def join(path: str) -> Arena:
        """Map a file that somebody else owns."""

    @staticmethod
    def peek(path: str) -> Arena:
        """Map an unowned file so that changes stay in this process; ShmError when owned."""

    @staticmethod
    def anonymous(size: int) -> Arena:
        """Memory shared with children only."""

    @staticmethod
    def inherit(descriptor: int, path: str) -> Arena:
        """Map what another program has handed over, by a duplicate of its descriptor."""

    def u16(self, at: int) -> int: ...
    def u32(self, at: int) -> int: ...
    def u64(self, at: int) -> int: ...
    def put_u16(self, at: int, value: int) -> int: ...
    def put_u32(self, at: int, value: int) -> int: ...
    def put_u64(self, at: int, value: int) -> int: ...
    def add_u64(self, at: int, amount: int) -> int:
        """Atomic addition, wrapping."""

    def count_u64(self, at: int, amount: int) -> int:
        """Addition to a word that nobody but the caller changes, wrapping."""

    def swap_u32(self, at: int, expected: int, value: int) -> bool:
        """Compare and swap; True when `expected` was there."""

    def claim_u64(self, at: int, amount: int) -> int:
        """Atomic addition; what was there before it."""

    def swap_u64(self, at: int, expected: int, value: int) -> bool:
        """Compare and swap, sequentially consistent; True when `expected` was there."""

    def sum_fresh(self, at: int, words: int, oldest: int, span: int) -> int:
        """Of words of (u32 epoch, u32 count): the counts whose epoch is `oldest` or up to `span`
        later, modulo 2**32, added up."""

    def unchanged(self, at: int, value: int) -> bool:
        """After copying: does the word still hold what it held before the copy?"""

    def fence(self) -> int:
        """Sequentially consistent fence."""

    def put(self, at: int, data: bytes) -> int: ...
    def zero(self, at: int, length: int) -> int: ...
    def is_zero(self, at: int, length: int) -> bool: ...
    def copy(self, at: int, length: int) -> bytes: ...
    def equals(self, at: int, data: bytes) -> bool: ...
    def warm(self, at: int, length: int) -> int:
        """Ask for the memory there, without waiting for it."""

    def fold(self, at: int, length: int, seed: int) -> int:
        """`fold` over bytes of the mapping."""

    def make_lock(self, at: int) -> int:
        """Initialise a robust process-shared mutex of LOCK_BYTES that nobody can be holding."""

    def lock(self, at: int) -> bool:
        """Take the lock; True when its holder died: repair, then adopt(). LockTimeout when busy."""

    def try_lock(self, at: int) -> int:
        """LOCKED, OWNER_DIED (held: repair, then adopt) or BUSY, without waiting."""

    def adopt(self, at: int) -> int:
        """Declare what a dead holder left as repaired; the lock stays held."""

    def unlock(self, at: int) -> int: ...
    def close(self) -> None:
        """Unmap; later accesses are ShmErrors."""
