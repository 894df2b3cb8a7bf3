"""The shared files in `runtime_dir`: made, taken over, or refused with a sentence.

`location.table` and `dialogs.table` outlive the server: they are attached and verified, and only a
file that cannot be trusted is put aside (`.bad-1` the newest, three are kept) and begun anew. The
others describe processes that are gone and are made anew by every supervisor.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import time
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Final

from proxy.cluster.merge import payload_of
from proxy.errors import ShmError
from proxy.limits import bounds, measures
from proxy.limits.algorithms import number_of
from proxy.limits.feedback import Gains
from proxy.shm import pipe_view, table_ids
from proxy.shm.changes import ChangeRing
from proxy.shm.cluster_page import ClusterPage
from proxy.shm.destination_table import DestinationTable
from proxy.shm.dialog_table import DialogTable
from proxy.shm.inbox import Inbox
from proxy.shm.kept_calls import KeptCalls
from proxy.shm.location_table import LocationTable
from proxy.shm.page import Page
from proxy.shm.pipe_layout import Timing
from proxy.shm.pipes import Pipes
from proxy.shm.places import PLACES, Order, Places
from proxy.shm.profile_table import ProfileTable
from proxy.shm.shards import Shards
from proxy.shm.slots import ProcessSlots
from proxy.shm.sources import Sources
from workers.access_tables import AccessTables, open_access
from workers.cluster_settings import PACE
from workers.dialog_tables import open_dialogs
from workers.lasting import Lasting
from workers.logs import Log
from workers.settings import Config
from workers.shared_page import ROWS

LOCATION: Final = "location.table"
DESTINATIONS: Final = "destinations.table"
PROCESSES: Final = "processes.table"
SHARDS: Final = "shards.table"
WORKERS: Final = "workers.table"
LIMITS: Final = "limits.table"
SOURCES: Final = "sources.table"
CHANGES: Final = "changes.ring"
QUESTIONS: Final = "questions.ring"
STORAGE: Final = "storage.state"
CLUSTER: Final = "cluster.state"
CLUSTER_STATUS: Final = "cluster.status"
MADE_ANEW: Final = (
    PROCESSES,
    SHARDS,
    WORKERS,
    LIMITS,
    SOURCES,
    CHANGES,
    QUESTIONS,
    STORAGE,
    CLUSTER,
    CLUSTER_STATUS,
)
CHANGE_UNITS: Final = 65_536
QUESTION_BYTES: Final = 4 << 20
STATUS_BYTES: Final = 1 << 20  # of all peers of all clusters; what is not used costs nothing
LOCK: Final = "sipherd.lock"
SECRET: Final = "secret"
CONTROL_SOCKET: Final = "control.sock"
PRIVATE_RECORDS: Final = 4_096
LOCK_WAIT_S: Final = 2.0  # how long processes of a killed supervisor may take to be gone


@dataclass(slots=True)
class Tables:
    """Everything the processes share."""

    location: LocationTable
    slots: ProcessSlots
    places: Places
    inboxes: list[Inbox | None]  # of each place, once it has been used
    kept: list[KeptCalls | None]
    shards: Shards
    pipes: Pipes
    sources: Sources | None  # None: no flood guard
    changes: ChangeRing
    questions: Inbox  # what others want of the storage process
    storage: Page  # what the storage process says of itself
    cluster_status: Page | None  # what the clusterer says of itself; None: no [cluster]
    dialogs: DialogTable | None  # None: calls are not tracked
    profiles: ProfileTable | None
    access: AccessTables | None = None  # None: no database is used
    cluster: ClusterPage | None = None  # for whom this node acts; None: it is alone
    destinations: DestinationTable | None = None  # None: nobody else is told of them

    def open_place(self, place: int, folder: Path, size: int) -> None:
        """Make a place ready for a worker that comes after nobody."""
        inbox, kept = self.inboxes[place], self.kept[place]
        if inbox is None or kept is None:
            self.inboxes[place] = Inbox.create(str(folder / inbox_file(place)), size)
            self.kept[place] = KeptCalls.create(str(folder / kept_file(place)))
        else:
            inbox.clear()
            kept.clear()

    def inbox(self, place: int) -> Inbox:
        """The inbox of a place that this process knows of."""
        inbox = self.inboxes[place]
        if inbox is None:
            raise ShmError(f"nobody has been in place {place} yet")
        return inbox

    def close(self, clean: bool) -> None:
        """Let go of the tables; `clean` when no process was killed inside one."""
        self.location.close(clean=clean)
        if self.access is not None:
            self.access.close(clean)
        if self.dialogs is not None:
            self.dialogs.close(clean=clean)
        if self.destinations is not None:
            self.destinations.close(clean=clean)


def open_tables(config: Config, log: Log) -> Tables:
    """Attach or create every shared file of this node."""
    folder = config.node.runtime_dir
    boot_id = read_boot_id()
    location = open_location(folder, config, boot_id, log)
    dialogs, profiles = open_dialogs(folder, config, boot_id, log)
    of_places = [*folder.glob("inbox-*.ring"), *folder.glob("kept-*.set")]
    for old in [*of_places, *(folder / name for name in MADE_ANEW)]:
        old.unlink(missing_ok=True)
    changes = ChangeRing.create(str(folder / CHANGES), CHANGE_UNITS)
    location.note_changes(changes, table_ids.LOCATION)
    if dialogs is not None:
        dialogs.note_changes(changes, table_ids.DIALOGS)
    destinations = open_destinations(folder, config, boot_id, log)
    if destinations is not None:
        destinations.note_changes(changes, table_ids.DESTINATIONS)
    tables = Tables(
        location=location,
        slots=ProcessSlots.create(str(folder / PROCESSES), ROWS, measures.COLUMNS, boot_id=boot_id),
        places=Places.create(str(folder / WORKERS)),
        inboxes=[None] * PLACES,
        kept=[None] * PLACES,
        shards=Shards.create(str(folder / SHARDS), config.workers.udp),
        access=open_access(config, boot_id, log),
        pipes=create_pipes(folder / LIMITS, config),
        sources=create_sources(folder / SOURCES, config),
        changes=changes,
        questions=Inbox.create(str(folder / QUESTIONS), QUESTION_BYTES),
        storage=Page.create(str(folder / STORAGE)),
        cluster_status=_cluster_status(folder / CLUSTER_STATUS, config),
        dialogs=dialogs,
        profiles=profiles,
        cluster=create_cluster_page(folder / CLUSTER, config),
        destinations=destinations,
    )
    for place in range(config.workers.udp):
        tables.open_place(place, folder, config.workers.inbox_bytes)
        tables.places.enter(place, 1, Order.SERVE)
    return tables


def inbox_file(place: int) -> str:
    """The file of the inbox of a place."""
    return f"inbox-{place + 1}.ring"


def kept_file(place: int) -> str:
    """The file of the calls that the worker in a place keeps."""
    return f"kept-{place + 1}.set"


def _cluster_status(path: Path, config: Config) -> Page | None:
    return Page.create(str(path), STATUS_BYTES) if config.cluster.is_used else None


def create_pipes(path: Path, config: Config) -> Pipes:
    """The rate-limit pipes, with those that the configuration declares."""
    settings = config.ratelimit
    timing = Timing(
        timer_interval=settings.timer_interval * 1_000,
        window_size=settings.window_size * 1_000,
        slot_period=settings.slot_period,
        limit_per_interval=settings.limit_per_interval,
        expire_time=settings.expire_time * 1_000,
    )
    pipes = Pipes.create(str(path), settings.capacity, timing, seed=secrets.randbits(63))
    pipe_view.set_gains(pipes, Gains())
    declare_pipes(pipes, config)
    return pipes


def declare_pipes(pipes: Pipes, config: Config) -> None:
    """Make the pipes that the configuration names, with its limits."""
    settings = config.ratelimit
    for pipe in settings.pipes:
        algorithm = number_of(pipe.algorithm or settings.default_algorithm)
        pipe_view.declare(pipes, pipe.name.encode(), pipe.limit, algorithm, 0)


def create_cluster_page(path: Path, config: Config) -> ClusterPage | None:
    """What the clusterer will say; until then nothing is acted for that has a tag."""
    cluster = config.cluster
    if not cluster.is_used:
        return None
    # Until the clocks have been compared they may differ by as much as is ever allowed.
    grace_s = PACE.grace_s + 2 * cluster.max_clock_lead_seconds
    return ClusterPage.create(
        str(path), config.node.id, cluster.tag_names, cluster.numbers, grace_s
    )


def create_sources(path: Path, config: Config) -> Sources | None:
    """The flood guard's table, if there is to be a guard."""
    settings = config.flood
    if not settings.enabled:
        return None
    return Sources.create(
        str(path),
        settings.capacity,
        unit=settings.sampling_time_unit * 1_000,
        density=settings.reqs_density_per_unit,
        seed=secrets.randbits(63),
    )


