"""What befalls a cluster: each fault lasts some seconds, and is over when its function returns."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from loadtests.bad_links import CUT, GOOD, Links, Quality
from loadtests.fault_nodes import FaultNode

Fault = Callable[[Links, list[FaultNode], float], None]
SKEW_MS: Final = 300_000
REPLACED_S: Final = 13.0  # hang_seconds, and some
BETWEEN_KILLS_S: Final = 0.7


@dataclass(frozen=True)
class Scenario:
    """A fault and the cluster that meets it."""

    name: str
    nodes: int
    what: str
    fault: Fault
    roaming: bool = True  # telephones go to any node; else each stays with its own
    settings: str = ""  # more of [cluster]
    last_words: bool = False  # telephones fall silent before the fault is over, for good


def lossy(share: float, delay_ms: float = 0.0) -> Fault:
    """All links lose this share of their packets."""

    def fault(links: Links, _nodes: list[FaultNode], seconds: float) -> None:
        links.set_all(Quality(share, delay_ms))
        time.sleep(seconds)
        links.set_all(GOOD)

    return fault


def one_way(links: Links, _nodes: list[FaultNode], seconds: float) -> None:
    """Node 2 does not hear node 1, which hears it."""
    links.set_way(1, 2, CUT)
    time.sleep(seconds)
    links.set_all(GOOD)


def partition(links: Links, nodes: list[FaultNode], seconds: float) -> None:
    """Node 1 on its own, the others on theirs."""
    for node in nodes[1:]:
        links.set_between(1, node.number, CUT)
    time.sleep(seconds)
    links.set_all(GOOD)


def broken_link(links: Links, _nodes: list[FaultNode], seconds: float) -> None:
    """Nodes 1 and 2 do not reach each other but over node 3."""
    links.set_between(1, 2, CUT)
    time.sleep(seconds)
    links.set_all(GOOD)


def flapping(links: Links, nodes: list[FaultNode], seconds: float) -> None:
    """The links come and go."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        partition(links, nodes, 1.0)
        time.sleep(0.6)


def frozen(_links: Links, nodes: list[FaultNode], seconds: float) -> None:
    """SIGSTOP for the whole of the last node."""
    nodes[-1].freeze()
    time.sleep(seconds)
    nodes[-1].thaw()


def frozen_clusterer(_links: Links, nodes: list[FaultNode], seconds: float) -> None:
    """SIGSTOP for the clusterer of the last node; one that hangs too long is replaced."""
    pid = nodes[-1].kinds()["clusterer"][0]
    os.kill(pid, signal.SIGSTOP)
    time.sleep(seconds)
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)


def frozen_worker(_links: Links, nodes: list[FaultNode], seconds: float) -> None:
    """SIGSTOP for a worker of the last node, until it is replaced."""
    pid = nodes[-1].kinds()["udp worker"][0]
    os.kill(pid, signal.SIGSTOP)
    time.sleep(max(seconds, REPLACED_S))


def killing(kind: str) -> Fault:
    """SIGKILL again and again for processes of a kind, on all nodes in turn, on lossy links."""

    def fault(links: Links, nodes: list[FaultNode], seconds: float) -> None:
        chance = random.Random(kind)
        links.set_all(Quality(0.05))
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for node in nodes:
                pids = node.kinds().get(kind, [])
                assert pids or node.process is None, f"node {node.number} has no {kind}"
                with suppress(ProcessLookupError):
                    os.kill(chance.choice(pids), signal.SIGKILL)
                time.sleep(BETWEEN_KILLS_S)
        links.set_all(GOOD)

    return fault


def killed_supervisor(links: Links, nodes: list[FaultNode], seconds: float) -> None:
    """SIGKILL for a supervisor, whose children end then; the node is started again."""
    links.set_all(Quality(0.05))
    os.kill(nodes[0].pid, signal.SIGKILL)
    nodes[0].kill_everything()
    time.sleep(seconds / 2)
    nodes[0].start(30.0)
    links.set_all(GOOD)


def killed_nodes(_links: Links, nodes: list[FaultNode], seconds: float) -> None:
    """SIGKILL for everything of each node in turn; they come back with what they had."""
    for node in nodes:
        node.kill_everything()
        time.sleep(seconds / 4)
        node.start(30.0)
        time.sleep(1.0)


