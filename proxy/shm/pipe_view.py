"""Pipes seen from outside the packet path: lists, samples of the load, and other nodes' counts."""

from __future__ import annotations

from typing import Final, NamedTuple

from proxy.limits import algorithms, bounds
from proxy.limits.feedback import Gains
from proxy.shm import pipe_layout as at
from proxy.shm.pipes import Pipes

_LOW: Final = 0xFFFFFFFF
_WORD: Final = 0xFFFFFFFFFFFFFFFF
_MILLION: Final = 1_000_000
TENTH_MS: Final = 100  # a remote count's age is kept in tenths of a second
REMOTE_TENTHS: Final = 100


class Pipe(NamedTuple):
    """One pipe as it stands; `counter` is what this node admitted of late."""

    name: bytes
    algorithm: int
    limit: int
    counter: int
    drop_rate: int
    declared: bool


class Dump(NamedTuple):
    """Everything about a pipe: slots of its window (SBT), and the other nodes' counts by node."""

    pipe: Pipe
    slots: list[int]
    remote: dict[int, int]


def _pipe_at(pipes: Pipes, entry: int, now_ms: int) -> Pipe:
    arena = pipes.arena
    length = min(arena.u32(entry + at.NAME_LENGTH), bounds.PIPE_NAME_BYTES)
    algorithm = arena.u32(entry + at.ALGORITHM) % len(algorithms.NAMES)
    return Pipe(
        arena.copy(entry + at.NAME, length),
        algorithm,
        arena.u64(entry + at.LIMIT),
        pipes.recent(entry, algorithm, now_ms),
        arena.u32(entry + at.DROP_RATE),
        arena.u32(entry + at.DECLARED) != 0,
    )


def declare(pipes: Pipes, name: bytes, limit: int, algorithm: int, now_ms: int) -> bool:
    """Make a pipe that is listed from the beginning and never expires; False: no room."""
    entry = pipes.make(name, limit, algorithm, now_ms)
    if entry:
        pipes.arena.put_u32(entry + at.DECLARED, 1)
        pipes.arena.put_u64(entry + at.LIMIT, limit)
        pipes.arena.put_u32(entry + at.ALGORITHM, algorithm)
    return entry != 0


def listing(pipes: Pipes, now_ms: int, algorithm: int | None = None) -> list[Pipe]:
    """All pipes, or all of one algorithm, by name."""
    return sorted(
        _pipe_at(pipes, entry, now_ms)
        for entry in pipes.entries()
        if algorithm is None or pipes.arena.u32(entry + at.ALGORITHM) == algorithm
    )


def dump(pipes: Pipes, name: bytes, now_ms: int) -> Dump | None:
    """One pipe, or None."""
    entry = pipes.find(name)
    if not entry:
        return None
    pipe = _pipe_at(pipes, entry, now_ms)
    slots = []
    if pipe.algorithm == algorithms.SBT:
        slots = _slots(pipes, entry, now_ms)
    return Dump(pipe, slots, remote_counts(pipes, entry, now_ms))


def _slots(pipes: Pipes, entry: int, now_ms: int) -> list[int]:
    """The counts of the window, slot by slot, the oldest first."""
    timing = pipes.timing
    newest = now_ms // timing.slot_period
    counts = []
    for epoch in range(newest - timing.slots + 1, newest + 1):
        word = pipes.arena.u64(entry + at.SLOTS + 8 * (epoch % timing.ring))
        counts.append(word & _LOW if word >> 32 == epoch & _LOW else 0)
    return counts


def reset(pipes: Pipes, name: bytes) -> bool:
    """Count a pipe from zero again; other nodes' counts stay. False: there is none."""
    entry = pipes.find(name)
    if not entry:
        return False
    for word in range(at.OFFERED, at.REMOTE, 8):
        pipes.arena.put_u64(entry + word, 0)
    for slot in range(pipes.timing.ring):
        pipes.arena.put_u64(entry + at.SLOTS + 8 * slot, 0)
    return True


# -- load and queues ------------------------------------------------------------------------------


def sample(pipes: Pipes, load: float, waiting: int, now_ms: int) -> None:
    """Say how busy the machine is (0 to 1) and how many bytes wait in receive queues."""
    pipes.arena.put_u64(at.LOAD, round(load * 10_000))
    pipes.arena.put_u64(at.WAITING, waiting)
    pipes.arena.put_u64(at.SAMPLED_AT, max(now_ms, 1))


