"""UDP and TCP ports for everything that tests and load runs start: 21000 to 23999 only."""

from __future__ import annotations

import itertools
import random
import socket

FIRST, LAST = 21_000, 23_999
_taken: set[int] = set()


def _is_free(port: int) -> bool:
    """Whether nothing holds `port` on either loopback, datagrams and streams alike."""
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
            try:
                with socket.socket(family, kind) as probe:
                    probe.bind((host, port))
            except OSError as error:
                if error.errno in (97, 99):  # no IPv6 on this machine
                    continue
                return False
    return True


def free_port(run: int = 1) -> int:
    """The first of `run` neighbouring free ports, not handed out before by this process."""
    for _ in itertools.repeat(None, 5_000):
        port = random.randrange(FIRST, LAST - run + 1)
        wanted = range(port, port + run)
        if _taken.isdisjoint(wanted) and all(_is_free(p) for p in wanted):
            _taken.update(wanted)
            return port
    raise RuntimeError(f"no free port between {FIRST} and {LAST}")


def release_port(port: int) -> None:
    """Give a port back that nothing uses any more."""
    _taken.discard(port)
