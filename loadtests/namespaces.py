"""Machines of one host: network namespaces on one bridge, and an address that moves between them.

The telephones' namespace holds the bridge. Each node has one interface there, with an address that
it always has; the virtual address is on one of them at a time, and moves as keepalived moves it.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

PHONES: Final = "phones"
HERE: Final = "10.77.0.1"  # the telephones
VIRTUAL: Final = "10.77.0.10"
FOLDER: Final = Path("/run/netns")
CLONE_NEWNET: Final = 0x40000000


NOT_PERMITTED: Final = 77  # exit status of a run that needs them; argparse has 2


class NotPermitted(Exception):
    """This process may not make namespaces; the text says why."""


def static_address(number: int) -> str:
    """The address that node `number` always has."""
    return f"10.77.0.{100 + number}"


class Network:
    """The telephones' namespace and one for each node; `with` makes and removes them."""

    def __init__(self, nodes: int = 2) -> None:
        self.prefix = f"sipherd{os.getpid()}"
        self.nodes = range(1, nodes + 1)
        self.holder = 0  # of the virtual address

    def name(self, who: int | str) -> str:
        """The namespace of a node, or of the telephones."""
        return f"{self.prefix}-{who}"

    def __enter__(self) -> Self:
        try:
            self._build()
        except subprocess.CalledProcessError as error:
            self._remove()
            raise NotPermitted(f"no network namespaces here: {error.stderr.strip()}") from None
        except FileNotFoundError:
            raise NotPermitted("no network namespaces here: ip is missing (iproute2)") from None
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._remove()

    def _build(self) -> None:
        for who in (PHONES, *self.nodes):
            ip("netns", "add", self.name(who))
            self.ip(who, "link", "set", "lo", "up")
        self.ip(PHONES, "link", "add", "br0", "type", "bridge")
        self.ip(PHONES, "addr", "add", f"{HERE}/24", "dev", "br0")
        self.ip(PHONES, "link", "set", "br0", "up")
        for node in self.nodes:
            port = f"node{node}"
            peer = ["peer", "name", "eth0", "netns", self.name(node)]
            self.ip(PHONES, "link", "add", port, "type", "veth", *peer)
            self.ip(PHONES, "link", "set", port, "master", "br0", "up")
            self.ip(node, "addr", "add", f"{static_address(node)}/24", "dev", "eth0")
            self.ip(node, "link", "set", "eth0", "up")

    def _remove(self) -> None:
        for who in (PHONES, *self.nodes):
            with suppress(subprocess.CalledProcessError, FileNotFoundError):
                ip("netns", "del", self.name(who))

    def ip(self, who: int | str, *words: str) -> None:
        """`ip` in a namespace."""
        ip("-n", self.name(who), *words)

    def within(self, who: int | str, command: Sequence[str]) -> list[str]:
        """The command line that runs `command` in a namespace."""
        return ["ip", "netns", "exec", self.name(who), *command]

    def move_to(self, node: int) -> None:
        """The virtual address goes to a node, and the telephones learn of it."""
        if self.holder:
            self.ip(self.holder, "addr", "del", f"{VIRTUAL}/24", "dev", "eth0")
        self.ip(node, "addr", "add", f"{VIRTUAL}/24", "dev", "eth0")
        # as the gratuitous ARP of whoever moves addresses makes them
        self.ip(PHONES, "neigh", "flush", "to", VIRTUAL)
        self.holder = node

    @contextmanager
    def entered(self, who: int | str) -> Iterator[None]:
        """This thread is in a namespace: the sockets that it opens are."""
        with Path("/proc/thread-self/ns/net").open("rb") as before:
            with (FOLDER / self.name(who)).open("rb") as there:
                enter(there.fileno())
            try:
                yield
            finally:
                enter(before.fileno())


def ip(*words: str) -> None:
    """`ip` of iproute2."""
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


def enter(descriptor: int) -> None:
    """setns(2), which Python has from 3.12 on."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")
