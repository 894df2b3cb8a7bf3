"""Calls whose server dies: two nodes, and an address that moves from one to the other.

    python -m loadtests.failover [--calls 200] [--how kill|move|return] [--seed N]

Two nodes in network namespaces (root only) listen on one virtual address, which the first of them
has. When all calls are up, a third of them ringing, every process of the first node is killed (-9),
or goes on living without the address (--how move), and the address moves to the second. Ringing
calls are answered or cancelled then, others acknowledged, re-invited, pinged, hung up by a side
or by their lifetime. With --how return the first node is started again meanwhile, and gets the
address back before they end. Each call has to come to the end that its telephones want, and to be
counted once.
Exit status 1: something does not add up; 2: this process may not make namespaces.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from loadtests.agents import Call, Callee, Registrant, Tally
from loadtests.namespaces import HERE, PHONES, VIRTUAL, Network, NotPermitted, static_address
from loadtests.servers import DOMAIN, ServerFailed, Sipherd, wait_until
from loadtests.wire import GIVE_UP, SDP, Inquiry, Line, Packet, request, respond
from proxy.errors import SipherdError
from workers.control_client import ask

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
RINGING = ("answered", "repeated", "unheard", "cancelled")
ENDING = ("ended", "hanging")
KINDS = {  # of so many calls each; a third of them are being set up when the node dies
    "caller": 3,  # hangs up
    "callee": 1,  # hangs up
    "reinvite": 1,  # changes the session, then hangs up
    "unacked": 1,  # the ACK of its answer comes by the other node
    "forever": 1,  # ended by its lifetime
    "pinged": 1,  # by both nodes; then hangs up
    "ended": 1,  # hung up just before the node dies
    "hanging": 1,  # the same, but its BYE is answered only later
    "answered": 2,  # rings, is answered
    "repeated": 1,  # rings, and its INVITE comes again by the other node
    "unheard": 1,  # does not even ring before
    "cancelled": 1,  # rings, is cancelled
}
REASONS = {
    "callee": ("Upstream BYE", 200),
    "forever": ("Lifetime Timeout", 200),
    "cancelled": ("Cancelled", 487),
}
BY_CALLER = ("Downstream BYE", 200)


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

    def ctl(self, method: str, **params: object) -> Any:
        """As `sipherd ctl`, which would take longer to start."""
        try:
            answer = ask(self.runtime_dir, method, params)
        except SipherdError as error:
            raise ServerFailed(f"ctl {method}: {error}") from None
        if "error" in answer:
            raise ServerFailed(f"ctl {method}: {answer['error']}")
        return answer["result"]

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


class Moment:
    """What the telephones wait for."""

    def __init__(self) -> None:
        self.leaving = asyncio.Event()  # the node is about to die
        self.moved = asyncio.Event()
        self.release = asyncio.Event()


class Numbers:
    """The CSeqs of requests inside dialogs, which must not fall (RFC 3261 §12.2.2)."""

    def __init__(self) -> None:
        self.last: dict[str, int] = {}

    def rise(self, packet: Packet, tally: Tally) -> bool:
        """Whether a request is in order; a failure of the run if not."""
        call, number = packet.get("call-id"), int(packet.get("cseq").split()[0])
        if number < self.last.get(call, 0):
            tally.failures.append(f"{call}: {packet.method} {number} after {self.last[call]}")
            return False
        self.last[call] = number
        return True


class Phone(Callee):
    """A callee that does what the Call-ID's first word says."""

    def __init__(self, line: Line, tally: Tally, chance: random.Random, moment: Moment) -> None:
        super().__init__(line, tally, chance)
        self.moment = moment
        self.asked: dict[str, Inquiry] = {}
        self.over: Counter[str] = Counter()  # calls that the other side has hung up
        self.numbers = Numbers()

    def handle(self, packet: Packet) -> None:
        call = packet.get("call-id")
        if packet.status:
            if call in self.asked:
                self.asked[call].answers.put_nowait(packet)
        elif "tag=" not in packet.get("to"):
            super().handle(packet)
        elif packet.method == "ACK" or self.numbers.rise(packet, self.tally):
            self.within(packet, call)

    def within(self, packet: Packet, call: str) -> None:
        """A request inside a dialog."""
        if packet.method in ("INVITE", "OPTIONS"):
            self.line.send(respond(self.line, packet, "200 OK", call, SDP))
            return
        if packet.method == "BYE":
            if call.startswith("hanging") and not self.moment.moved.is_set():
                return
            self.over[call] += 1
        super().handle(packet)

    def invited(self, packet: Packet, call: str) -> None:
        if not call.startswith("unheard"):
            super().invited(packet, call)
        elif call not in self.branches:
            self.branches[call] = packet.branch
            self.acked[call] = asyncio.Event()
            self.last[call] = respond(self.line, packet, "180 Ringing", call)
            self.run(self.decide(packet, call))

    async def decide(self, packet: Packet, call: str) -> None:
        kind = call.partition("-")[0]
        if kind in RINGING:
            await self.moment.moved.wait()
        if kind == "unheard":
            self.line.send(self.last[call])
        await asyncio.sleep(self.chance.uniform(0.02, 0.4))
        if kind == "cancelled" or self.last[call].startswith("SIP/2.0 4"):
            return
        await self.insist(call, respond(self.line, packet, "200 OK", call, SDP))
        if kind == "callee":
            await self.moment.release.wait()
            await asyncio.sleep(self.chance.uniform(0.0, 0.5))
            await self.hang_up(packet, call)

    async def hang_up(self, invite: Packet, call: str) -> None:
        """BYE along the recorded route, from the callee's side."""
        found = re.search(r"<([^>]+)>", invite.get("contact"))
        values = [v.strip() for row in invite.all("record-route") for v in row.split(",")]
        routes = "".join(f"Route: {value}\r\n" for value in values)
        me = f"{invite.get('to')};tag={call}"
        text = request(
            self.line, "BYE", found[1] if found else "", call, 1, me, invite.get("from"), routes
        )
        inquiry = self.asked[call] = Inquiry(self.line, text, invite=False)
        self.line.send(text)
        answer = await inquiry.next()
        if answer is None or answer.status != 200:
            self.tally.failures.append(f"callee {call}: BYE: {answer.first if answer else None}")


