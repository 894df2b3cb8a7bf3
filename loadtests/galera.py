"""Two servers on a Galera cluster of three, behind haproxy: conflicts, deaths, a lost majority.

    python -m loadtests.galera [--seconds 10] [--users 40] [--deaths 3]

Both servers register the same phones at the same moment, so that their transactions meet and lose;
then database servers are killed in turn, then all but one. Every 200 must be in the table, in
write-through as in sql-only, and what one server has answered the other must find.
Needs the Debian packages mariadb-server, galera-4, haproxy and rsync.
"""

from __future__ import annotations

import argparse
import re
import select
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from loadtests.galera_cluster import Cluster, is_installed
from loadtests.registering import Node, Phone, register, wait_for
from workers.storage.setup import create

ANSWER = re.compile(r"SIP/2.0 (\d+).*Call-ID: (\w+)-(\w+)\r.*CSeq: (\d+)", re.DOTALL)
MODES = ("single-instance-sql-write-through", "sql-only")
PATIENCE_S = 3.0  # for the answers of a round: longer than wait_seconds
BACK_S = 60.0


class Writers:
    """The same users at every server: each says that it is at the first one's address."""

    def __init__(self, nodes: list[Node], users: int) -> None:
        self.phones = [Phone(node) for node in nodes]
        self.users = [f"u{number}" for number in range(users)]
        self.cseq = 0
        self.answers: Counter[int] = Counter()
        self.promised: dict[tuple[str, str], int] = {}  # whose, by whom: the last CSeq
        self.silence = self.longest = 0.0

    def round(self) -> None:
        """All users at all servers at once; note what is promised."""
        self.cseq += 1
        for user in self.users:
            for number, phone in enumerate(self.phones):
                said = register(user, self.phones[0].port, cseq=self.cseq)
                phone.say(said.replace(b"Call-ID: call-", b"Call-ID: server%d-" % number))
        waiting, good = len(self.users) * len(self.phones), False
        began = time.monotonic()
        while waiting and (left := began + PATIENCE_S - time.monotonic()) > 0:
            for sock in select.select([phone.socket for phone in self.phones], [], [], left)[0]:
                found = ANSWER.match(sock.recv(65_535).decode())
                assert found is not None
                status, server, user, cseq = found.groups()
                self.answers[int(status)] += 1
                waiting -= int(cseq) == self.cseq
                if status == "200":
                    good = True
                    self.promised[user, server] = int(cseq)
        if waiting:
            self.answers[0] += waiting
        took = time.monotonic() - began
        self.silence = 0.0 if good else self.silence + took
        self.longest = max(self.longest, self.silence)

    def run(self, seconds: float) -> int:
        """Round after round; how many."""
        ends, before = time.monotonic() + seconds, self.cseq
        while time.monotonic() < ends:
            self.round()
        return self.cseq - before

    def broken(self, cluster: Cluster, alive: int) -> list[str]:
        """Promises that a server of the cluster does not keep: the row of each user is as new."""
        cluster.wait_synced()
        query = "SELECT username, callid, cseq FROM location"
        lines = cluster.nodes[alive].sql(query, "sipherd").splitlines()
        rows = {user: (call_id, int(cseq)) for user, call_id, cseq in map(str.split, lines)}
        wrong = []
        for (user, server), cseq in self.promised.items():
            call_id, stored = rows.get(user, ("", 0))
            by_another = call_id != f"{server}-{user}" and call_id
            if not by_another and stored < cseq:
                wrong.append(f"{user} of {server}: {cseq} promised, {stored} stored")
        return wrong

    def close(self) -> None:
        """Close the sockets."""
        for phone in self.phones:
            phone.close()


@contextmanager
def servers(folder: Path, url: str, mode: str) -> Iterator[list[Node]]:
    """Two servers on one database."""
    nodes = []
    try:
        for name in ("one", "two"):
            place = folder / f"{mode}-{name}"
            place.mkdir()
            nodes.append(Node(place, f'urls = ["{url}"]\nmode = "{mode}"\nwait_seconds = 2.0'))
            nodes[-1].start()
        yield nodes
    finally:
        for node in nodes:
            node.cleanup()


