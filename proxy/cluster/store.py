"""What the cluster asks of the tables it keeps equal; the adapters are thin, the logic is not."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from proxy.errors import RestMissing

Record = tuple[int, bytes, bytes]  # table, key, body
Current = tuple[int, bytes, bytes | None]  # the same; without a body there is none any more
Change = tuple[int, bytes, bytes | None, bytes | None]  # the same, and the body made brief


class Horizon(NamedTuple):
    """What is too old to be taken or kept."""

    node: int  # ours
    now_s: int
    grace_s: int  # what other nodes registered runs out this much later
    before: int  # tombstones with lower versions are needed no more


class Form(Protocol):
    """How the bodies of one table are read and merged (merge.py says what must hold)."""

    def names(self, key: bytes) -> bool:
        """Whether these bytes can be a key: asked as `sound` is."""

    def sound(self, body: bytes) -> bool:
        """Whether these bytes can be a body: asked of everything a peer sends, first of all."""

    def newest(self, body: bytes) -> int:
        """The highest version in it."""

    def stamps(self, body: bytes) -> tuple[int, int]:
        """64-bit sums of its live parts and of its tombstones; 0 when it has none."""

    def rest(self, body: bytes) -> int:
        """The hash of what most changes leave as it is; 0: the record is always told whole."""

    def brief(self, body: bytes, rest: int) -> bytes:
        """The body without its rest, for those who have the same."""

    def restored(self, body: bytes, ours: bytes | None) -> bytes | None:
        """A body that may be brief, whole; None when the record here has another rest."""

    def merge(self, ours: bytes, theirs: bytes) -> bytes:
        """Both; `ours` itself, the same object, when nothing in `theirs` is newer."""

    def prune(self, body: bytes, me: int, now_s: int, grace_s: int, before: int) -> bytes | None:
        """Without what ran out, and without tombstones below the version `before`."""


class Store(Protocol):
    """The tables of one node that a cluster keeps equal."""

    forms: dict[int, Form]

    def take(self, limit: int, now: int) -> list[Current] | None:
        """What changed next, as it is now; `limit` of them mean that there may be more.

        None when some changes were lost and all must be read again.

        Those that apply() has made may be left out: the brain knows what it has applied.
        """

    def fetch(self, table: int, key: bytes) -> bytes | None:
        """The body of a record as it is now."""

    def apply(self, table: int, key: bytes, body: bytes, horizon: Horizon) -> bytes | None:
        """Commit what `joined` makes of the record here and of `body`; what is here then.

        None when nothing was new. TableFull, LockTimeout and RestMissing leave all as it was.
        """

    def scan(self, cursor: int, limit: int) -> tuple[list[Record], int]:
        """About `limit` records from `cursor` on, and the next cursor; 0 is the begin and the end.

        What changes meanwhile may be in it or not: its change is noted.
        """


def joined(form: Form, ours: bytes | None, theirs: bytes, horizon: Horizon) -> bytes | None:
    """What a record becomes when a peer's state of it arrives; None when it stays as it is.

    What ran out is not taken back, but it still replaces what it is newer than. RestMissing when
    what came is brief, and its rest is not here.
    """
    whole = form.restored(theirs, ours)
    if whole is None:
        raise RestMissing("a brief record of a peer whose rest is not here")
    if ours is None:
        return form.prune(whole, *horizon)
    merged = form.merge(ours, whole)
    return None if merged is ours else merged
