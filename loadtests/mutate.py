"""Mutated messages over real UDP: nothing may exit, leak, or keep a good message from its answer.

    python -m loadtests.mutate [--count 1000000] [--seed N]

Where the system allows it, the run has a network namespace of its own, so that a mutated host name
or address leads nowhere; where not, messages that name foreign hosts are left out.

Memory: half of the messages bring the server to its high-water mark; it rests until the last
transaction and its longest timer (Timer C, 181 s) are over; its anonymous memory is noted; then
come the other half, the same rest, and the second reading. The difference, per million messages,
must stay below 1 MB. Fewer than a million messages have not brought the server to its mark: they
do not judge memory (tests/hostile/test_memory.py does, by counting objects).
Exit status 1: a process ended, a good message got no answer, the log has a traceback, or memory
grew.
"""

from __future__ import annotations

import argparse
import json
import re
import socket
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from loadtests import processes
from loadtests.isolation import enter_private_network
from loadtests.mutations import Mutator, corpus, message, numbered, stays_here
from loadtests.ports import free_port
from loadtests.servers import Sipherd

BATCH = 50  # fewer than the smallest receive buffer holds
REST = 190.0  # longer than any timer runs (Timer C: 181 s)
SLOPE_LIMIT = 1_000_000
JUDGING = 1_000_000  # messages: 200,000 still find 3 to 8 MB per million of pages used first


class Sender:
    """The socket the mutants come from, and the callee behind `callee@`."""

    def __init__(self, server: Sipherd, seed: int, private: bool) -> None:
        self.server, self.private = server, private
        self.mutator = Mutator(seed)
        self.sock, self.local = self.open()
        self.callee, self.callee_address = self.open()
        self.templates = corpus(self.local, f"{server.host}:{server.port}")
        self.options = message("OPTIONS", "x", self.local)
        self.number = self.sent = self.left_out = self.unanswered = self.heard = 0
        self.slowest = 0.0

    def open(self) -> tuple[socket.socket, str]:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        port = free_port()
        sock.bind(("127.0.0.1", port))
        sock.connect((self.server.host, self.server.port))
        sock.setblocking(False)
        return sock, f"127.0.0.1:{port}"

    def register_callee(self) -> None:
        """The binding that INVITEs for `callee` lead to."""
        line = f"Contact: <sip:callee@{self.callee_address}>\r\nExpires: 7200\r\n"
        self.number += 1
        self.sock.send(numbered(message("REGISTER", "callee", self.local, line), self.number))

    def send_batch(self) -> None:
        """Fifty mutants."""
        chance = self.mutator.chance
        done = 0
        while done < BATCH:
            self.number += 1
            good = numbered(chance.choice(self.templates), self.number)
            mutant = self.mutator.mutate(good, chance.choice(self.templates))
            if not self.private and not stays_here(mutant):
                self.left_out += 1
                continue
            with suppress(BlockingIOError, ConnectionRefusedError):
                self.sock.send(mutant)
                self.sent += 1
            done += 1

    def drain(self) -> list[bytes]:
        """All that came back; calls that reach the callee are refused so that they end."""
        found = []
        with suppress(BlockingIOError, ConnectionRefusedError):
            while True:
                found.append(self.sock.recv(65_535))
        with suppress(BlockingIOError, ConnectionRefusedError):
            while True:
                self.refuse(self.callee.recv(65_535))
        self.heard += len(found)
        return found

    def refuse(self, data: bytes) -> None:
        """Answer a forwarded request, whatever its state, by copying what must be copied."""
        if data.startswith((b"ACK", b"SIP/2.0")):
            return
        head = data.partition(b"\r\n\r\n")[0]
        wanted = rb"(?im)^(?:via|v|from|f|to|t|call-id|i|cseq)[ \t]*:.*(?:\r\n[ \t].*)*"
        status = b"486 Busy Here" if data.startswith(b"INVITE") else b"200 OK"
        lines = [m[0].rstrip(b"\r\n") for m in re.finditer(wanted, head)]
        answer = b"\r\n".join([b"SIP/2.0 " + status, *lines, b"Content-Length: 0", b"", b""])
        with suppress(OSError):
            self.callee.send(answer)

    def fence(self, patience: float = 8.0) -> None:
        """Good OPTIONS on several Call-IDs: answered, the batch before them has been read."""
        names = []
        for _ in range(4):
            self.number += 1
            text = numbered(self.options, self.number)
            names.append((b"mutant-%d@" % (10_000_000 + self.number), text))
        began, resend = time.monotonic(), 0.0
        while names and time.monotonic() < began + patience:
            if time.monotonic() >= resend:
                resend = time.monotonic() + 0.5
                for _, text in names:
                    with suppress(BlockingIOError, ConnectionRefusedError):
                        self.sock.send(text)
            for answer in self.drain():
                if answer.startswith(b"SIP/2.0 200"):
                    names = [pair for pair in names if pair[0] not in answer]
            time.sleep(0.0002)
        self.unanswered += len(names)
        self.slowest = max(self.slowest, time.monotonic() - began)

    def run(self, count: int) -> None:
        """`count` mutants, fenced every fifty; ends early when nothing answers any more."""
        goal, said = self.sent + count, time.monotonic()
        while self.sent < goal and not self.unanswered:
            self.send_batch()
            self.fence()
            if time.monotonic() > said + 20:
                said = time.monotonic()
                print(f"{self.sent} sent", file=sys.stderr, flush=True)
            if self.number % 500 < BATCH:
                self.register_callee()


def anonymous(server: Sipherd) -> int:
    """Anonymous memory of all processes of the server."""
    return sum(processes.private_bytes(pid) for pid in processes.tree(server.pid))


def run(args: argparse.Namespace, folder: Path, private: bool) -> tuple[dict[str, Any], bool]:
    """The report, and whether all of it is as it must be."""
    began = time.monotonic()
    with Sipherd(folder) as server:
        pids = processes.tree(server.pid)
        sender = Sender(server, args.seed, private)
        sender.register_callee()
        sender.fence()
        warm = args.count // 2
        sender.run(warm)
        if args.rest:
            time.sleep(args.rest)
        before = anonymous(server)
        sender.run(args.count - warm)
        if args.rest:
            time.sleep(args.rest)
        after = anonymous(server)
        sender.fence()
        exited = [pid for pid in pids if not processes.alive(pid)]
        sender.sock.close()
        sender.callee.close()
    slope = (after - before) / (args.count - warm) * 1e6
    report = {
        "seed": args.seed,
        "sent": sender.sent,
        "heard": sender.heard,
        "seconds": round(time.monotonic() - began, 1),
        "private_network": private,
        "left_out": sender.left_out,
        "good_unanswered": sender.unanswered,
        "slowest_good_s": round(sender.slowest, 3),
        "exited": len(exited),
        "tracebacks": server.log.count("Traceback"),
        "log_bytes": len(server.log),
        "memory_before": before,
        "memory_after": after,
        "slope_per_million": round(slope),
    }
    good = not (exited or sender.unanswered or report["tracebacks"])
    judged = args.rest and args.count >= JUDGING
    return report, good and (not judged or slope < SLOPE_LIMIT)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument(
        "--rest",
        type=float,
        default=REST,
        help="seconds of silence before memory is read; 0: do not judge memory",
    )
    args = parser.parse_args()
    private = enter_private_network()
    if not private:
        print("no network namespace allowed: foreign hosts are left out", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="mutate-") as folder:
        report, good = run(args, Path(folder), private)
    print(json.dumps(report))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
