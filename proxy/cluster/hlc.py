"""The hybrid logical clock that gives every change its version (design R11).

A version is one unsigned 64-bit number: 48 bits of wall-clock milliseconds, 16 bits of counter.
The wall clock is passed in; it may jump, stand still or go back, versions only ever rise.
"""

from __future__ import annotations

from proxy.errors import ClockExhausted

COUNTER_BITS = 16
COUNTER_MASK = 0xFFFF
MILLISECONDS_MASK = 0xFFFF_FFFF_FFFF
LAST_VERSION = 0xFFFF_FFFF_FFFF_FFFF


class HybridClock:
    """Versions of one process; `max_lead_ms` is how far ahead of our clock a peer's may be."""

    def __init__(self, max_lead_ms: int = 60_000) -> None:
        if max_lead_ms < 0:
            raise ValueError("a peer's clock lead cannot be negative")
        self.max_lead_ms = max_lead_ms
        self.last = 0
        self.rejected = 0

    def tick(self, now_ms: int, floor: int = 0) -> int:
        """The next version: above all given or observed here, and above `floor`."""
        wall = (now_ms & MILLISECONDS_MASK) << COUNTER_BITS
        last = self.last if self.last > floor else floor
        if wall > last:
            self.last = wall
        elif last == LAST_VERSION:
            raise ClockExhausted("the hybrid clock has reached its last version")
        else:
            # A counter that overflows carries into the milliseconds: still higher, still one step.
            self.last = last + 1
        return self.last

    def observe(self, version: int, now_ms: int) -> bool:
        """Adopt a peer's version; False, and nothing adopted, when its clock leads too far."""
        if (version >> COUNTER_BITS) > (now_ms & MILLISECONDS_MASK) + self.max_lead_ms:
            self.rejected += 1
            return False
        if version > self.last:
            self.last = version
        return True


def milliseconds(version: int) -> int:
    """The wall-clock part of a version."""
    return version >> COUNTER_BITS


def counter(version: int) -> int:
    """The logical part of a version."""
    return version & COUNTER_MASK