class Caller(Call):
    """A call whose kind says what becomes of it."""

    def __init__(self, line: Line, user: str, kind: str, phone: Phone) -> None:
        super().__init__(line, user, kind, phone.tally, phone.chance)
        self.moment, self.phone = phone.moment, phone
        self.numbers = Numbers()
        self.hung_up = asyncio.Event()
        self.is_there = asyncio.Event()  # rings, or is up: ready for the failover
        self.is_up = False
        self.target = self.to = self.routes = ""

    def handle(self, packet: Packet) -> None:
        if packet.status:
            super().handle(packet)
        elif packet.method == "ACK" or self.numbers.rise(packet, self.tally):
            self.line.send(respond(self.line, packet, "200 OK", ""))
            if packet.method == "BYE":
                self.hung_up.set()

    async def place(self) -> None:
        self.line.send(self.inquiry.text)
        if self.kind in RINGING:
            status = 100 if self.kind == "unheard" else 180
            ringing = await self.inquiry.next(status)
            if ringing is None or ringing.status != status:
                self.fail(ringing.first if ringing else "does not ring")
                return
            self.is_there.set()
            await self.moment.moved.wait()
            if self.kind == "repeated":
                self.line.send(self.inquiry.text)
            if self.kind == "cancelled":
                self.inquiry.answers.put_nowait(ringing)
                if not await self.cancel():
                    return
        final = await self.inquiry.next(200, 2 * GIVE_UP)
        if final is None or final.status != (487 if self.kind == "cancelled" else 200):
            self.fail(final.first if final else "no final answer")
        elif final.status != 200:
            self.refuse(final)
        else:
            await self.talk(final)

    async def talk(self, final: Packet) -> None:
        found = re.search(r"<([^>]+)>", final.get("contact"))
        values = [v.strip() for row in final.all("record-route") for v in row.split(",")]
        self.routes = "".join(f"Route: {value}\r\n" for value in reversed(values))
        self.target, self.to = found[1] if found else self.uri, final.get("to")
        if self.kind == "unacked":
            self.is_there.set()
            await self.moment.moved.wait()
        self.ack = self.within("ACK", 1)
        self.line.send(self.ack)
        self.is_up = True
        self.is_there.set()
        await (self.moment.leaving if self.kind in ENDING else self.moment.release).wait()
        await asyncio.sleep(self.chance.uniform(0.0, 0.1 if self.kind in ENDING else 0.5))
        if self.kind == "reinvite" and not await self.ask("INVITE", 2):
            return
        if self.kind in ("callee", "forever"):
            await self.wait_for_the_end()
        elif await self.ask("BYE", 3):
            self.tally.answered += 1
        self.is_up = False

    def within(self, method: str, cseq: int) -> str:
        """A request inside the dialog."""
        contact = f"Contact: <sip:caller@{self.line.address}>\r\n" if method == "INVITE" else ""
        return request(
            self.line,
            method,
            self.target,
            self.call_id,
            cseq,
            self.from_,
            self.to,
            self.routes + contact,
            SDP if method == "INVITE" else "",
        )

    async def ask(self, method: str, cseq: int) -> bool:
        """Send a request inside the dialog; whether it got its 200."""
        self.other = Inquiry(self.line, self.within(method, cseq), method == "INVITE")
        before, self.ack = self.ack, ""
        if method == "INVITE":
            self.inquiry = self.other
        self.line.send(self.other.text)
        answer = await self.other.next()
        self.ack = before
        if answer is None or answer.status != 200:
            self.fail(f"{method}: {answer.first if answer else 'no answer'}")
            return False
        if method == "INVITE":
            self.ack = self.within("ACK", cseq)
            self.line.send(self.ack)
        return True

    async def wait_for_the_end(self) -> None:
        """The other side hangs up, or the server both."""
        try:
            await asyncio.wait_for(self.hung_up.wait(), 60.0)
        except TimeoutError:
            self.fail("nobody has hung up")
            return
        if self.kind == "forever":
            for _ in range(100):
                if self.phone.over[self.call_id]:
                    break
                await asyncio.sleep(0.05)
            else:
                self.fail("the callee was not told of the end")
                return
        self.tally.answered += 1


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
            return 2
    print(json.dumps(report))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
