"""Two nodes that listen on one address, each in a namespace of its own."""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

from loadtests.namespaces import VIRTUAL, Network, static_address
from loadtests.servers import DOMAIN, ServerFailed, Sipherd

POLICY = """
from proxy.routing.request import Request


async def on_request(request: Request) -> None:
    if request.method == "REGISTER":
        request.save()
    elif request.in_dialog:
        request.relay()
    elif request.method == "INVITE":
        kind = request.message.call_id.partition(b"-")[0]
        flags = "Pp" if kind == b"pinged" else ""
        request.create_dialog(flags, timeout=LIFETIME if kind == b"forever" else 0)
        request.join_profile("kind", kind.decode())
        if request.join_profile("all", limit=CAP):
            request.relay(request.lookup())
        else:
            request.reply(486, "Too many calls")
    else:
        request.reply(200)
"""
SETTINGS = """
[node]
id = {id}
domains = ["{domain}"]
secret = "the two nodes of this test share it"
runtime_dir = "var"
[listen]
udp = ["{virtual}:5060"]
[workers]
udp = 2
drain_seconds = 1
[location]
capacity = 1_000
sharing_tag = "vip"
[routing]
script = "policy.py"
[dialog]
enabled = true
capacity = {capacity}
profiles = ["kind"]
profiles_no_value = ["all"]
delete_delay = 2
options_ping_interval = 1
cdr_file = "cdr.jsonl"
sharing_tag = "vip"
[cluster]
bind = "tcp://{own}:6300"
peers = {{ {other_id} = "tcp://{other}:6300" }}
tags = {{ vip = {{ address = "{virtual}" }} }}
insecure = true
seed = true
seed_fallback_interval = 1
"""


class Node(Sipherd):
    """One node, in its namespace."""

    def __init__(self, network: Network, folder: Path, number: int, calls: int, life: int) -> None:
        super().__init__(folder, port=5060)
        self.network, self.number = network, number
        other = 3 - number
        settings = SETTINGS.format(
            id=number,
            other_id=other,
            own=static_address(number),
            other=static_address(other),
            virtual=VIRTUAL,
            domain=DOMAIN,
            capacity=max(64, 4 * calls),
        )
        self.config_path.write_text(settings)
        policy = POLICY.replace("LIFETIME", str(life)).replace("CAP", str(calls))
        (folder / "policy.py").write_text(policy)

    def command(self) -> list[str]:
        return self.network.within(self.number, super().command())

    def wait_ready(self, deadline: float) -> None:
        """Wait until the control socket answers."""
        while time.monotonic() < deadline:
            if self.process is None or self.process.poll() is not None:
                break
            try:
                self.ctl("get_statistics", statistics="dialog:active_dialogs")
            except ServerFailed:
                time.sleep(0.05)
            else:
                return
        raise ServerFailed(f"node {self.number} does not start:\n{self.log[-4000:]}")

    def is_whole(self) -> bool:
        """Whether it says that it is synced and follows its peer."""
        try:
            clusters = self.ctl("clusterer_list_cap")["Clusters"]
            nodes = self.ctl("clusterer_list")["Clusters"][0]["Nodes"]
        except (ServerFailed, LookupError):
            return False
        states = {cap["state"] for cluster in clusters for cap in cluster["Capabilities"]}
        return states == {"Ok"} and all(node["link_state"] == "Up" for node in nodes)

    def is_active(self) -> bool:
        """Whether it acts for the address."""
        tags = self.ctl("clusterer_list_shtags")
        return any(tag["Tag"].startswith("vip") and tag["State"] == "active" for tag in tags)

    def books(self) -> dict[str, Any]:
        """What it counts."""
        dialogs = self.ctl("dlg_list")
        states = Counter(one["state"] for one in dialogs["Dialogs"])
        counts = self.statistics("dialog:active_dialogs", "dialog:early_dialogs")
        return {
            "dialogs": len(dialogs["Dialogs"]),
            "states": {str(state): count for state, count in sorted(states.items())},
            "active": counts["dialog:active_dialogs"],
            "early": counts["dialog:early_dialogs"],
            "profile": self.ctl("profile_get_size", profile="all")["Profile"]["count"],
        }

    def records(self) -> list[dict[str, Any]]:
        """The lines of its CDR file."""
        path = self.directory / "cdr.jsonl"
        return [json.loads(row) for row in path.read_text().splitlines()] if path.exists() else []
