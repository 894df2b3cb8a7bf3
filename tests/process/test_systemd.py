"""A service manager that hears what the server tells it, and keeps its sockets over a kill."""

from __future__ import annotations

import array
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from process_harness import HERE, SETTINGS, SOURCES, Server, ask_pid, wait_for

Make = Callable[..., Server]
UNIT = SOURCES / "conf" / "sipherd.service"


class Manager:
    """The other end of sd_notify."""

    def __init__(self, folder: Path) -> None:
        self.path = str(folder / "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.socket.setblocking(False)
        self.heard: list[str] = []
        self.kept: dict[str, list[int]] = {}

    def listen(self) -> list[str]:
        """Everything heard so far."""
        while True:
            try:
                text, ancillary, _, _ = self.socket.recvmsg(4_096, 4_096)
            except BlockingIOError:
                return self.heard
            self.heard.append(text.decode())
            name = text.decode().rpartition("FDNAME=")[2]
            for _, _, data in ancillary:
                fds = array.array("i")
                fds.frombytes(data)
                self.kept.setdefault(name, []).extend(fds)

    def has_heard(self, what: str) -> bool:
        return any(what in each for each in self.listen())

    def close(self) -> None:
        self.socket.close()
        for fds in self.kept.values():
            for fd in fds:
                os.close(fd)


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    made = Manager(tmp_path)
    monkeypatch.setenv("NOTIFY_SOCKET", made.path)
    monkeypatch.setenv("WATCHDOG_USEC", "1000000")
    yield made
    made.close()


def test_it_hears_of_each_stage(make_server: Make, manager: Manager) -> None:
    server = make_server().launch()
    wait_for(lambda: manager.has_heard("READY=1\nSTATUS=running"))
    assert " running " in server.log
    server.signal(signal.SIGHUP)
    wait_for(lambda: manager.has_heard("RELOADING=1\nMONOTONIC_USEC="))
    wait_for(lambda: manager.listen()[-1].startswith(("READY=1", "WATCHDOG")))
    wait_for(lambda: manager.has_heard("STATUS=running, edition 2"))
    assert server.stop() == 0
    assert manager.has_heard("STOPPING=1")


def test_the_watchdog_is_fed_while_every_process_lives(make_server: Make, manager: Manager) -> None:
    server = make_server(SETTINGS.replace("hang_seconds = 10", "hang_seconds = 60")).launch()
    wait_for(lambda: manager.has_heard("WATCHDOG=1"))
    os.kill(server.workers()[0], signal.SIGSTOP)
    # What was fed before it stopped may still come; from then on nothing does.
    wait_for(lambda: not fed_within(manager, 1.5))
    os.kill(server.workers()[0], signal.SIGCONT)
    wait_for(lambda: fed_within(manager, 1.5))


def fed_within(manager: Manager, seconds: float) -> bool:
    before = manager.listen().count("WATCHDOG=1")
    try:
        wait_for(lambda: manager.listen().count("WATCHDOG=1") > before, seconds)
    except AssertionError:
        return False
    return True


def test_what_comes_while_nobody_lives_is_answered_afterwards(
    make_server: Make, manager: Manager
) -> None:
    server = make_server().launch()
    wait_for(lambda: manager.has_heard("READY=1"))
    with server.client() as client:
        before = ask_pid(client)
        server.signal(signal.SIGKILL)
        server.wait()
        client.send(b"is anybody there")
        restart(server, manager)
        after = int(client.recv(100))  # to the datagram that came in between
    assert after != before
    assert after in server.workers()
    assert server.stop() == 0


def restart(server: Server, manager: Manager) -> None:
    """Start again as a service manager does: with what it has kept as descriptors from 3 on."""
    ((name, fds),) = manager.kept.items()
    manager.heard.clear()
    code = (
        "import os, sys\n"
        f"fds = {fds}\n"
        "high = [os.dup2(fd, 500 + n) for n, fd in enumerate(fds)]\n"
        "[os.dup2(fd, 3 + n) for n, fd in enumerate(high)]\n"
        "os.environ['LISTEN_PID'] = str(os.getpid())\n"
        f"os.environ['LISTEN_FDS'] = '{len(fds)}'\n"
        f"os.environ['LISTEN_FDNAMES'] = ':'.join(['{name}'] * {len(fds)})\n"
        "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])\n"
    )
    with server.log_path.open("ab") as log:
        server.process = subprocess.Popen(
            [sys.executable, "-c", code, str(HERE / "echo_server.py"), str(server.file), "echo"],
            stderr=log,
            pass_fds=fds,
            env={**os.environ, "PYTHONPATH": str(SOURCES)},
        )
    wait_for(lambda: manager.has_heard("READY=1"))


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd here")
def test_the_unit_is_hardened() -> None:
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=20", str(UNIT)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-300:] + done.stderr
    assert "Overall exposure level for sipherd.service: 1." in done.stdout
