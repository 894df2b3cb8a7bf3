"""Tracked calls with every ending there is, and the books afterwards.

    python -m loadtests.calls [--calls 5000] [--rate 150] [--kills 0] [--seed N]

All calls are up at the same time before the first is ended: by either side, by the end of its
lifetime, by a ping that a crashed phone does not answer, by a callee that waits for an ACK in vain;
others are cancelled, refused, or never answered. Then nothing may be left, each call has one line
in the CDR file, and that says how it ended. With --kills, workers are killed (-9) meanwhile.
Exit status 1: something does not add up.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loadtests.agents import Call, Hanging, Registrant, Tally
from loadtests.servers import Sipherd
from loadtests.wire import SDP, T1, Line, Packet, request, respond

POLICY = """
from proxy.routing.request import Request


async def on_request(request: Request) -> None:
    if request.method == "REGISTER":
        request.save()
    elif request.in_dialog:
        request.relay()
    elif request.method == "INVITE":
        kind = request.message.call_id.partition(b"-")[0]
        flags = "p" if kind == b"crash" else ""
        request.create_dialog(flags, timeout=LIFETIME if kind == b"forever" else 0)
        request.join_profile("kind", kind.decode())
        request.join_profile("all")
        request.relay(request.lookup())
    else:
        request.reply(200)
"""
SETTINGS = """
[routing]
script = "policy.py"
[dialog]
enabled = true
capacity = 20_000
profiles = ["kind"]
profiles_no_value = ["all"]
options_ping_interval = 10
delete_delay = 2
cdr_file = "cdr.jsonl"
"""
NO_ACK_PATIENCE_S = 3.0


@dataclass(frozen=True)
class Ending:
    """What a kind of call shows in the end: to the caller, and in the CDR file."""

    status: int
    reason: str
    code: int
    share: int


ENDINGS = {
    "caller": Ending(200, "Downstream BYE", 200, 8),
    "callee": Ending(200, "Upstream BYE", 200, 8),
    "forever": Ending(200, "Lifetime Timeout", 200, 2),
    "crash": Ending(200, "Ping Timeout", 200, 1),
    "noack": Ending(200, "Upstream BYE", 200, 1),
    "busy": Ending(486, "Failed", 486, 1),
    "decline": Ending(603, "Failed", 603, 1),
    "gone": Ending(480, "Failed", 480, 1),
    "cancel": Ending(487, "Cancelled", 487, 1),
    "silent": Ending(408, "Failed", 408, 1),
}
FAILURES = {"busy": "486 Busy Here", "decline": "603 Decline", "gone": "480 Gone"}


class Answering(Hanging):
    """A callee that does what the Call-ID's first word says."""

    ends = (200, 481)  # the call may have ended by itself

    def __init__(
        self,
        line: Line,
        tally: Tally,
        chance: random.Random,
        release: asyncio.Event,
        spread: float,
    ) -> None:
        super().__init__(line, tally, chance)
        self.release, self.spread = release, spread
        self.ended: dict[str, asyncio.Event] = {}

    def handle(self, packet: Packet) -> None:
        call = packet.get("call-id")
        kind = call.partition("-")[0]
        if packet.status:
            if call in self.asked:
                self.asked[call].answers.put_nowait(packet)
            return
        if kind == "silent" or (kind == "crash" and call in self.ended and packet.method != "ACK"):
            if packet.method == "CANCEL" or kind == "crash":
                return
        elif packet.method == "OPTIONS":
            self.line.send(respond(self.line, packet, "200 OK", call))
        elif packet.method == "BYE" and call in self.ended:
            self.ended[call].set()
            super().handle(packet)
        else:
            super().handle(packet)

    async def decide(self, packet: Packet, call: str) -> None:
        kind = call.partition("-")[0]
        await asyncio.sleep(self.chance.uniform(0.02, 0.4))
        if kind in FAILURES:
            await self.insist(call, respond(self.line, packet, FAILURES[kind], call))
            return
        answer = respond(self.line, packet, "200 OK", call, SDP)
        self.last[call] = answer
        if kind == "noack":
            for _ in range(int(NO_ACK_PATIENCE_S / T1)):
                self.line.send(answer)
                await asyncio.sleep(T1)
            await self.hang_up(packet, call)
            return
        await self.insist(call, answer)
        self.ended[call] = asyncio.Event()
        if kind == "callee":
            await self.release.wait()
            await asyncio.sleep(self.chance.uniform(0.0, self.spread))
            await self.hang_up(packet, call)


