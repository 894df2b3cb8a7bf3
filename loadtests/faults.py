"""Real clusters under faults: what was acknowledged stays, what was removed stays away.

    python -m loadtests.faults [SCENARIO ...] [--seconds 10] [--seed N] [--list]

Nodes in network namespaces (root only) share registrations over links that lose packets
(loadtests/bad_links.py). Telephones register, refresh and unregister at all of them while the
fault lasts, and go on when it is over. Then all nodes must hold the same within five seconds, every
registration with a 200 and no other. Exit status 1: they do not; 2: this process may not make
namespaces.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from loadtests.bad_links import Links
from loadtests.fault_load import PATIENCE_S, SIP_PORT, Load
from loadtests.fault_nodes import FaultNode, are_equal, make_nodes, settle
from loadtests.fault_scenarios import SCENARIOS, Scenario
from loadtests.namespaces import NOT_PERMITTED, PHONES, NotPermitted

HEALED_S: Final = 5.0
GIVE_UP_S: Final = 60.0
REPORT_S: Final = 0.3  # how old what a node says of itself may be
AFTER_S: Final = 2.0  # of load, at least, after the fault
QUIET, BUSY = 300, 100
Found = dict[str, Any]


class Run:
    """One scenario."""

    def __init__(self, scenario: Scenario, links: Links, nodes: list[FaultNode], seed: int) -> None:
        self.scenario, self.links, self.nodes = scenario, links, nodes
        places = {node.number: (node.host, SIP_PORT) for node in nodes}
        self.load = Load(places, seed, scenario.roaming)

    async def play(self, seconds: float) -> Found:
        """The whole of it; what was found."""
        await self.load.open(QUIET, BUSY)
        await asyncio.to_thread(settle, self.nodes)
        running = asyncio.create_task(self.load.run())
        await asyncio.sleep(1.5)
        if self.scenario.last_words:
            wait_s = max(1.0, seconds - sum(PATIENCE_S) - 1.0)
            asyncio.get_running_loop().call_later(wait_s, self.load.stopped.set)
        await asyncio.to_thread(self.scenario.fault, self.links, self.nodes, seconds)
        healed = time.monotonic()
        first = await asyncio.to_thread(wait_equal, self.nodes, healed)
        await asyncio.sleep(max(0.0, healed + AFTER_S - time.monotonic()))
        self.load.stopped.set()
        await running
        stopped = time.monotonic()
        last = await asyncio.to_thread(wait_equal, self.nodes, stopped)
        found = await asyncio.to_thread(self.judge)
        return {"equal_s": first, "equal_after_load_s": last, **found}

    def judge(self) -> Found:
        """What the nodes hold, against what the telephones were told."""
        verdicts = [self.load.verdict(node.contacts()) for node in self.nodes]
        lost = {tale for each in verdicts for tale in each["lost"]}
        back = {tale for each in verdicts for tale in each["resurrected"]}
        logs = "".join(node.log for node in self.nodes)
        return {
            "acknowledged": self.load.acknowledged,
            "unanswered": self.load.unanswered,
            "refused": self.load.refused,
            "lost": len(lost),
            "resurrected": len(back),
            "tales": sorted(lost | back)[:8],
            "internal_errors": logs.count("internal error") + logs.count("Traceback"),
        }


def wait_equal(nodes: list[FaultNode], since: float) -> float | None:
    """Seconds from then until all nodes hold the same; None: they never did."""
    while (found := time.monotonic() - since) < GIVE_UP_S:
        if are_equal(nodes):
            time.sleep(REPORT_S)  # what they said may have been true before
            if are_equal(nodes):
                return round(found, 2)
        time.sleep(0.05)
    return None


def perform(scenario: Scenario, args: argparse.Namespace, folder: Path) -> Found:
    """One scenario, on nodes of its own."""
    began = time.monotonic()
    with Links(scenario.nodes, args.seed) as links:
        nodes = make_nodes(links, folder, more=scenario.settings)
        try:
            for node in nodes:
                node.start(30.0)
            settle(nodes)
            run = Run(scenario, links, nodes, args.seed)
            with links.entered(PHONES):
                found = asyncio.run(run.play(args.seconds))
            found["table_clean"] = all(node.table_check().returncode == 0 for node in nodes)
        finally:
            for node in nodes:
                node.kill_everything()
        if args.keep:
            for node in nodes:
                Path(f"{args.keep}-{scenario.name}-{node.number}.log").write_text(node.log)
        found["packets"] = [links.passed, links.lost]
    found["seconds"] = round(time.monotonic() - began, 1)
    return found


def is_good(found: Found) -> bool:
    """Whether a scenario ended as it must."""
    equal_s = found["equal_s"]
    return (
        equal_s is not None
        and equal_s <= HEALED_S
        and found["equal_after_load_s"] is not None
        and not (found["lost"] or found["resurrected"] or found["internal_errors"])
        and not found["refused"]
        and found["table_clean"]
    )


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help="all when none is named")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long a fault lasts")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--keep", help="beginning of the names under which logs are kept")
    parser.add_argument("--list", action="store_true", help="only say which scenarios there are")
    args = parser.parse_args()
    unknown = set(args.scenarios) - set(SCENARIOS)
    if unknown:
        parser.error(f"no such scenario: {', '.join(sorted(unknown))}; see --list")
    return args


def main() -> int:
    args = arguments()
    if args.list:
        for scenario in SCENARIOS.values():
            print(f"{scenario.name:22} {scenario.nodes} nodes: {scenario.what}")
        return 0
    results: dict[str, Found] = {}
    for name in args.scenarios or SCENARIOS:
        with tempfile.TemporaryDirectory(prefix="faults-") as folder:
            try:
                results[name] = found = perform(SCENARIOS[name], args, Path(folder))
            except NotPermitted as error:
                print(error, file=sys.stderr)
                return NOT_PERMITTED
        print(name, json.dumps(found), flush=True)
    print(f"\n{'scenario':22} {'acknowledged':>12} {'lost':>5} {'resurrected':>11} {'equal':>7}")
    for name, found in results.items():
        equal = "never" if found["equal_s"] is None else f"{found['equal_s']:.1f} s"
        print(
            f"{name:22} {found['acknowledged']:12} {found['lost']:5} {found['resurrected']:11}"
            f" {equal:>7}{'' if is_good(found) else '  NOT WELL'}"
        )
    return 0 if all(map(is_good, results.values())) else 1


if __name__ == "__main__":
    sys.exit(main())
