"""How the records of one table are read and merged between nodes (merge.py says what must hold)."""

from __future__ import annotations

from proxy.errors import RestMissing


class Form:
    """What the cluster asks of a table's bodies. Each table has its own, beside its layout."""

    def __init__(self) -> None:
        self.live = 0  # what look() has found
        self.dead = 0
        self.mixed = False  # whether what joined() made last has something of both sides

    def names(self, key: bytes) -> bool:
        """Whether these bytes can be a key: asked as `sound` is."""
        return len(key) > 0

    def sound(self, body: bytes) -> bool:
        """Whether these bytes can be a body: asked of everything a peer sends, first of all."""
        raise NotImplementedError

    def newest(self, body: bytes) -> int:
        """The highest version in it."""
        raise NotImplementedError

    def look(self, body: bytes) -> int:
        """Leave the 64-bit sums of its live parts and its tombstones in `live` and `dead`."""
        raise NotImplementedError

    def stamps(self, body: bytes) -> tuple[int, int]:
        """The same as two numbers; 0 when there is no such part."""
        self.look(body)
        return self.live, self.dead

    def rest(self, body: bytes) -> int:
        """The hash of what most changes leave as it is; 0: the record is always told whole."""
        return 0

    def brief(self, body: bytes, rest: int) -> bytes:
        """The body without its rest, for those who have the same."""
        return body

    def restored(self, body: bytes, ours: bytes | None) -> bytes | None:
        """A body that may be brief, whole; None when the record here has another rest."""
        return body

    def merge(self, ours: bytes, theirs: bytes) -> bytes:
        """Both; `ours` itself, the same object, when nothing in `theirs` is newer."""
        raise NotImplementedError

    def prune(self, body: bytes, me: int, now_s: int, grace_s: int, before: int) -> bytes | None:
        """Without what ran out, and without tombstones below the version `before`."""
        raise NotImplementedError


def joined(
    form: Form, ours: bytes | None, theirs: bytes, horizon: tuple[int, int, int, int]
) -> bytes | None:
    """What a record becomes when a peer's state of it arrives; None when it stays as it is.

    What ran out is not taken back, but it still replaces what it is newer than. RestMissing when
    what came is brief, and its rest is not here.
    """
    whole = form.restored(theirs, ours)
    if whole is None:
        raise RestMissing("a brief record of a peer whose rest is not here")
    form.mixed = False
    if ours is None:
        me, now_s, grace_s, before = horizon
        return form.prune(whole, me, now_s, grace_s, before)
    merged = form.merge(ours, whole)
    if merged is ours:
        return None
    form.mixed = merged is not whole
    return merged
