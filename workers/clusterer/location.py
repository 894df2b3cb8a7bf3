"""The registered phones as the clusterer sees them."""

from __future__ import annotations

from proxy.registrar.commit import commit_record
from proxy.registrar.replica import BindingsForm
from proxy.shm.location_table import LocationTable
from proxy.shm.table_ids import LOCATION
from workers.clusterer.adapter import Adapter


class LocationAdapter(Adapter):
    """The location table: a record travels as it is stored."""

    def __init__(self, table: LocationTable) -> None:
        super().__init__(LOCATION, table, BindingsForm())

    def body(self, key: bytes, payload: bytes) -> bytes | None:
        """The record, unless a peer would refuse it and all that is sent with it."""
        return payload if self.form.sound(payload) else None

    def commit(self, key: bytes, stamp: int, payload: bytes | None, body: bytes) -> bool:
        """Store the record, with when it is due and how many live bindings it has."""
        return commit_record(self.table, key, stamp, body)
