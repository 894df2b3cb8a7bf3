"""Where everything lies in the file of rate-limit pipes. docs/shared-memory.md draws it."""

from __future__ import annotations

from typing import Final, NamedTuple

from proxy.errors import ShmError
from proxy.limits import bounds
from proxy.shm import layout

KIND: Final = b"pipes"

# Header words.
LOAD: Final = layout.OWN_WORDS  # u64 load of the machine, hundredths of a percent
WAITING: Final = LOAD + 8  # u64 bytes waiting in receive queues
SAMPLED_AT: Final = LOAD + 16  # u64 ms; 0 = never
GAINS: Final = LOAD + 24  # ki, kp, kd: u64 each, millionths, two's complement
LIVE: Final = LOAD + 48  # u32 pipes there are
ROVER: Final = LOAD + 52  # u32 entry to try first for a new pipe
REPAIRS: Final = LOAD + 56  # u64

LOCK: Final = layout.HEADER_BYTES
TAGS: Final = LOCK + layout.LINE  # u64 each: hash of the name, entry + 1; 0 = never used
GONE: Final = 0xFFFFFFFF  # in place of entry + 1: was used, look further

# An entry.
IN_USE: Final = 0
NAME_LENGTH: Final = 4
ALGORITHM: Final = 8
DROP_RATE: Final = 12  # FEEDBACK: hundredths of a percent
LIMIT: Final = 16
USED_AT: Final = 24  # ms
DECLARED: Final = 32
REMOTES: Final = 36  # places for other nodes that have ever been taken
NAME: Final = 40
OFFERED: Final = NAME + bounds.PIPE_NAME_BYTES  # two slots of (u32 interval, u32 count)
ADMITTED: Final = OFFERED + 16
REMOTE: Final = ADMITTED + 16
REMOTE_BYTES: Final = 24  # u32 node, u64 incarnation, u32 told at in 0.1 s, u32 count
SLOTS: Final = REMOTE + bounds.PIPE_NODES * REMOTE_BYTES

SPARE_SLOTS: Final = 14
LAYOUT: Final = (
    f"entry: in_use name_length algorithm drop_rate limit used_at declared remotes name "
    f"offered {OFFERED} admitted {ADMITTED} remote {bounds.PIPE_NODES} x {REMOTE_BYTES} "
    f"slots {SLOTS}; tags u64; lock {LOCK}"
)


class Timing(NamedTuple):
    """What the counts of all pipes are counted by; OpenSIPS' parameters, in ms."""

    timer_interval: int = 10_000
    window_size: int = 10_000
    slot_period: int = 200
    limit_per_interval: bool = False
    expire_time: int = 3_600_000

    @property
    def slots(self) -> int:
        """Slots of an SBT window."""
        return self.window_size // self.slot_period

    @property
    def ring(self) -> int:
        """Slots that are kept: who was interrupted for a while still finds its window whole."""
        return self.slots + SPARE_SLOTS


class Plan(NamedTuple):
    """Where tags and entries lie, and the size of the file."""

    capacity: int
    tags: int
    entries_at: int
    stride: int
    size: int


def plan(capacity: int, timing: Timing) -> Plan:
    """The file for `capacity` pipes."""
    slots = timing.slots
    if capacity < 1 or not 1 <= slots <= bounds.PIPE_SLOTS or timing.timer_interval < 1:
        raise ShmError(f"pipes: {capacity} with {slots} slots each are not possible")
    tags = 8
    while tags < 2 * capacity:
        tags *= 2
    stride = (SLOTS + 8 * timing.ring + layout.LINE - 1) // layout.LINE * layout.LINE
    entries_at = TAGS + 8 * tags
    return Plan(capacity, tags, entries_at, stride, entries_at + capacity * stride)