class Caller(Call):
    """A call whose kind says how it ends."""

    def __init__(self, line: Line, user: str, kind: str, callee: Answering) -> None:
        super().__init__(line, user, kind, callee.tally, callee.chance)
        self.release, self.spread = callee.release, callee.spread
        self.up = asyncio.Event()
        self.over = asyncio.Event()

    def handle(self, packet: Packet) -> None:
        if packet.status:
            super().handle(packet)
        elif packet.method in ("BYE", "OPTIONS"):
            self.line.send(respond(self.line, packet, "200 OK", ""))
            if packet.method == "BYE":
                self.over.set()

    async def place(self) -> None:
        self.line.send(self.inquiry.text)
        if self.kind == "cancel" and not await self.cancel():
            return
        final = await self.inquiry.next(200, 100.0)
        if final is None or final.status != ENDINGS[self.kind].status:
            self.fail(final.first if final else "no final answer")
        elif final.status != 200:
            self.refuse(final)
        elif self.kind == "noack":
            await self.wait_for_the_end(60.0)
        elif self.kind == "caller":
            self.acknowledge(final)
            await self.release.wait()
            await asyncio.sleep(self.chance.uniform(0.0, self.spread))
            await self.talk(final)
        else:
            self.acknowledge(final)
            await self.wait_for_the_end(400.0)

    def acknowledge(self, final: Packet) -> None:
        found = re.search(r"<([^>]+)>", final.get("contact"))
        values = [v.strip() for row in final.all("record-route") for v in row.split(",")]
        routes = "".join(f"Route: {value}\r\n" for value in reversed(values))
        target, to = found[1] if found else self.uri, final.get("to")
        self.ack = request(self.line, "ACK", target, self.call_id, 1, self.from_, to, routes)
        self.line.send(self.ack)
        self.in_setup = False
        self.up.set()

    async def wait_for_the_end(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self.over.wait(), seconds)
            self.tally.answered += 1
        except TimeoutError:
            self.fail("nobody has hung up")


class Run:
    """All calls of one run."""

    def __init__(self, server: Sipherd, args: argparse.Namespace) -> None:
        self.server, self.args = server, args
        self.chance = random.Random(args.seed)
        self.tally = Tally()
        self.calls: list[Caller] = []
        self.peak: dict[str, Any] = {}
        self.killed = 0

    async def play(self) -> None:
        address = (self.server.host, self.server.port)
        lines = [await Line.open(address) for _ in range(16)]
        release = asyncio.Event()
        callees = [
            Answering(await Line.open(address), self.tally, self.chance, release, self.args.spread)
            for _ in range(16)
        ]
        users = [Registrant(f"callee{i}", one.line, self.tally) for i, one in enumerate(callees)]
        await asyncio.gather(*(user.register(3600) for user in users))
        kinds = self.args.endings.split(",")
        weights = [ENDINGS[kind].share for kind in kinds]
        killer = asyncio.ensure_future(self.kill())
        tasks = []
        for number in range(self.args.calls):
            kind = self.chance.choices(kinds, weights)[0]
            to = number % 16
            call = Caller(lines[to], users[to].user, kind, callees[to])
            self.calls.append(call)
            tasks.append(asyncio.ensure_future(call.run()))
            await asyncio.sleep(1 / self.args.rate)
        await asyncio.sleep(1.5)
        await asyncio.to_thread(self.look)
        release.set()
        answering = {task for callee in callees for task in callee.tasks}
        await asyncio.wait([*tasks, *answering], timeout=self.args.lifetime + 120)
        for task in [*tasks, *answering]:
            task.cancel()
        killer.cancel()
        await asyncio.sleep(1.0)
        for line in lines + [callee.line for callee in callees]:
            line.close()

    def look(self) -> None:
        """How many there are when all are up."""
        self.peak = {
            "dialogs": self.server.statistics("dialog:active_dialogs", "dialog:early_dialogs"),
            "profile": self.server.ctl("profile_get_size", profile="all")["Profile"]["count"],
        }

    async def kill(self) -> None:
        """Kill workers, one after the other, each as soon as the last has been replaced."""
        while self.killed < self.args.kills:
            await asyncio.sleep(self.chance.uniform(0.02, 2 * self.args.pause))
            alive = self.server.workers_alive()
            if len(alive) == self.server.workers:
                os.kill(self.chance.choice(alive), signal.SIGKILL)
                self.killed += 1