def gains(pipes: Pipes) -> Gains:
    """The gains of FEEDBACK's controller."""
    words = (pipes.arena.u64(at.GAINS + 8 * place) for place in range(3))
    return Gains(*((word - (word >> 63 << 64)) / _MILLION for word in words))


def set_gains(pipes: Pipes, chosen: Gains) -> None:
    """Change the gains for all processes."""
    for place, gain in enumerate(chosen):
        pipes.arena.put_u64(at.GAINS + 8 * place, round(gain * _MILLION) & _WORD)


def set_drop_rate(pipes: Pipes, name: bytes, drop_rate: int) -> None:
    """Let a FEEDBACK pipe refuse this share, in hundredths of a percent."""
    entry = pipes.find(name)
    if entry:
        pipes.arena.put_u32(entry + at.DROP_RATE, drop_rate)


# -- other nodes ----------------------------------------------------------------------------------


def own_counts(pipes: Pipes, now_ms: int) -> list[tuple[bytes, int]]:
    """(name, count) of every pipe that has let anything pass of late, on this node alone.

    Absolute values: who hears one twice or misses one is right again with the next.
    """
    found = []
    for entry in pipes.busy(now_ms):
        count = pipes.recent(entry, pipes.arena.u32(entry + at.ALGORITHM), now_ms)
        if count:
            length = min(pipes.arena.u32(entry + at.NAME_LENGTH), bounds.PIPE_NAME_BYTES)
            found.append((pipes.arena.copy(entry + at.NAME, length), count))
    return found


def accept(
    pipes: Pipes,
    name: bytes,
    node: int,
    incarnation: int,
    count: int,
    now_ms: int,
) -> bool:
    """Take another node's count of a pipe in the place of the one it gave before.

    It counts for ten seconds unless it is told again. Of two incarnations of a node the higher one
    is heard. Up to eight other nodes per pipe; False for one more, for an older incarnation, and
    for a pipe that nobody has asked for here. For one process alone: the clusterer.
    """
    entry = pipes.find(name)
    if not entry:
        return False
    place = _place_of(pipes, entry, node, now_ms)
    if place < 0:
        return False
    where = entry + at.REMOTE + place * at.REMOTE_BYTES
    arena = pipes.arena
    if arena.u32(where) != node or arena.u64(where + 8) != incarnation:
        if arena.u32(where) == node and arena.u64(where + 8) > incarnation:
            return False
        arena.put_u64(where + 16, 0)  # what is not complete counts as nothing
        arena.put_u32(where, node)
        arena.put_u64(where + 8, incarnation)
    if arena.u32(entry + at.REMOTES) <= place:
        arena.put_u32(entry + at.REMOTES, place + 1)
    told_at = now_ms // TENTH_MS & _LOW
    arena.put_u64(where + 16, told_at << 32 | min(count, _LOW))
    if count:
        arena.put_u64(entry + at.USED_AT, now_ms)
    return True


def _place_of(pipes: Pipes, entry: int, node: int, now_ms: int) -> int:
    """The node's place in a pipe, or one that can be had; -1 if there is none."""
    free = -1
    for place in range(bounds.PIPE_NODES):
        where = entry + at.REMOTE + place * at.REMOTE_BYTES
        holder = pipes.arena.u32(where)
        if holder == node:
            return place
        if free < 0 and (holder == 0 or not _is_fresh(pipes.arena.u64(where + 16), now_ms)):
            free = place
    return free


def _is_fresh(word: int, now_ms: int) -> bool:
    """As Pipes.remote counts it: at most ten seconds old."""
    age = now_ms // TENTH_MS - (word >> 32)
    return word != 0 and age <= REMOTE_TENTHS


def remote_counts(pipes: Pipes, entry: int, now_ms: int) -> dict[int, int]:
    """The other nodes' counts that are fresh, by node."""
    counts = {}
    for place in range(bounds.PIPE_NODES):
        where = entry + at.REMOTE + place * at.REMOTE_BYTES
        word = pipes.arena.u64(where + 16)
        if _is_fresh(word, now_ms):
            counts[pipes.arena.u32(where)] = word & _LOW
    return counts
