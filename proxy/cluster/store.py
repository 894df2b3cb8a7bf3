"""What the cluster asks of the tables it keeps equal; the adapters are thin, the logic is not."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from proxy.cluster.form import Form
from proxy.cluster.frames import Record
from proxy.cluster.telling import Telling

LOST = -1  # what take() says when all must be read again


class Horizon(NamedTuple):
    """What is too old to be taken or kept."""

    node: int  # ours
    now_s: int
    grace_s: int  # what other nodes registered runs out this much later
    before: int  # tombstones with lower versions are needed no more


class Store(Protocol):
    """The tables of one node that a cluster keeps equal."""

    forms: dict[int, Form]
    was: bytes | None  # the record before the last apply()

    def take(self, limit: int, now: int, telling: Telling) -> int:
        """Tell what changed next, as it is now; `limit` notes read mean that there may be more.

        LOST when some changes were lost and all must be read again.

        Those that apply() has made may be left out: the brain knows what it has applied.
        """

    def fetch(self, table: int, key: bytes) -> bytes | None:
        """The body of a record as it is now."""

    def warm(self, records: list[Record]) -> int:
        """Ask for the memory of what is applied next."""

    def apply(self, table: int, key: bytes, body: bytes, horizon: Horizon) -> bytes | None:
        """Commit what `joined` makes of the record here and of `body`; what is here then.

        None when nothing was new. TableFull, LockTimeout and RestMissing leave all as it was.
        """

    def scan(self, cursor: int, limit: int) -> tuple[list[Record], int]:
        """About `limit` records from `cursor` on, and the next cursor; 0 is the begin and the end.

        What changes meanwhile may be in it or not: its change is noted.
        """
