"""The shared files by name, and the tables over them: for a program that finds them in use.

Nothing in them changes here. The processes that use them go on, and the locks that they hold are
theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from proxy.errors import ShmError
from proxy.limits import measures
from proxy.shm import table_ids
from proxy.shm.answer_table import AnswerTable
from proxy.shm.arena import Arena
from proxy.shm.changes import ChangeRing
from proxy.shm.cluster_page import ClusterPage
from proxy.shm.destination_table import DestinationTable
from proxy.shm.dialog_table import DialogTable
from proxy.shm.inbox import Inbox
from proxy.shm.kept_calls import KeptCalls
from proxy.shm.location_table import LocationTable
from proxy.shm.nonce_table import NonceTable
from proxy.shm.page import Page
from proxy.shm.pipes import Pipes
from proxy.shm.places import PLACES, Places
from proxy.shm.profile_table import ProfileTable
from proxy.shm.row_page import RowPage
from proxy.shm.shards import Shards
from proxy.shm.slots import ProcessSlots
from proxy.shm.sources import Sources
from workers import tables as names
from workers.access_tables import ANSWERS, LISTS, NONCES, AccessTables
from workers.dialog_tables import DIALOGS, PROFILES
from workers.settings import Config
from workers.tables import Tables

Any = TypeVar("Any")


def files_of(tables: Tables) -> dict[str, Arena]:
    """Every file that is mapped, by its name."""
    access = tables.access
    files = {
        names.LOCATION: tables.location,
        names.PROCESSES: tables.slots,
        names.SHARDS: tables.shards,
        names.LIMITS: tables.pipes,
        names.SOURCES: tables.sources,
        names.CHANGES: tables.changes,
        names.QUESTIONS: tables.questions,
        names.STORAGE: tables.storage,
        names.CLUSTER_STATUS: tables.cluster_status,
        names.CLUSTER: tables.cluster,
        names.DESTINATIONS: tables.destinations,
        DIALOGS: tables.dialogs,
        PROFILES: tables.profiles,
        ANSWERS: None if access is None else access.answers,
        LISTS: None if access is None else access.lists,
        NONCES: None if access is None else access.nonces,
        names.WORKERS: tables.places,
        **{names.inbox_file(place): each for place, each in enumerate(tables.inboxes)},
        **{names.kept_file(place): each for place, each in enumerate(tables.kept)},
    }
    return {name: each.arena for name, each in files.items() if each is not None}


class Adopted:
    """What was handed over, by name."""

    def __init__(self, fds: Mapping[str, int]) -> None:
        self._fds = fds

    def one(self, name: str, over: Callable[[Arena], Any]) -> Any:
        """What lies in a file. Raises ShmError when it is not there, or of another layout."""
        if name not in self._fds:
            raise ShmError(f"{name} is new in this version: stop the server and start it")
        try:
            return over(Arena.inherit(self._fds[name], name))
        except ShmError as error:
            raise ShmError(f"{error}: stop the server and start it") from None

    def maybe(self, name: str, over: Callable[[Arena], Any]) -> Any | None:
        """The same of a file that not every configuration needs."""
        return self.one(name, over) if name in self._fds else None


def adopt_tables(fds: Mapping[str, int], config: Config) -> Tables:
    """The tables of a running node; `config` shapes them as the running one does."""
    files, cluster = Adopted(fds), config.cluster

    def cluster_page(arena: Arena) -> ClusterPage:
        return ClusterPage.over(arena, config.node.id, cluster.tag_names, cluster.numbers)

    tables = Tables(
        location=files.one(names.LOCATION, LocationTable.over),
        slots=files.one(names.PROCESSES, ProcessSlots.over),
        places=files.one(names.WORKERS, Places.over),
        inboxes=[files.maybe(names.inbox_file(place), Inbox.over) for place in range(PLACES)],
        kept=[files.maybe(names.kept_file(place), KeptCalls.over) for place in range(PLACES)],
        shards=files.one(names.SHARDS, Shards.over),
        pipes=files.one(names.LIMITS, Pipes.over),
        sources=files.maybe(names.SOURCES, Sources.over),
        changes=files.one(names.CHANGES, ChangeRing.over),
        questions=files.one(names.QUESTIONS, Inbox.over),
        storage=files.one(names.STORAGE, Page.over),
        cluster_status=files.maybe(names.CLUSTER_STATUS, Page.over),
        dialogs=files.maybe(DIALOGS, DialogTable.over),
        profiles=files.maybe(PROFILES, ProfileTable.over),
        access=_access(files),
        cluster=files.maybe(names.CLUSTER, cluster_page),
        destinations=files.maybe(names.DESTINATIONS, DestinationTable.over),
    )
    if tables.slots.counter_count != measures.COLUMNS:
        raise ShmError(f"{names.PROCESSES} has other columns: stop the server and start it")
    _note_changes(tables)
    return tables


def _access(files: Adopted) -> AccessTables | None:
    answers = files.maybe(ANSWERS, AnswerTable.over)
    if answers is None:
        return None
    lists = files.one(LISTS, RowPage.over)
    return AccessTables(answers, lists, files.maybe(NONCES, NonceTable.over))


def _note_changes(tables: Tables) -> None:
    tables.location.note_changes(tables.changes, table_ids.LOCATION)
    if tables.dialogs is not None:
        tables.dialogs.note_changes(tables.changes, table_ids.DIALOGS)
    if tables.destinations is not None:
        tables.destinations.note_changes(tables.changes, table_ids.DESTINATIONS)
