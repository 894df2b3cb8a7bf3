"""One shared table as the clusterer sees it: what of it travels, and how it gets in."""

from __future__ import annotations

from proxy.cluster.form import Form
from proxy.shm.table import Table


class Adapter:
    """A table whose records travel as they are stored; other tables override what differs."""

    def __init__(self, table_id: int, table: Table, form: Form) -> None:
        self.table_id = table_id
        self.table = table
        self.form = form

    def body(self, key: bytes, payload: bytes) -> bytes | None:
        """What is compared and told of a stored record; None when that is nothing."""
        return payload

    def commit(self, key: bytes, stamp: int, payload: bytes | None, body: bytes) -> bool:
        """Make `body` the record in place of `payload`, which `stamp` names (Table.commit).

        False when somebody else was ahead; TableFull and LockTimeout leave all as it was.
        """
        raise NotImplementedError