def prepare_folder(folder: Path) -> None:
    """Make the runtime folder, private to this user, and see that it can be written to."""
    try:
        folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        probe = folder / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise ShmError(f"{folder} cannot be written to: {error.strerror}.") from None


def lock_folder(folder: Path) -> int:
    """Take the folder for this supervisor; its children inherit the lock and hold it as well."""
    path = folder / LOCK
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    deadline = time.monotonic() + LOCK_WAIT_S
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except OSError as error:
            owner = os.pread(fd, 32, 0).decode(errors="replace").strip()
            if error.errno not in {errno.EAGAIN, errno.EACCES}:
                os.close(fd)
                raise ShmError(f"{path} cannot be locked: {error.strerror}.") from None
            if time.monotonic() > deadline:
                os.close(fd)
                raise ShmError(
                    f"{folder} is in use by another sipherd (process {owner})."
                ) from None
            time.sleep(0.01)
    os.ftruncate(fd, 0)
    os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
    return fd


def node_secret(config: Config) -> bytes:
    """The key of deterministic branches: from the configuration, or made once and kept."""
    if config.node.secret is not None:
        return blake2b(config.node.secret.encode(), digest_size=32).digest()
    path = config.node.runtime_dir / SECRET
    try:
        kept = path.read_bytes()
        if len(kept) == 32:
            return kept
    except FileNotFoundError:
        pass
    made = secrets.token_bytes(32)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(made)
    return made


