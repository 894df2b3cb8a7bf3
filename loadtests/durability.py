"""Write-through under fire: MariaDB or sipherd is killed, again and again, at random moments.

    python -m loadtests.durability [--deaths 100] [--seed 1]

Half of the phones are new each time, half refresh what they have (another statement: four columns).
After each death every REGISTER that got its 200 must be in the table; else exit status 1.
"""

from __future__ import annotations

import argparse
import random
import re
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from loadtests.mariadb import MariaDb
from loadtests.registering import Node, Phone, wait_for
from workers.storage.setup import create

MODE = 'mode = "single-instance-sql-write-through"\nwait_seconds = 1.0'
USERS = 60
Promised = dict[str, int]  # users, and the highest CSeq that was answered
CALL_ID, CSEQ = re.compile(r"Call-ID: call-(\S+)"), re.compile(r"CSeq: (\d+)")


def take_promise(phone: Phone, promised: Promised) -> None:
    """Note who is registered by the next answer, and by which CSeq."""
    answer = phone.socket.recv(65_535).decode()
    if answer.startswith("SIP/2.0 200"):
        user, cseq = CALL_ID.search(answer), CSEQ.search(answer)
        assert user is not None
        assert cseq is not None
        promised[user[1]] = max(promised.get(user[1], 0), int(cseq[1]))


def one_death(
    death: int, chance: random.Random, server: MariaDb, node: Node, phone: Phone, promised: Promised
) -> str:
    """Register, kill somebody on the way, start them again; who was killed."""
    victim = chance.choice(["MariaDB", "sipherd", "both"])
    steady = [f"steady{number}" for number in range(USERS // 2)]
    for user in steady:  # so that the next one is a plain refresh
        assert phone.register(user, cseq=2 * death + 1) == 200
    users = steady + [f"d{death}n{number}" for number in range(USERS // 2)]
    chance.shuffle(users)
    for user in users:
        phone.send(user, cseq=2 * death + 2)
    for _ in range(chance.randrange(1, USERS - 10)):  # and then, in the midst of it
        take_promise(phone, promised)
    time.sleep(chance.random() * 0.002)
    if victim != "sipherd":
        server.signal(signal.SIGKILL)
    if victim != "MariaDB":
        node.kill()
    phone.socket.settimeout(0.3)
    try:
        while True:
            take_promise(phone, promised)
    except (TimeoutError, ConnectionError):
        phone.socket.settimeout(8.0)
    if victim != "sipherd":
        server.start()
    return victim


def main() -> int:
    """Kill and look; 1 when something was promised and not kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--deaths", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    folder = Path(tempfile.mkdtemp(prefix="sipherd-durability-"))
    server = MariaDb(folder)
    promised: Promised = {}
    node = None
    try:
        server.start()
        url = server.url("durability")
        create(url)
        node = Node(folder, f'urls = ["{url}"]\n{MODE}')
        node.file.write_text(node.file.read_text().replace("= 2000", "= 20000"))
        node.start()
        phone = Phone(node)
        for death in range(arguments.deaths):
            victim = one_death(death, chance, server, node, phone, promised)
            found = server.sql("SELECT username, cseq FROM location", "durability").split()
            held = dict(zip(found[::2], map(int, found[1::2]), strict=True))
            missing = [user for user, cseq in promised.items() if held.get(user, 0) < cseq]
            if missing:
                print(f"death {death} ({victim}): promised and lost: {sorted(missing)[:5]}")
                return 1
            if victim != "MariaDB":
                node.start()
            phone.drain()
            other, who = Phone(node), f"after{death}"
            wait_for(lambda other=other, who=who: other.try_register(who) == 200, 60)
            other.close()
        print(f"{arguments.deaths} deaths, {len(promised)} phones promised, all kept")
    finally:
        if node is not None:
            node.cleanup()
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
