"""A real server on a free port, and how tests talk to it."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import workers
from loadtests.ports import free_port
from loadtests.warm_start import WarmProcess, starter
from workers.control_client import ask

HERE = Path(__file__).parent
PATIENCE_S = 20.0  # nothing is wrong with a machine that is busy with something else
SOURCES = Path(workers.__file__).parent.parent


def wait_for(check: Callable[[], Any], timeout_s: float = PATIENCE_S) -> Any:
    """The first true value of `check`, looked at every 2 ms."""
    deadline = time.monotonic() + timeout_s
    while not (value := check()):
        assert time.monotonic() < deadline, f"{check} never became true"
        select.poll().poll(2)
    return value


def is_alive(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in {"Z", "X"}


class Server:
    """One server process with its children."""

    def __init__(self, folder: Path, settings: str = "", worker: str = "echo") -> None:
        self.folder = folder
        self.port = free_port()
        self.worker = worker
        self.program = SOURCES  # the folder that it is loaded from
        self.file = folder / "s.toml"
        self.file.write_text(settings.replace("PORT", str(self.port)))
        self.process: subprocess.Popen[bytes] | WarmProcess | None = None
        self.log_path = folder / "stderr"

    @property
    def runtime(self) -> Path:
        return self.folder / "var"

    @property
    def log(self) -> str:
        return self.log_path.read_text()

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def launch(self) -> Server:
        self.log_path.touch()
        words = [str(HERE / "echo_server.py"), str(self.file), self.worker]
        environment = {**os.environ, "PYTHONPATH": str(self.program)}
        if self.program == SOURCES:
            self.process = starter().start(words, self.log_path, environment)
            return self
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen([sys.executable, *words], stderr=log, env=environment)
        return self

    def start(self) -> Server:
        before = self.log.count(" running ") if self.log_path.exists() else 0
        self.launch()
        wait_for(lambda: self.log.count(" running ") > before or self.status() is not None)
        assert self.status() is None, self.log
        return self

    def status(self) -> int | None:
        assert self.process is not None
        return self.process.poll()

    def wait(self, timeout_s: float = PATIENCE_S) -> int:
        assert self.process is not None
        return self.process.wait(timeout_s)

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def stop(self) -> int:
        self.signal(signal.SIGTERM)
        return self.wait()

    def ctl(self, method: str, *values: Any, **params: Any) -> Any:
        answer = ask(self.runtime, method, list(values) or params)
        assert "error" not in answer, answer
        return answer["result"]

    def children(self) -> dict[str, int]:
        """The processes by their title."""
        return {row["Type"]: row["PID"] for row in self.ctl("ps")["Processes"][1:]}

    def workers(self) -> list[int]:
        """The three workers, once none of them is being replaced."""

        def found() -> list[int]:
            return [pid for title, pid in sorted(self.children().items()) if "worker" in title]

        return list(wait_for(lambda: pids if len(pids := found()) == 3 else None))

    def client(self) -> socket.socket:
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        client.connect(("127.0.0.1", self.port))
        client.settimeout(PATIENCE_S)
        return client

    def client_of(self, pid: int) -> socket.socket:
        """A client whose datagrams reach worker `pid`."""
        for _ in range(200):
            client = self.client()
            if ask_pid(client) == pid:
                return client
            client.close()
        raise AssertionError(f"no client reaches {pid}")

    def cleanup(self) -> None:
        if self.process is None:
            return
        known: list[int] = []
        with contextlib.suppress(Exception):
            known = list(self.children().values())
        if self.status() is None:
            self.signal(signal.SIGCONT)
            self.signal(signal.SIGKILL)
        self.process.wait()
        wait_for(lambda: not any(is_alive(pid) for pid in known))


def ask_pid(client: socket.socket, what: bytes = b"pid") -> int:
    client.send(what)
    return int(client.recv(100))


SETTINGS = """
[node]
runtime_dir = "var"
[listen]
udp = ["127.0.0.1:PORT"]
receive_buffer = 65536
[workers]
udp = 3
hang_seconds = 10
drain_seconds = 5
grace_seconds = 5
inbox_bytes = 262144
[location]
capacity = 1000
[log]
level = "debug"
"""
# Where somebody is to hang, or to be deaf.
HASTY = SETTINGS.replace("hang_seconds = 10", "hang_seconds = 1").replace(
    "grace_seconds = 5", "grace_seconds = 1"
)
