"""A Galera cluster of MariaDB servers on this machine, and haproxy in front of them."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from loadtests.mariadb import MariaDb
from loadtests.ports import free_port

PROVIDERS = ("/usr/lib/galera/libgalera_smm.so", "/usr/lib/libgalera_smm.so")
START_S, SYNCED_S = 10.0, 60.0
SYNC_WAIT = "SET%20SESSION%20wsrep_sync_wait=3"  # what was committed elsewhere is waited for
# How soon the others agree that a silent one is gone; Galera's own times are some five seconds.
PATIENCE = (
    "evs.keepalive_period=PT0.3S;evs.suspect_timeout=PT1.5S;evs.inactive_check_period=PT0.3S;"
    "evs.inactive_timeout=PT3S;evs.install_timeout=PT3S"
)
HAPROXY = """global
    stats socket {folder}/haproxy.stats
defaults
    mode tcp
    timeout connect 1s
    timeout client 1h
    timeout server 1h
listen database
    bind 127.0.0.1:{port}
    balance roundrobin
    option tcp-check
    default-server inter 200ms fall 2 rise 2 on-marked-down shutdown-sessions
{servers}
"""


def provider() -> str:
    """Where Debian's package galera-4 has put its library; "" when it is not there."""
    return next((path for path in PROVIDERS if Path(path).exists()), "")


class GaleraNode(MariaDb):
    """One server of a cluster; it must be told who the others are before it starts."""

    def __init__(self, folder: Path, address: str) -> None:
        super().__init__(folder)
        if os.geteuid() == 0:  # as root, rsync would write as nobody
            for place in (folder, *folder.rglob("*")):
                shutil.chown(place, "mysql")
            self.user = ["--user=mysql"]
        self.address_here = f"{address}:{free_port()}"
        self.transfer = f"{address}:{free_port()}"
        self.increment = f"{address}:{free_port()}"

    def join(self, peers: list[str]) -> None:
        """Be one of these; the first start of a cluster has none."""
        host = self.address_here.partition(":")[0]
        self.options = (
            "--wsrep-on=ON",
            f"--wsrep-provider={provider()}",
            "--wsrep-cluster-name=loadtest",
            f"--wsrep-cluster-address=gcomm://{','.join(peers)}",
            f"--wsrep-node-address={host}",
            f"--wsrep-node-name={host}",
            "--wsrep-sst-method=rsync",
            f"--wsrep-sst-receive-address={self.transfer}",
            f"--wsrep-provider-options=gmcast.listen_addr=tcp://{self.address_here};"
            f"ist.recv_addr={self.increment};{PATIENCE}",
            "--binlog-format=ROW",
            "--innodb-autoinc-lock-mode=2",
            *(() if peers else ("--wsrep-new-cluster",)),
        )

    def status(self, name: str) -> str:
        """One of Galera's own figures; "" when the server does not answer."""
        try:
            return self.sql(f"SHOW STATUS LIKE 'wsrep_{name}'").partition("\t")[2].strip()
        except subprocess.CalledProcessError:
            return ""

    def _answers(self) -> bool:
        return self.status("ready") == "ON" and self.status("local_state_comment") == "Synced"


class Cluster:
    """So many servers, and the port at which haproxy spreads connections over them."""

    def __init__(self, folder: Path, size: int) -> None:
        folder.chmod(0o755)
        self.folder = folder
        self.port = free_port()
        self.nodes: list[GaleraNode] = []
        self.haproxy: subprocess.Popen[bytes] | None = None
        for number in range(1, size + 1):
            place = folder / f"node{number}"
            place.mkdir()
            self.nodes.append(GaleraNode(place, f"127.0.0.{10 + number}"))

    def start(self) -> None:
        """All servers, one after the other, and haproxy."""
        for number, node in enumerate(self.nodes):
            node.join([peer.address_here for peer in self.nodes[:number]])
            node.start()
        servers = "\n".join(
            f"    server node{number} 127.0.0.1:{node.port} check"
            for number, node in enumerate(self.nodes, 1)
        )
        file = self.folder / "haproxy.cfg"
        file.write_text(HAPROXY.format(folder=self.folder, port=self.port, servers=servers))
        with (self.folder / "haproxy.log").open("ab") as log:
            words = ["haproxy", "-db", "-f", str(file)]
            self.haproxy = subprocess.Popen(words, stdout=log, stderr=log)
        deadline = time.monotonic() + START_S
        while not self._is_open():
            assert time.monotonic() < deadline, "haproxy does not listen"
            time.sleep(0.05)

    def _is_open(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def kill(self, number: int) -> None:
        """End a server at once."""
        self.nodes[number].signal(signal.SIGKILL)

    def revive(self, number: int) -> None:
        """Start it again: it gets what it has missed from the others."""
        node = self.nodes[number]
        node.join([peer.address_here for peer in self.nodes if peer is not node])
        node.start()

    def url(self, database: str) -> str:
        """The database by way of haproxy; what another server has committed is waited for."""
        node = self.nodes[0]
        direct = node.url(database)
        return direct.replace(f":{node.port}/", f":{self.port}/") + "?init_command=" + SYNC_WAIT

    def conflicts(self) -> int:
        """Transactions that lost against another server's, refused or broken off."""
        names = ("local_cert_failures", "local_bf_aborts")
        return sum(int(node.status(name) or 0) for node in self.nodes for name in names)

    def wait_synced(self) -> None:
        """Until all that are up have everything."""
        deadline = time.monotonic() + SYNCED_S
        for node in self.nodes:
            while node.status("local_recv_queue") not in {"0", ""}:
                assert time.monotonic() < deadline, "a server of the cluster does not catch up"
                time.sleep(0.05)

    def stop(self) -> None:
        """End all of it."""
        if self.haproxy is not None:
            self.haproxy.kill()
            self.haproxy.wait()
        for node in self.nodes:
            node.stop()


SYNC_WAIT = (
    "SET%20SESSION%20wsrep_sync_wait=3"  # reads and writes first wait for what was committed
)


def is_installed() -> bool:
    """Whether the cluster can be started on this machine."""
    return bool(provider() and shutil.which("haproxy") and shutil.which("rsync"))
