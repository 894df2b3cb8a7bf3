"""Calls whose server dies: two nodes, and an address that moves from one to the other.

    python -m loadtests.failover [--calls 200] [--how kill|move|return] [--seed N]

Two nodes in network namespaces (root only) listen on one virtual address, which the first of them
has. When all calls are up, a third of them ringing, every process of the first node is killed (-9),
or goes on living without the address (--how move), and the address moves to the second. Ringing
calls are answered or cancelled then, others acknowledged, re-invited, pinged, hung up by a side
or by their lifetime. With --how return the first node is started again meanwhile, and gets the
address back before they end. Each call has to come to the end that its telephones want, and to be
counted once.
Exit status 1: something does not add up; 77: this process may not make namespaces.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from loadtests.agents import Registrant, Tally
from loadtests.failover_calls import BY_CALLER, ENDING, KINDS, REASONS, Caller, Moment, Phone
from loadtests.failover_nodes import Node
from loadtests.namespaces import HERE, NOT_PERMITTED, PHONES, VIRTUAL, Network, NotPermitted
from loadtests.servers import ServerFailed, wait_until
from loadtests.wire import GIVE_UP, Line


class Run:
    """All calls of one run, and the failover in the middle of them."""

    def __init__(self, network: Network, nodes: list[Node], args: argparse.Namespace) -> None:
        self.network, self.nodes, self.args = network, nodes, args
        self.chance = random.Random(args.seed)
        self.tally = Tally()
        self.calls: list[Caller] = []
        self.seen: dict[str, Any] = {}
        self.moment = Moment()

    async def play(self) -> None:
        server = (VIRTUAL, 5060)
        lines = [await Line.open(server, HERE) for _ in range(8)]
        phones = [
            Phone(await Line.open(server, HERE), self.tally, self.chance, self.moment)
            for _ in range(8)
        ]
        users = [Registrant(f"callee{i}", one.line, self.tally) for i, one in enumerate(phones)]
        await asyncio.gather(*(user.register(3600) for user in users))
        deck = [kind for kind, share in KINDS.items() for _ in range(share)]
        tasks = []
        for number in range(self.args.calls):
            to = number % 8
            call = Caller(lines[to], users[to].user, deck[number % len(deck)], phones[to])
            self.calls.append(call)
            tasks.append(asyncio.ensure_future(call.run()))
            await asyncio.sleep(1 / self.args.rate)
        ready = [asyncio.ensure_future(call.is_there.wait()) for call in self.calls]
        await asyncio.wait(ready, timeout=GIVE_UP)
        await asyncio.sleep(self.args.pause)
        self.seen["before"] = await asyncio.to_thread(self.look, self.nodes)
        self.moment.leaving.set()
        await asyncio.to_thread(self.end_by_command)
        await asyncio.sleep(0.3)
        await asyncio.to_thread(self.fail_over)
        self.moment.moved.set()
        if self.args.how == "return":
            await asyncio.to_thread(self.bring_back)
        up = [call for call in self.calls if call.kind != "cancelled" and call.kind not in ENDING]
        for _ in range(400):
            if all(call.is_up for call in up):
                break
            await asyncio.sleep(0.05)
        await asyncio.sleep(1.0)
        self.seen["live"] = sum(call.is_up and not call.hung_up.is_set() for call in self.calls)
        there = self.nodes if self.args.how == "return" else self.nodes[1:]
        self.seen["after"] = await asyncio.to_thread(self.look, there)
        self.moment.release.set()
        answering = {task for phone in phones for task in phone.tasks}
        await asyncio.wait([*tasks, *answering], timeout=self.args.lifetime + 90)
        for task in [*tasks, *ready, *answering]:
            task.cancel()
        for line in lines + [phone.line for phone in phones]:
            line.close()

    def look(self, nodes: list[Node]) -> dict[int, dict[str, Any]]:
        """What the nodes count."""
        return {node.number: node.books() for node in nodes}

    def end_by_command(self) -> None:
        """An operator ends calls at the node that does not act for them."""
        for call in self.calls:
            if call.kind == "operator":
                self.nodes[1].ctl("dlg_end_dlg", dialog_id=call.call_id)

    def fail_over(self) -> None:
        """The first node dies, or loses the address; the second has it."""
        first, second = self.nodes
        if self.args.how != "move":
            first.kill_everything()
        began = time.monotonic()
        self.network.move_to(2)
        if not wait_until(second.is_active, 10.0):
            self.tally.failures.append("the second node does not act for the address")
        self.seen["seconds_to_active"] = round(time.monotonic() - began, 2)

    def bring_back(self) -> None:
        """The first node is started again, with the tables it had, and gets the address back."""
        first = self.nodes[0]
        first.start(30.0)
        if not wait_until(first.is_whole, 20.0, 0.1):
            self.tally.failures.append("the first node does not come back")
        self.network.move_to(1)
        if not wait_until(first.is_active, 10.0):
            self.tally.failures.append("the first node does not act for the address")


def endings(run: Run) -> dict[str, Any]:
    """What is left on the second node, and whether each call has its one record on one of them."""
    second = run.nodes[1]

    def records() -> list[dict[str, Any]]:
        return [line for node in run.nodes for line in node.records()]

    wait_until(lambda: len(records()) >= len(run.calls), 20.0, 0.25)
    time.sleep(0.5)  # for one too many
    lines = records()
    by_call = Counter(line["call_id"] for line in lines)
    told = {line["call_id"]: (line["reason"], line["code"]) for line in lines}
    wrong = [
        (call.call_id, by_call[call.call_id], told.get(call.call_id))
        for call in run.calls
        if by_call[call.call_id] != 1 or told[call.call_id] != REASONS.get(call.kind, BY_CALLER)
    ]
    return {"left": second.books(), "records": len(lines), "wrong": wrong[:20], "bad": len(wrong)}


def perform(args: argparse.Namespace, folder: Path) -> tuple[dict[str, Any], bool]:
    """The report, and whether all of it is as it must be."""
    began = time.monotonic()
    with Network() as network:
        folders = [folder / name for name in ("first", "second")]
        for each in folders:
            each.mkdir()
        first, second = (
            Node(network, each, number, args.calls, args.lifetime)
            for number, each in enumerate(folders, 1)
        )
        network.move_to(1)
        with first, second:
            for node in (first, second):
                if not wait_until(node.is_whole, 20.0, 0.1):
                    raise ServerFailed(f"node {node.number} is not synced:\n{node.log[-4000:]}")
            run = Run(network, [first, second], args)
            with network.entered(PHONES):
                asyncio.run(run.play())
            found = endings(run)
            check = second.table_check()
            logs = first.log + second.log
    before = run.seen["before"]
    report = {
        "seed": args.seed,
        "how": args.how,
        "calls": args.calls,
        "seconds": round(time.monotonic() - began, 1),
        **run.seen,
        **found,
        "answered": run.tally.answered,
        "cancelled": run.tally.cancelled,
        "merged": run.tally.merged,
        "internal_errors": logs.count("internal error"),
        "table_clean": check.returncode == 0,
        "failures": run.tally.failures[:20],
        "failure_count": len(run.tally.failures),
    }
    same = before[1] == before[2] and before[1]["profile"] == args.calls
    counted = all(
        one["profile"] == one["dialogs"] == one["active"] == run.seen["live"]
        for one in run.seen["after"].values()
    )
    left = found["left"]
    nothing_left = not (left["dialogs"] or left["active"] or left["early"] or left["profile"])
    good = (
        same
        and counted
        and nothing_left
        and found["records"] == args.calls
        and not found["bad"]
        and not run.tally.failures
        and run.tally.answered + run.tally.cancelled == args.calls
        and not run.tally.merged
        and not report["internal_errors"]
        and check.returncode == 0
    )
    return report, good


def arguments(*words: str) -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--rate", type=float, default=60.0, help="new calls per second")
    parser.add_argument("--how", choices=("kill", "move", "return"), default="kill")
    parser.add_argument("--lifetime", type=int, default=30, help="of calls nobody ends, seconds")
    parser.add_argument("--pause", type=float, default=0.5, help="seconds before the failover")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    return parser.parse_args(words)


def main() -> int:
    args = arguments(*sys.argv[1:])
    with tempfile.TemporaryDirectory(prefix="failover-") as folder:
        try:
            report, good = perform(args, Path(folder))
        except NotPermitted as error:
            print(error, file=sys.stderr)
            return NOT_PERMITTED
    print(json.dumps(report))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