def emptied_node(_links: Links, nodes: list[FaultNode], seconds: float) -> None:
    """SIGKILL for everything of the last node, whose tables are lost as well."""
    time.sleep(1.0)  # what it alone knew would be lost with it
    nodes[-1].kill_everything()
    time.sleep(seconds / 2)
    nodes[-1].forget_everything()
    nodes[-1].start(30.0)


def wrong_clock(shift_ms: int) -> Fault:
    """The clock of the last node is wrong, and then right again."""

    def fault(_links: Links, nodes: list[FaultNode], seconds: float) -> None:
        nodes[-1].turn_clock(shift_ms)
        time.sleep(seconds)
        nodes[-1].turn_clock(0)

    return fault


def skewed(shift_ms: int) -> Fault:
    """The clock of the last node is wrong while node 1 is on its own, and stays so."""

    def fault(links: Links, nodes: list[FaultNode], seconds: float) -> None:
        nodes[-1].turn_clock(shift_ms)
        partition(links, nodes, seconds)

    return fault


def everything(links: Links, nodes: list[FaultNode], seconds: float) -> None:
    """Loss, cuts, kills and frozen nodes, one after the other and at once."""
    chance = random.Random(int(seconds))
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        links.set_all(Quality(chance.choice((0.0, 0.1, 0.3)), chance.choice((0.0, 20.0))))
        one, other = chance.sample([node.number for node in nodes], 2)
        links.set_way(one, other, CUT)
        node = chance.choice(nodes)
        kind = chance.choice(("clusterer", "udp worker", "frozen"))
        if kind == "frozen":
            frozen(links, [node], 1.5)
        else:
            for pid in node.kinds().get(kind, []):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        time.sleep(1.0)
    links.set_all(GOOD)


KINDS: Final = ("udp worker", "clusterer", "timekeeper", "control")
FAR: Final = "max_clock_lead_seconds = 600"
ALL: Final = (
    Scenario("loss-10", 2, "links lose a tenth of their packets", lossy(0.1)),
    Scenario("loss-30", 2, "links lose 30 % of their packets, the rest is late", lossy(0.3, 10)),
    Scenario("loss-20-of-3", 3, "links lose a fifth of their packets", lossy(0.2, 5)),
    Scenario("one-way", 2, "node 2 does not hear node 1", one_way),
    Scenario("one-way-of-3", 3, "node 2 does not hear node 1", one_way),
    Scenario("partition", 2, "no link, both work on", partition),
    Scenario("partition-of-3", 3, "node 1 on its own, the others on theirs", partition),
    Scenario("broken-link", 3, "nodes 1 and 2 reach each other over node 3", broken_link),
    Scenario("flapping", 2, "the link comes and goes", flapping),
    Scenario("frozen", 2, "SIGSTOP of a whole node", frozen),
    Scenario("frozen-last-words", 2, "the same; nobody speaks after it", frozen, last_words=True),
    Scenario("partition-last-words", 2, "no link; nobody speaks after", partition, last_words=True),
    Scenario("frozen-of-3", 3, "SIGSTOP of a whole node", frozen),
    Scenario("frozen-clusterer", 2, "SIGSTOP of a clusterer alone", frozen_clusterer),
    Scenario("frozen-worker", 2, "SIGSTOP of a worker", frozen_worker, last_words=True),
    *(
        Scenario(f"kill-{kind.replace(' ', '-')}", 2, f"kill -9 of each {kind}", killing(kind))
        for kind in KINDS
    ),
    Scenario("kill-supervisor", 2, "kill -9 of a supervisor", killed_supervisor),
    Scenario("kill-nodes", 2, "kill -9 of all of a node, then of the other", killed_nodes),
    Scenario("kill-nodes-of-3", 3, "kill -9 of all of each node in turn", killed_nodes),
    Scenario("emptied-node", 2, "a node and its tables are lost", emptied_node),
    Scenario("clock-ahead", 2, "a clock 300 s ahead, then right", wrong_clock(SKEW_MS), False),
    Scenario("clock-behind", 2, "a clock 300 s behind, then right", wrong_clock(-SKEW_MS), False),
    Scenario(
        "skew-ahead",
        2,
        "300 s ahead for good, 600 s allowed, and a partition",
        skewed(SKEW_MS),
        False,
        FAR,
    ),
    Scenario(
        "skew-behind",
        2,
        "300 s behind for good, 600 s allowed, and a partition",
        skewed(-SKEW_MS),
        False,
        FAR,
    ),
    Scenario("everything", 3, "loss, cuts, kills, frozen nodes", everything),
)
SCENARIOS: Final = {each.name: each for each in ALL}
