"""Nodes of one cluster behind links that can be spoilt, with a wall clock that can be turned."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import zmq

from loadtests import processes
from loadtests.bad_links import Links, link_address
from loadtests.namespaces import static_address
from loadtests.servers import DOMAIN, ServerFailed, Sipherd, wait_until
from proxy.errors import SipherdError
from workers.control_client import ask

SHIM: Final = Path(__file__).with_name("shifted_clock.c")
PORT: Final = 7100
SETTINGS: Final = """
[node]
id = {id}
domains = ["{domain}"]
secret = "the nodes of this test share it"
runtime_dir = "var"
[listen]
udp = ["{address}:5060", "127.0.0.1:5060"]
[workers]
udp = 2
drain_seconds = 1
[registrar]
min_expires = 1
[location]
capacity = {capacity}
[cluster]
bind = "tcp://{link}:{port}"
peers = {{ {peers} }}
peer_keys = {{ {keys} }}
key_file = "cluster.key"
contents = ["location"]
seed = {seed}
seed_fallback_interval = 1
{more}
"""


def build_shim(folder: Path) -> Path:
    """The library that turns clocks, compiled."""
    library = folder / "shifted_clock.so"
    flags = ["-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    subprocess.run(["cc", *flags, "-o", str(library), str(SHIM), "-ldl"], check=True)
    return library


class FaultNode(Sipherd):
    """One node, in its namespace."""

    def __init__(self, links: Links, folder: Path, number: int, shim: Path) -> None:
        folder.mkdir()
        super().__init__(folder, port=5060)
        self.links, self.number, self.shim = links, number, shim
        self.host = static_address(number)
        self.clock = folder / "clock"
        self.turn_clock(0)

    def configure(self, keys: dict[int, tuple[str, str]], capacity: int, more: str) -> None:
        """Write the configuration; `keys` are the public and the secret one of each node."""
        secret = self.directory / "cluster.key"
        secret.write_text(keys[self.number][1])
        secret.chmod(0o600)
        others = [number for number in keys if number != self.number]
        settings = SETTINGS.format(
            id=self.number,
            domain=DOMAIN,
            address=self.host,
            capacity=capacity,
            link=link_address(self.number),
            port=PORT,
            peers=", ".join(f'{n} = "tcp://{link_address(n)}:{PORT}"' for n in others),
            keys=", ".join(f'{n} = "{keys[n][0]}"' for n in others),
            seed=str(self.number == 1).lower(),
            more=more,
        )
        self.config_path.write_text(settings)

    def command(self) -> list[str]:
        clock = [f"LD_PRELOAD={self.shim}", f"CLOCK_SHIFT_FILE={self.clock}"]
        return self.links.within(self.number, ["env", *clock, *super().command()])

    def wait_ready(self, deadline: float) -> None:
        """Wait until the control socket answers."""
        while time.monotonic() < deadline:
            if self.process is None or self.process.poll() is not None:
                break
            if self.status():
                return
            time.sleep(0.05)
        raise ServerFailed(f"node {self.number} does not start:\n{self.log[-4000:]}")

    def ask(self, method: str, **params: object) -> Any:
        """As `sipherd ctl`, which would take longer to start; None: nobody answers."""
        try:
            return ask(self.runtime_dir, method, params).get("result")
        except SipherdError:
            return None

    def status(self) -> dict[str, Any]:
        """What the clusterer says of its cluster; {}: nothing."""
        clusters = (self.ask("cluster_status") or {}).get("Clusters", [])
        return dict(clusters[0]) if clusters else {}

    def contacts(self) -> dict[str, int]:
        """The CSeq of each user's contact; their number if there are several."""
        found = {}
        for domain in (self.ask("ul_dump") or {}).get("Domains", []):
            for row in domain["AORs"]:
                contacts = row["Contacts"]
                cseq = contacts[0]["Cseq"] if len(contacts) == 1 else -len(contacts)
                found[row["AOR"].partition("@")[0]] = cseq
        return found

    # -- faults ------------------------------------------------------------------------------------

    def turn_clock(self, milliseconds: int) -> None:
        """The wall clock of all its processes is off by this from now on."""
        if not self.clock.exists():
            self.clock.write_bytes(bytes(8))
        with self.clock.open("r+b") as file:
            file.write(struct.pack("<q", milliseconds))

    def kinds(self) -> dict[str, list[int]]:
        """Process ids by what they are, the supervisor among them."""
        found = {"supervisor": [self.pid]}
        for pid in processes.children(self.pid):
            kind = processes.title(pid).partition("sipherd: ")[2].rstrip(" 0123456789")
            found.setdefault(kind.partition(" (")[0], []).append(pid)
        return found

    def signal_all(self, number: int) -> None:
        """SIGSTOP or SIGCONT for the whole tree."""
        for pid in processes.tree(self.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def freeze(self) -> None:
        """No process of it does anything any more."""
        self.signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        """They go on."""
        self.signal_all(signal.SIGCONT)

    def forget_everything(self) -> None:
        """Its tables are gone; only while it does not run."""
        for path in self.runtime_dir.iterdir():
            path.unlink()


def make_nodes(
    links: Links, folder: Path, capacity: int = 10_000, more: str = ""
) -> list[FaultNode]:
    """All nodes, configured and not yet started."""
    shim = build_shim(folder)
    keys = {}
    for number in links.nodes:
        public, secret = zmq.curve_keypair()
        keys[number] = (public.decode(), secret.decode())
    nodes = [FaultNode(links, folder / f"node-{n}", n, shim) for n in links.nodes]
    for node in nodes:
        node.configure(keys, capacity, more)
    return nodes


def are_equal(nodes: list[FaultNode]) -> bool:
    """Whether all say that they are synced, and have the same digest."""
    found = [node.status() for node in nodes]
    return all(each.get("synced") for each in found) and len({s["digest"] for s in found}) == 1


def settle(nodes: list[FaultNode], patience: float = 30.0) -> None:
    """Wait until all nodes hold the same."""
    if not wait_until(lambda: are_equal(nodes), patience, 0.1):
        raise ServerFailed(f"the nodes do not agree: {[node.status() for node in nodes]}")
