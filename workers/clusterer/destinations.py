"""The states of destinations as the clusterer sees them."""

from __future__ import annotations

from proxy.cluster.destinations import commit
from proxy.cluster.merge import WholeForm
from proxy.shm.destination_table import DestinationTable
from proxy.shm.table_ids import DESTINATIONS
from workers.clusterer.adapter import Adapter


class DestinationAdapter(Adapter):
    """The table of destinations: a record is stored as it travels."""

    def __init__(self, table: DestinationTable) -> None:
        super().__init__(DESTINATIONS, table, WholeForm())
        self._destinations = table

    def commit(self, key: bytes, stamp: int, payload: bytes | None, body: bytes) -> bool:
        """Store the record, with when its tombstone may go."""
        return commit(self._destinations, key, stamp, body)
