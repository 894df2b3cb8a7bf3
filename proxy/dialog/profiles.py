"""Profiles: named sets of dialogs, with a value or without (OpenSIPS' dialog profiles).

Their size is the number of live dialogs in them, because they hold members and no counter. A peer's
members are a number that it has said and that runs out when it is not said again.
"""

from __future__ import annotations

from proxy.errors import ProfileUnknown
from proxy.limits.bounds import PROFILE_VALUE_BYTES
from proxy.shm.profile_table import ProfileTable


class Profiles:
    """The declared profiles of this node over their shared table."""

    def __init__(
        self, table: ProfileTable, with_value: tuple[str, ...], no_value: tuple[str, ...]
    ) -> None:
        self.table = table
        self.with_value = tuple(name.encode() for name in with_value)
        self.names = {name.encode(): True for name in with_value}
        self.names.update({name.encode(): False for name in no_value})

    def key(self, name: bytes, value: bytes) -> bytes:
        """The key of a profile's group; ProfileUnknown when there is no such profile or value."""
        takes_value = self.names.get(name)
        if takes_value is None:
            raise ProfileUnknown(f"[dialog] declares no profile {name.decode('ascii', 'replace')}")
        if takes_value != (len(value) > 0):
            wants = "needs a value" if takes_value else "takes no value"
            raise ProfileUnknown(f"the profile {name.decode('ascii', 'replace')} {wants}")
        if len(value) > PROFILE_VALUE_BYTES:
            raise ProfileUnknown(f"a value of a profile has at most {PROFILE_VALUE_BYTES} bytes")
        return name + b"\0" + value

    def size(self, name: bytes, value: bytes | None, now: int) -> int:
        """How many dialogs are in it; without a value in all values together."""
        if not value and self.names.get(name):
            return sum(own + others for _, own, others in self.table.counts(name + b"\0", now))
        return self.table.size(self.key(name, value or b""), now)

    def values(self, name: bytes, now: int) -> list[tuple[bytes, int]]:
        """Every value with its size; of a profile without value one row, its value empty."""
        if name not in self.names:
            raise ProfileUnknown(f"[dialog] declares no profile {name.decode('ascii', 'replace')}")
        return [
            (key[len(name) + 1 :], own + others)
            for key, own, others in self.table.counts(name + b"\0", now)
        ]

    def members(self, name: bytes, value: bytes) -> list[bytes]:
        """The ids, 16 bytes each, of the dialogs of this node that are in it."""
        return self.table.list_members(self.key(name, value))


def did_words(did: bytes) -> str:
    """The text of an id that is stored as 16 bytes."""
    number = int.from_bytes
    return (
        f"{number(did[12:14], 'little'):x}.{number(did[8:12], 'little'):x}"
        f".{number(did[:8], 'little'):x}"
    )
