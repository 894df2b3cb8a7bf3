"""Write-through under fire: MariaDB or sipherd is killed, again and again, at random moments.

    python -m loadtests.durability [--deaths 100] [--seed 1]

After each death every REGISTER that got its 200 must be in the table; else exit status 1.
"""

from __future__ import annotations

import argparse
import random
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


def promises(phone: Phone) -> set[str]:
    """Whom the next answer promises to be registered."""
    status, call_id = phone.receive()
    return {call_id.removeprefix("call-")} if status == 200 else set()


def one_death(
    death: int, chance: random.Random, server: MariaDb, node: Node, promised: set[str]
) -> str:
    """Register, kill somebody on the way, start them again; who was killed."""
    phone = Phone(node)
    victim = chance.choice(["MariaDB", "sipherd", "both"])
    for number in range(USERS):
        phone.send(f"d{death}n{number}")
    for _ in range(chance.randrange(1, USERS - 10)):  # and then, in the midst of it
        promised |= promises(phone)
    time.sleep(chance.random() * 0.002)
    if victim != "sipherd":
        server.signal(signal.SIGKILL)
    if victim != "MariaDB":
        node.kill()
    phone.socket.settimeout(0.3)
    try:
        while True:
            promised |= promises(phone)
    except (TimeoutError, ConnectionError):
        phone.close()
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
    promised: set[str] = set()
    node = None
    try:
        server.start()
        url = server.url("durability")
        create(url)
        node = Node(folder, f'urls = ["{url}"]\n{MODE}')
        node.file.write_text(node.file.read_text().replace("= 2000", "= 20000"))
        node.start()
        for death in range(arguments.deaths):
            victim = one_death(death, chance, server, node, promised)
            query = "SELECT username FROM location"
            missing = promised - set(server.sql(query, "durability").split())
            if missing:
                print(f"death {death} ({victim}): promised and lost: {sorted(missing)[:5]}")
                return 1
            if victim != "MariaDB":
                node.start()
            phone = Phone(node)
            who = f"after{death}"
            wait_for(lambda phone=phone, who=who: phone.try_register(who) == 200, 60)
            phone.close()
        print(f"{arguments.deaths} deaths, {len(promised)} promises, all kept")
    finally:
        if node is not None:
            node.cleanup()
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
