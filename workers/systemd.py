"""What is told to the service manager (systemd's sd_notify), and what it hands down.

Told: ready, reloading, stopping, alive. Handed down: the sockets that a supervisor which was
killed had given it to keep, with the datagrams that have come since.
"""

from __future__ import annotations

import array
import contextlib
import os
import socket
import time
from collections.abc import Mapping, MutableMapping
from typing import Final

FIRST_FD: Final = 3
WATCHDOGS_PER_PERIOD: Final = 2
MOST_FDS: Final = 253  # in one message: the kernel's SCM_MAX_FD


class ServiceManager:
    """The way to the service manager; without one it swallows everything."""

    def __init__(self, address: str = "", watchdog_s: float = 0.0) -> None:
        self.environment = (
            {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": str(round(watchdog_s * 1e6))}
            if address
            else {}
        )
        self.watchdog_s = watchdog_s / WATCHDOGS_PER_PERIOD
        self._socket: socket.socket | None = None
        if address:
            made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            made.setblocking(False)
            try:
                made.connect("\0" + address[1:] if address.startswith("@") else address)
            except OSError:
                made.close()
            else:
                self._socket = made

    @classmethod
    def from_environment(cls, environment: MutableMapping[str, str]) -> ServiceManager:
        """As the service manager has told us by the environment, which children need not see."""
        address = environment.pop("NOTIFY_SOCKET", "")
        watched = environment.pop("WATCHDOG_PID", "") in ("", str(os.getpid()))
        period = environment.pop("WATCHDOG_USEC", "0")
        return cls(address, int(period) / 1e6 if watched and period.isdigit() else 0.0)

    def ready(self, status: str) -> None:
        """Everything is up; also: it is again, after reloading()."""
        self._tell(f"READY=1\nSTATUS={status}")

    def says(self, status: str) -> None:
        """What is going on, for who asks."""
        self._tell(f"STATUS={status}")

    def reloading(self) -> None:
        """A reload has begun."""
        self._tell(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1_000}")

    def stopping(self) -> None:
        """The end has begun."""
        self._tell("STOPPING=1")

    def alive(self) -> None:
        """All processes give signs of life."""
        self._tell("WATCHDOG=1")

    def keep(self, name: str, fds: list[int]) -> None:
        """Keep these for whoever comes after us."""
        for start in range(0, len(fds), MOST_FDS):
            rights = array.array("i", fds[start : start + MOST_FDS])
            self._tell(
                f"FDSTORE=1\nFDNAME={name}", [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)]
            )

    def forget(self, name: str) -> None:
        """What was kept under this name is needed no more."""
        self._tell(f"FDSTOREREMOVE=1\nFDNAME={name}")

    def _tell(self, text: str, ancillary: list[tuple[int, int, array.array[int]]] = []) -> None:  # noqa: B006
        if self._socket is not None:
            with contextlib.suppress(OSError):  # it is too busy, or gone: nobody to tell
                self._socket.sendmsg([text.encode()], ancillary)


def handed_down(environment: MutableMapping[str, str]) -> dict[str, list[int]]:
    """The descriptors that the service manager has kept, by name; this process's from now on."""
    pid, count = environment.pop("LISTEN_PID", ""), environment.pop("LISTEN_FDS", "")
    names = environment.pop("LISTEN_FDNAMES", "").split(":")
    found: dict[str, list[int]] = {}
    if pid != str(os.getpid()) or not count.isdigit():
        return found
    for number in range(int(count)):
        fd = FIRST_FD + number
        os.set_inheritable(fd, False)
        found.setdefault(names[number] if number < len(names) else "", []).append(fd)
    return found


def let_go(fds: Mapping[str, list[int]]) -> None:
    """Close what was handed down and is not wanted."""
    for each in fds.values():
        for fd in each:
            os.close(fd)