def records(folder: Path) -> list[dict[str, Any]]:
    """The lines of the CDR file."""
    path = folder / "cdr.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def books(run: Run, folder: Path, patience: float = 60.0) -> dict[str, Any]:
    """What is left, and whether each call has its one record."""
    deadline = time.monotonic() + patience
    server = run.server
    while time.monotonic() < deadline and len(records(folder)) < len(run.calls):
        time.sleep(0.5)
    time.sleep(1.0)  # for one too many
    lines = records(folder)
    by_call = Counter(line["call_id"] for line in lines)
    reasons = {line["call_id"]: (line["reason"], line["code"]) for line in lines}
    wrong = []
    for call in run.calls:
        ending = ENDINGS[call.kind]
        found = reasons.get(call.call_id)
        if by_call[call.call_id] != 1 or found != (ending.reason, ending.code):
            wrong.append((call.call_id, by_call[call.call_id], found))
    statistics = server.statistics("dialog:active_dialogs", "dialog:early_dialogs")
    return {
        "left": server.ctl("dlg_list")["count"],
        "gauges": statistics,
        "profile": server.ctl("profile_get_size", profile="all")["Profile"]["count"],
        "values": [row for row in server.ctl("profile_get_values", profile="kind") if row["count"]],
        "records": len(lines),
        "dids": len({line["did"] for line in lines}),
        "wrong": wrong[:20],
        "wrong_count": len(wrong),
        "endings": Counter(call.kind for call in run.calls),
    }


def perform(args: argparse.Namespace, folder: Path) -> tuple[dict[str, Any], bool]:
    """The report, and whether all of it is as it must be."""
    (folder / "policy.py").write_text(POLICY.replace("LIFETIME", str(args.lifetime)))
    server = Sipherd(folder, settings=SETTINGS)
    began = time.monotonic()
    with server:
        run = Run(server, args)
        asyncio.run(run.play())
        found = books(run, folder)
        counted = server.statistics("dialog:", "sipherd:dialog_byes", "sipherd:dialog_pings")
        check = server.table_check()
    report = {
        "seed": args.seed,
        "calls": args.calls,
        "kills": run.killed,
        "seconds": round(time.monotonic() - began, 1),
        "peak": run.peak,
        **found,
        "statistics": counted,
        "table_clean": check.returncode == 0,
        "failures": run.tally.failures[:20],
        "failure_count": len(run.tally.failures),
    }
    nothing_left = not (
        found["left"] or any(found["gauges"].values()) or found["profile"] or found["values"]
    )
    good = (
        nothing_left
        and found["records"] == found["dids"] == args.calls
        and not found["wrong_count"]
        and not run.tally.failures
        and check.returncode == 0
    )
    return report, good


def arguments(*words: str) -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=5_000)
    parser.add_argument("--rate", type=float, default=150.0, help="new calls per second")
    parser.add_argument("--lifetime", type=int, default=90, help="of calls nobody ends, seconds")
    parser.add_argument("--spread", type=float, default=10.0, help="seconds in which calls end")
    parser.add_argument("--endings", default=",".join(ENDINGS), help="which kinds of call")
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--pause", type=float, default=0.3, help="mean seconds between two kills")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    args = parser.parse_args(words)
    if (
        args.kills
    ):  # whose INVITE has had a 100 from a dead worker waits for Setup Timeout: 5 minutes
        args.endings = ",".join(kind for kind in args.endings.split(",") if kind != "silent")
    return args


def main() -> int:
    args = arguments(*sys.argv[1:])
    with tempfile.TemporaryDirectory(prefix="calls-") as folder:
        report, good = perform(args, Path(folder))
    print(json.dumps(report))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