def repeated(nodes: list[Node]) -> int:
    """Transactions that the servers have tried again."""
    return sum(int(node.ctl("db_status")["databases"][0]["repeated"]) for node in nodes)


def visible(nodes: list[Node], tries: int) -> int:
    """How many phones one server had registered and the other did not find at once."""
    phones = [Phone(node) for node in nodes]
    missed = 0
    for number in range(tries):
        one, other = phones[number % 2], phones[1 - number % 2]
        user = f"seen{number}"
        assert one.register(user) == 200
        other.say(
            f"INVITE sip:{user}@example.com SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP 127.0.0.1:{other.port};branch=z9hG4bKs{number};rport\r\n"
            f"From: <sip:caller@example.com>;tag=a\r\nTo: <sip:{user}@example.com>\r\n"
            f"Call-ID: seen-{number}\r\nCSeq: 1 INVITE\r\nMax-Forwards: 70\r\n"
            f"Contact: <sip:caller@127.0.0.1:{other.port}>\r\nContent-Length: 0\r\n\r\n".encode()
        )
        status = 0
        while status < 200 and not select.select([one.socket], [], [], 0)[0]:
            if select.select([one.socket, other.socket], [], [], 2.0)[0] == [other.socket]:
                status = other.receive()[0]
        missed += status >= 200
        for phone in phones:
            phone.drain()
    for phone in phones:
        phone.close()
    return missed


def try_mode(folder: Path, cluster: Cluster, mode: str, args: argparse.Namespace) -> list[str]:
    """Conflicts, deaths, and a lost majority, in one mode; what went wrong."""
    failures: list[str] = []
    cluster.nodes[0].sql("DELETE FROM location", "sipherd")
    with servers(folder, cluster.url("sipherd"), mode) as nodes:
        writers = Writers(nodes, args.users)

        def part(name: str, seconds: float, alive: int = -1) -> None:
            refused, before = cluster.conflicts(), repeated(nodes)
            writers.answers.clear()
            writers.longest = 0.0
            rounds = writers.run(seconds)
            broken = writers.broken(cluster, alive) if alive >= 0 else []
            print(
                f"{mode}, {name}: {rounds} rounds, answers {dict(writers.answers)}, "
                f"refused by Galera {max(0, cluster.conflicts() - refused)}, repeated "
                f"{repeated(nodes) - before}, longest without a 200 {writers.longest:.1f} s",
                flush=True,
            )
            failures.extend(f"{mode}, {name}: {each}" for each in broken)

        wait_for(lambda: writers.run(0.01) and writers.answers[200], BACK_S)
        part("both write", args.seconds, 0)
        if set(writers.answers) != {200}:
            failures.append(f"{mode}: conflicts are answered {dict(writers.answers)}")
        if mode == "sql-only" and (missed := visible(nodes, 50)):
            failures.append(f"{mode}: {missed} of 50 registrations were not seen by the other")
        for death in range(args.deaths):
            cluster.kill(death % 3)
            part(f"death of database {death % 3 + 1}", args.seconds, (death + 1) % 3)
            if not writers.answers[200]:
                failures.append(f"{mode}: nobody took over from database {death % 3 + 1}")
            cluster.revive(death % 3)
        cluster.kill(0)
        cluster.kill(1)
        part("no majority", args.seconds / 2)
        cluster.nodes[2].sql("SET GLOBAL wsrep_provider_options = 'pc.bootstrap=YES'")
        cluster.revive(0)
        cluster.revive(1)
        writers.answers.clear()
        wait_for(lambda: writers.run(0.01) and writers.answers[200], BACK_S)
        part("all back", args.seconds / 2, 0)
        writers.close()
    return failures


def main() -> int:
    """Run, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--users", type=int, default=40)
    parser.add_argument("--deaths", type=int, default=3)
    args = parser.parse_args()
    if not is_installed():
        parser.error("the packages galera-4, haproxy and rsync are needed")
    folder = Path(tempfile.mkdtemp(prefix="sipherd-galera-"))
    cluster = Cluster(folder, 3)
    try:
        cluster.start()
        create(cluster.url("sipherd"))
        failures = [wrong for mode in MODES for wrong in try_mode(folder, cluster, mode, args)]
    finally:
        cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)
    for failure in failures:
        print(f"FAILED {failure}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
