"""Two nodes of one cluster on this machine: node 1 on 127.0.0.1, node 2 on 127.0.0.2."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import zmq

from loadtests.ports import free_port
from loadtests.servers import Sipherd
from workers.control_client import ask

Status = dict[str, Any]


class ClusterNode(Sipherd):
    """One sipherd that shares its registrations."""

    def __init__(self, directory: Path, number: int, capacity: int, settings: str = "") -> None:
        self.number = number
        directory.mkdir()
        super().__init__(directory, capacity=capacity, settings=settings)
        self.host = f"127.0.0.{number}"

    def share(
        self,
        capacity: int,
        port: int,
        keys: dict[int, tuple[str, str]],
        settings: str = "",
        contents: Sequence[str] = ("location",),
    ) -> None:
        """Write the configuration: all nodes use `port`, and know each other's public keys."""
        secret = self.directory / "cluster.key"
        secret.write_text(keys[self.number][1])
        secret.chmod(0o600)
        others = [number for number in keys if number != self.number]
        peers = ", ".join(f'{n} = "tcp://127.0.0.{n}:{port}"' for n in others)
        known = ", ".join(f'{n} = "{keys[n][0]}"' for n in others)
        text = self._config(capacity).replace("id = 1\n", f"id = {self.number}\n", 1)
        self.config_path.write_text(
            f"{text}[cluster]\nid = 1\nseed = {json.dumps(self.number == 1)}\n"
            f'bind = "tcp://127.0.0.{self.number}:{port}"\npeers = {{ {peers} }}\n'
            f"peer_keys = {{ {known} }}\nkey_file = {json.dumps(str(secret))}\n"
            f"contents = {json.dumps(contents)}\n{settings}"
        )

    def status(self) -> Status:
        """What the clusterer says of its one cluster."""
        answer = ask(self.runtime_dir, "cluster_status", {})
        found: list[Status] = answer.get("result", {}).get("Clusters", [])
        return found[0] if found else {}

    def registered(self) -> int:
        """How many phones its table has."""
        answer = ask(self.runtime_dir, "get_statistics", {"statistics": ["registered_users"]})
        return int(answer["result"]["usrloc:registered_users"])


def make_pair(
    folder: Path,
    capacity: int,
    settings: Sequence[str] = ("", ""),
    contents: Sequence[str] = ("location",),
) -> tuple[ClusterNode, ClusterNode]:
    """Both nodes, configured and not yet started; `settings` of each besides the usual ones."""
    keys = {}
    for number in (1, 2):
        public, secret = zmq.curve_keypair()
        keys[number] = (public.decode(), secret.decode())
    port = free_port(2)
    first, second = (ClusterNode(folder / f"node-{n}", n, capacity) for n in (1, 2))
    for node, more in zip((first, second), settings, strict=True):
        node.share(capacity, port, keys, more, contents)
    return first, second
