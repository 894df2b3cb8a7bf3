"""The generator of load keeps to the rules that it measures a server by."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
from collections import Counter

from loadtests.generating import build
from loadtests.ports import free_port

USERS = 10
COPIED = re.compile(rb"^(Via|From|To|Call-ID|CSeq):.*\r\n", re.MULTILINE | re.IGNORECASE)


def test_a_telephone_sends_no_register_while_another_is_unanswered() -> None:
    """Whatever the rate, and however long the server takes (RFC 3261 §10.2)."""
    copies: Counter[tuple[bytes, bytes]] = Counter()
    overtaken = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(0.05)
        to = f"127.0.0.1:{server.getsockname()[1]}"
        words = [build(), "refresh", "-t", to, "-p", str(os.getpid()), "-D", "example.com"]
        words += ["-f", str(free_port(2)), "-u", str(USERS), "-r", "200", "-d", "0.5"]
        unanswered: dict[bytes, bytes] = {}
        with subprocess.Popen(words, stdout=subprocess.PIPE) as generator:
            while generator.poll() is None:
                try:
                    data, source = server.recvfrom(4096)
                except TimeoutError:
                    continue
                lines = {m[1].lower(): m[0] for m in COPIED.finditer(data)}
                phone, number = lines[b"call-id"], lines[b"cseq"]
                if unanswered.setdefault(phone, number) != number:
                    overtaken.append(data)
                copies[phone, number] += 1
                is_first = sum(of == phone for of, _ in copies) == 1
                if is_first or copies[phone, number] == 2:
                    del unanswered[phone]
                    answer = b"SIP/2.0 200 OK\r\n" + b"".join(lines.values()) + b"\r\n"
                    server.sendto(answer, source)
            found = json.loads(generator.communicate()[0])
    assert not overtaken
    assert found["resent"] == found["done"] == USERS
    assert found["skipped"] >= 80