def read_boot_id() -> bytes:
    """Which start of the machine this is: lock words of an earlier one mean nothing."""
    try:
        text = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
    except OSError:
        return b""
    return bytes.fromhex(text.strip().replace("-", ""))


def open_location(folder: Path, config: Config, boot_id: bytes, log: Log) -> LocationTable:
    """The registered phones."""
    capacity = config.location.capacity

    def create(path: Path) -> LocationTable:
        return LocationTable.create(
            str(path),
            capacity,
            seed=secrets.randbits(63),
            boot_id=boot_id,
            created_at=int(time.time()),
        )

    def attach(path: Path) -> LocationTable:
        return LocationTable.attach(str(path), boot_id=boot_id)

    return Lasting(create, attach, bindings_in).open(folder / LOCATION, capacity, log)


def open_destinations(
    folder: Path, config: Config, boot_id: bytes, log: Log
) -> DestinationTable | None:
    """What is known of gateways; None where nobody else has to know it."""
    if not config.replicates("destinations"):
        return None
    capacity = bounds.DESTINATIONS

    def create(path: Path) -> DestinationTable:
        return DestinationTable.create(
            str(path),
            capacity,
            seed=secrets.randbits(63),
            boot_id=boot_id,
            created_at=int(time.time()),
        )

    def attach(path: Path) -> DestinationTable:
        return DestinationTable.attach(str(path), boot_id=boot_id)

    return Lasting(create, attach, live_destinations).open(folder / DESTINATIONS, capacity, log)


def private_location(config: Config, name: str) -> LocationTable:
    """A small table of one process, gone with it: what it has fetched from a database."""
    path = config.node.runtime_dir / f"{name}.private"
    path.unlink(missing_ok=True)
    table = LocationTable.create(str(path), PRIVATE_RECORDS, bytes_per_aor=2_048)
    path.unlink()
    return table


def bindings_in(payload: bytes) -> int:
    """What a stored record counts for in its table."""
    from proxy.registrar.record import binding_count, units_of

    return units_of(payload, binding_count(payload))


def live_destinations(body: bytes) -> int:
    """What a stored state of a destination counts for in its table."""
    return int(payload_of(body) is not None)
