"""Real servers that are nodes of one cluster, and what tests ask of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from process_harness import SETTINGS, Server, is_alive, wait_for

from loadtests.ports import free_port

Make = Callable[..., Server]

HEAD = """
[node]
id = NODE
secret = "0123456789abcdef"
domains = ["example.com"]
"""
CLUSTER = """
[cluster]
bind = "tcp://127.0.0.NODE:CLUSTER_PORT"
beat_ms = 50
silence_ms = 1500
seed_fallback_interval = 0
tags = { vip = "backup" }
"""


class Pair:
    """Makes nodes of one cluster; `more` is what [cluster] says besides."""

    def __init__(self, make: Make) -> None:
        self.make = make
        self.port = free_port(2)  # of messages, and of beats
        self.secret = "0123456789abcdef"

    def node(self, number: int, peers: str, more: str = "insecure = true") -> Server:
        text = SETTINGS.replace('[node]\nruntime_dir = "var"', HEAD.strip())
        text = text.replace("0123456789abcdef", self.secret)
        text += CLUSTER + f"peers = {{ {peers} }}\nseed = {str(number == 1).lower()}\n{more}\n"
        text = text.replace("CLUSTER_PORT", str(self.port)).replace("NODE", str(number))
        return self.make(text, "sip")

    def url(self, number: int) -> str:
        return f'{number} = "tcp://127.0.0.{number}:{self.port}"'


def both(one: Server, other: Server) -> tuple[Server, Server]:
    one.start()
    other.start()
    wait_for(lambda: status(one)["synced"] and status(other)["synced"], 20)
    return one, other


def status(server: Server) -> dict[str, Any]:
    found: list[dict[str, Any]] = server.ctl("cluster_status")["Clusters"]
    return found[0] if found else {"synced": False, "digest": "", "records": 0}


def peer_of(server: Server) -> dict[str, Any]:
    """The other node as the first one of a pair lists it."""
    found: dict[str, Any] = server.ctl("clusterer_list")["Clusters"][0]["Nodes"][0]
    return found


def statistic(server: Server, name: str) -> int:
    return int(server.ctl("get_statistics", [f"sipherd:cluster_{name}"])[f"sipherd:cluster_{name}"])


def register(server: Server, user: str, cseq: int = 1, expires: int = 600) -> bytes:
    with server.client() as phone:
        port = phone.getsockname()[1]
        phone.send(
            f"REGISTER sip:example.com SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bK{user}{cseq}\r\n"
            f"From: <sip:{user}@example.com>;tag=1\r\nTo: <sip:{user}@example.com>\r\n"
            f"Call-ID: {user}\r\nCSeq: {cseq} REGISTER\r\nMax-Forwards: 70\r\n"
            f"Contact: <sip:{user}@127.0.0.1:5999>\r\nExpires: {expires}\r\n"
            f"Content-Length: 0\r\n\r\n".encode()
        )
        answer = phone.recv(4_096)
    assert answer.startswith(b"SIP/2.0 200"), answer
    return answer


def knows(server: Server, user: str) -> bool:
    return any(row["AOR"].startswith(f"{user}@") for row in phones(server))


def phones(server: Server) -> list[dict[str, Any]]:
    domains = server.ctl("ul_dump")["Domains"]
    return [row for domain in domains for row in domain["AORs"]]


def are_equal(one: Server, other: Server) -> bool:
    first, second = status(one), status(other)
    return bool(first["digest"] == second["digest"] and first["synced"] and second["synced"])


def clusterer(server: Server) -> int:
    """The process, once a dead one has been replaced."""

    def found() -> int:
        pid = server.children().get("clusterer", 0)
        return pid if pid and is_alive(pid) else 0

    return int(wait_for(found))
