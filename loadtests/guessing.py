"""Ten thousand wrong passwords, none of which may get in.

    python -m loadtests.guessing [--tries 10000] [--users 10] [--lines 50]

Every guess is well-formed, has a nonce of the server and counts it up as a phone would; half of the
users exist. The right password is tried before and after, so that the server is known to have been
listening. Prints JSON; exit status 1 if a guess got in, or a right password did not.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import socket
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import quote

from loadtests.servers import DOMAIN, Sipherd

PASSWORD = "correct-horse"
SETTINGS = """
[auth]
enabled = true
[storage]
urls = ["sqlite:///users.db"]
"""
CHALLENGE = re.compile(r'^WWW-Authenticate: Digest .*?nonce="([^"]+)".*?algorithm=([\w-]+)', re.M)
HASHES = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}


class Guesser:
    """One line: a socket, a user, the newest nonce."""

    def __init__(self, server: tuple[str, int], user: str) -> None:
        self.user = user
        self.address = f"sip:{quote(user)}@{DOMAIN}"
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.connect(server)
        self.sock.settimeout(20)
        self.here = "{}:{}".format(*self.sock.getsockname())
        self.cseq = self.nc = 0
        self.challenges: list[tuple[str, str]] = []
        self.last_line = self.last_answer = ""

    def register(self, line: str = "") -> int:
        """Send a REGISTER; the status of the answer, whose challenges are kept."""
        self.cseq += 1
        self.last_line = line
        self.sock.send(
            (
                f"REGISTER sip:{DOMAIN} SIP/2.0\r\n"
                f"Via: SIP/2.0/UDP {self.here};branch=z9hG4bKg{self.cseq};rport\r\n"
                f"Max-Forwards: 70\r\nFrom: <{self.address}>;tag=g\r\n"
                f"To: <{self.address}>\r\nCall-ID: g-{self.here}\r\n"
                f"CSeq: {self.cseq} REGISTER\r\nContact: <sip:{quote(self.user)}@{self.here}>\r\n"
                f"{line}Content-Length: 0\r\n\r\n"
            ).encode()
        )
        answer = self.last_answer = self.sock.recv(65_535).decode()
        if found := CHALLENGE.findall(answer):
            self.challenges = found
            self.nc = 0
        return int(answer[8:11])

    def guess(self, password: str, number: int) -> int:
        """Register with a password, by one or the other algorithm."""
        if not self.challenges:
            self.register()
        nonce, algorithm = self.challenges[number % len(self.challenges)]
        self.nc += 1

        def h(text: str) -> str:
            return HASHES[algorithm](text.encode()).hexdigest()

        uri = f"sip:{DOMAIN}"
        ha1, ha2 = h(f"{self.user}:{DOMAIN}:{password}"), h(f"REGISTER:{uri}")
        response = h(f"{ha1}:{nonce}:{self.nc:08x}:c:auth:{ha2}")
        return self.register(
            f'Authorization: Digest username="{self.user}", realm="{DOMAIN}", nonce="{nonce}", '
            f'uri="{uri}", response="{response}", algorithm={algorithm}, qop=auth, '
            f'nc={self.nc:08x}, cnonce="c"\r\n'
        )


def run(tries: int, users: int, lines: int) -> dict[str, object]:
    """Guess; what came of it."""
    with tempfile.TemporaryDirectory() as folder:
        server = Sipherd(Path(folder), settings=SETTINGS)
        config = ("-c", str(server.config_path))
        server.run_command("db", "create", *config)
        for number in range(users // 2):
            server.run_command("db", "add-user", f"user{number}@{DOMAIN}", *config, text=PASSWORD)
        with server:
            address = (server.host, server.port)
            right = [Guesser(address, "user0").guess(PASSWORD, 0)]
            guessers = [Guesser(address, f"user{number % users}") for number in range(lines)]
            started = time.monotonic()
            statuses: dict[int, int] = {}
            for number in range(tries):
                status = guessers[number % lines].guess(f"guess {number}", number)
                statuses[status] = statuses.get(status, 0) + 1
            seconds = time.monotonic() - started
            right.append(Guesser(address, "user0").guess(PASSWORD, 1))
            counted = server.statistics("sipherd:")
            return {
                "tries": tries,
                "statuses": statuses,
                "right_password": right,
                "registered": sorted(server.bindings()),
                "auth_accepted": counted["sipherd:auth_accepted"],
                "auth_wrong": counted["sipherd:auth_wrong"],
                "database_questions": counted["sipherd:auth_fetches"],
                "per_second": round(tries / seconds),
            }


def main() -> int:
    """Run, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tries", type=int, default=10_000)
    parser.add_argument("--users", type=int, default=10)
    parser.add_argument("--lines", type=int, default=50)
    args = parser.parse_args()
    found = run(args.tries, args.users, args.lines)
    print(json.dumps(found, indent=2))
    held = found["statuses"] == {401: args.tries} and found["right_password"] == [200, 200]
    return 0 if held and found["auth_accepted"] == 2 else 1


if __name__ == "__main__":
    sys.exit(main())
