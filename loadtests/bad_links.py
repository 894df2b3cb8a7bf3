"""Links between nodes that lose packets: a network interface per node, and who carries its packets.

Each node has besides its clean interface (loadtests/namespaces.py) a TUN device, whose packets come
here. A thread passes them on, late, only in one direction, or not at all, so that what a real
network does to TCP happens to the real TCP of the nodes.
"""

from __future__ import annotations

import fcntl
import heapq
import itertools
import os
import random
import select
import struct
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from loadtests.namespaces import Network, NotPermitted

DEVICE: Final = "link0"
TUNSETIFF: Final = 0x400454CA
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000
PACKET_BYTES: Final = 65_536
DESTINATION: Final = slice(16, 20)  # of an IPv4 header
STEP_S: Final = 0.05
Way = tuple[int, int]  # from one node to another


@dataclass(frozen=True)
class Quality:
    """What happens to the packets of one direction."""

    loss: float = 0.0
    delay_ms: float = 0.0


GOOD: Final = Quality()
CUT: Final = Quality(loss=1.0)


def link_address(number: int) -> str:
    """A node's address on the links between nodes."""
    return f"10.78.0.{number}"


class Links(Network):
    """Namespaces whose nodes reach each other over links of a quality that can be set."""

    def __init__(self, nodes: int, seed: int) -> None:
        super().__init__(nodes)
        self.ways = list(itertools.permutations(self.nodes, 2))
        self.quality: dict[Way, Quality] = dict.fromkeys(self.ways, GOOD)
        self.passed = self.lost = 0
        self._chance = random.Random(seed)
        self._devices: dict[int, int] = {}
        self._late: list[tuple[float, int, int, bytes]] = []
        self._numbers = itertools.count()
        self._ended = threading.Event()
        self._carrier = threading.Thread(target=self._carry, name="links")

    def __enter__(self) -> Self:
        super().__enter__()
        try:
            for node in self.nodes:
                self._devices[node] = self._open(node)
        except OSError as error:
            self._close()
            raise NotPermitted(f"no TUN devices here: {error.strerror}") from None
        self._carrier.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._carrier.join()
        self._close()

    def _close(self) -> None:
        for device in self._devices.values():
            os.close(device)
        self._remove()

    def _open(self, node: int) -> int:
        with self.entered(node):
            device = os.open(Path("/dev/net/tun"), os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
            wish = struct.pack("16sH22x", DEVICE.encode(), IFF_TUN | IFF_NO_PI)
            fcntl.ioctl(device, TUNSETIFF, wish)
        self.ip(node, "addr", "add", f"{link_address(node)}/24", "dev", DEVICE)
        self.ip(node, "link", "set", DEVICE, "up")
        return device

    # -- what the links do -------------------------------------------------------------------------

    def set_all(self, quality: Quality) -> None:
        """All directions are like this."""
        self.quality = dict.fromkeys(self.ways, quality)

    def set_between(self, one: int, other: int, quality: Quality) -> None:
        """Both directions between two nodes are like this."""
        self.quality = {**self.quality, (one, other): quality, (other, one): quality}

    def set_way(self, source: int, target: int, quality: Quality) -> None:
        """One direction is like this."""
        self.quality = {**self.quality, (source, target): quality}

    # -- the carrier -------------------------------------------------------------------------------

    def _carry(self) -> None:
        source_of = {device: node for node, device in self._devices.items()}
        target_of = {bytes(map(int, link_address(n).split("."))): n for n in self.nodes}
        poller = select.poll()
        for device in source_of:
            poller.register(device, select.POLLIN)
        while not self._ended.is_set():
            for device, _ in poller.poll(self._wait_ms()):
                with suppress(OSError):
                    while packet := os.read(device, PACKET_BYTES):
                        target = target_of.get(packet[DESTINATION])
                        if target is not None:
                            self._take((source_of[device], target), packet)
            while self._late and self._late[0][0] <= time.monotonic():
                _, _, target, packet = heapq.heappop(self._late)
                self._deliver(target, packet)

    def _wait_ms(self) -> int:
        if not self._late:
            return int(STEP_S * 1_000)
        return max(0, min(int((self._late[0][0] - time.monotonic()) * 1_000), 50))

    def _take(self, way: Way, packet: bytes) -> None:
        quality = self.quality.get(way, CUT)
        if self._chance.random() < quality.loss:
            self.lost += 1
        elif quality.delay_ms:
            due = time.monotonic() + self._chance.uniform(0.5, 1.5) * quality.delay_ms / 1_000
            heapq.heappush(self._late, (due, next(self._numbers), way[1], packet))
        else:
            self._deliver(way[1], packet)

    def _deliver(self, target: int, packet: bytes) -> None:
        with suppress(OSError):  # a device that is full loses packets, too
            os.write(self._devices[target], packet)
            self.passed += 1
