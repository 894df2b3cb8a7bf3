"""The real supervisor, timekeeper and control; workers that are real, or do as they are told."""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
from dataclasses import replace
from pathlib import Path

from proxy.errors import ConfigError, SipherdError
from workers import udp_worker
from workers.child import Child
from workers.config import load
from workers.roles import child_specs
from workers.start import serve

BEAT_MS = 100


def echo(child: Child) -> int:
    """Answer each datagram with this process's number, or misbehave as it asks."""
    member = socket.socket(fileno=child.sockets[0][0])
    poll = select.poll()
    for fd in (member.fileno(), child.stop_fd, child.parent_fd):
        poll.register(fd, select.POLLIN)
    while True:
        child.beat()
        for fd, _ in poll.poll(BEAT_MS):
            if fd != member.fileno():
                member.detach()
                return 0
            data, source = member.recvfrom(2_048)
            if answer := obey(child, data):
                member.sendto(answer, source)


def obey(child: Child, data: bytes) -> bytes:
    if data == b"crash":
        raise ZeroDivisionError("told to")
    if data == b"segv":
        os.kill(os.getpid(), signal.SIGSEGV)
    while data == b"hang":
        pass
    if data == b"talk":
        for number in range(5_000):
            child.log.info(f"talk {number}", text="x" * 500)
    if data == b"fds":
        return str(len(os.listdir("/proc/self/fd"))).encode()
    return str(os.getpid()).encode()


def deaf(child: Child) -> int:
    """Live on whatever is asked."""
    while True:
        child.beat()
        select.poll().poll(BEAT_MS)


def refuse(child: Child) -> int:
    raise SipherdError("the policy does not compile.")


def never_up(child: Child) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return 0


WORKERS = {
    "sip": udp_worker.run,
    "echo": echo,
    "deaf": deaf,
    "refuse": refuse,
    "never_up": never_up,
}


def main(file: str, worker: str) -> int:
    try:
        config = load(Path(file))
        specs = [
            replace(spec, target=WORKERS[worker]) if spec.reads_sockets else spec
            for spec in child_specs(config)
        ]
        return serve(config, specs)
    except (ConfigError, SipherdError) as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
