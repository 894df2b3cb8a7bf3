"""The shared files of tracked calls: the dialogs, which outlive the server, and the profiles.

The profiles' file is made anew at every start, from what the dialogs say they are in.
"""

from __future__ import annotations

import secrets
import time
from pathlib import Path
from typing import Final

from proxy.dialog.decoded import DialogRecord, decode
from proxy.dialog.due import Intervals
from proxy.dialog.layout import AT_STATE
from proxy.dialog.profiles import Profiles
from proxy.dialog.record import did_of, units_of
from proxy.dialog.states import State
from proxy.errors import CorruptRecord, TableFull
from proxy.limits.bounds import DIALOG_PROFILES
from proxy.shm.dialog_table import DialogTable
from proxy.shm.profile_table import ProfileTable
from workers.cluster_settings import hearing_profiles
from workers.lasting import Lasting
from workers.logs import Log
from workers.settings import Config, Dialog

DIALOGS: Final = "dialogs.table"
PROFILES: Final = "profiles.table"
SCAN_BATCH: Final = 1_000


def intervals_of(settings: Dialog) -> Intervals:
    """When somebody has to look at a call, as the configuration says."""
    return Intervals(
        options_ping=settings.options_ping_interval,
        reinvite_ping=settings.reinvite_ping_interval,
        race_condition=settings.race_condition_timeout,
        delete_delay=settings.delete_delay,
    )


def open_dialogs(
    folder: Path, config: Config, boot_id: bytes, log: Log
) -> tuple[DialogTable | None, ProfileTable | None]:
    """Both tables; None where calls are not tracked."""
    settings = config.dialog
    (folder / PROFILES).unlink(missing_ok=True)
    if not settings.enabled:
        return None, None

    def create(path: Path) -> DialogTable:
        return DialogTable.create(
            str(path),
            settings.capacity,
            seed=secrets.randbits(63),
            boot_id=boot_id,
            created_at=int(time.time()),
        )

    def attach(path: Path) -> DialogTable:
        return DialogTable.attach(str(path), boot_id=boot_id)

    table = Lasting(create, attach, units_in).open(folder / DIALOGS, settings.capacity, log)
    table.begin_epoch(int(time.time()))
    return table, make_profiles(folder / PROFILES, config, table, log)


def units_in(payload: bytes) -> int:
    """What a stored dialog counts for in its table's gauges."""
    return units_of(payload[AT_STATE])


def make_profiles(path: Path, config: Config, table: DialogTable, log: Log) -> ProfileTable:
    """Room for every dialog in every profile, and in it the dialogs that there are."""
    settings = config.dialog
    capacity = max(settings.capacity, table.capacity)
    values = min(len(settings.profiles), DIALOG_PROFILES)
    if hearing_profiles(config):  # values that only other nodes have calls in need room as well
        values *= 2
    both = min(len(settings.profiles) + len(settings.profiles_no_value), DIALOG_PROFILES)
    profiles = ProfileTable.create(
        str(path), values * capacity * 3 // 2, both * capacity * 2, seed=secrets.randbits(63)
    )
    declared = Profiles(profiles, settings.profiles, settings.profiles_no_value)
    joined = fill(profiles, declared, table)
    if joined:
        log.info("profiles filled", members=joined)
    return profiles


def fill(profiles: ProfileTable, declared: Profiles, table: DialogTable) -> int:
    """Enter every live dialog into what it says it is in; how many memberships there are."""
    cursor = joined = 0
    now = int(time.time())
    while True:
        records, cursor = table.scan(cursor, SCAN_BATCH)
        for key, payload in records:
            try:
                record = decode(key, payload)
            except CorruptRecord:
                continue
            joined += join_profiles(
                profiles, declared, record, did_of(payload), table.hash_of(key), now
            )
        if cursor == 0:
            return joined


def join_profiles(
    profiles: ProfileTable,
    declared: Profiles,
    record: DialogRecord,
    did: bytes,
    hash32: int,
    now: int,
) -> int:
    """Enter one dialog into what it says it is in, if it is not; how many profiles that are."""
    joined = 0
    for name, value in record.profiles if record.state != State.DELETED else ():
        if declared.names.get(name) == (len(value) > 0):
            try:
                profiles.join(name + b"\0" + value, did, hash32, 0, now, True)
            except TableFull:
                continue
            joined += 1
    return joined
