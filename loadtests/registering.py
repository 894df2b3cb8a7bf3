"""A real node with a database, and a phone that registers with it."""

from __future__ import annotations

import contextlib
import select
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from loadtests import processes
from loadtests.ports import free_port
from loadtests.warm_start import WarmProcess, starter
from workers.control_client import ask


def wait_for(check: Callable[[], Any], timeout_s: float = 20.0) -> Any:
    """The first true value of `check`, looked at every 5 ms."""
    deadline = time.monotonic() + timeout_s
    while not (value := check()):
        assert time.monotonic() < deadline, f"{check} never became true"
        select.poll().poll(5)
    return value


def register(
    user: str,
    port: int,
    cseq: int = 1,
    expires: int = 3600,
    contact: str = "",
    call_id: str = "",
    agent: str = "x",
) -> bytes:
    return (
        f"REGISTER sip:example.com SIP/2.0\r\n"
        f"Via: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bK{user}-{cseq};rport\r\n"
        f"From: <sip:{user}@example.com>;tag=a\r\nTo: <sip:{user}@example.com>\r\n"
        f"Call-ID: call-{user}\r\nCSeq: {cseq} REGISTER\r\nMax-Forwards: 70\r\n"
        f"User-Agent: {agent}\r\nContact: <sip:{user}@127.0.0.1:{port}>\r\n"
        f"Expires: {expires}\r\nContent-Length: 0\r\n\r\n"
    ).encode()


class Node:
    """One sipherd with `[storage]` settings; the same folder may be started again."""

    def __init__(self, folder: Path, storage: str, more: str = "") -> None:
        self.folder = folder
        self.port = free_port()
        self.file = folder / "s.toml"
        self.log_path = folder / "log"
        self.process: WarmProcess | None = None
        self.configure(storage, more)

    def configure(self, storage: str, more: str = "") -> None:
        self.file.write_text(
            f'[node]\nruntime_dir = "var"\ndomains = ["example.com"]\n'
            f'[listen]\nudp = ["127.0.0.1:{self.port}"]\nreceive_buffer = 1048576\n'
            "[workers]\nudp = 2\ndrain_seconds = 1\ninbox_bytes = 262144\n"
            "[location]\ncapacity = 2000\n"
            f"[registrar]\nexpires_jitter = 0\n[storage]\n{storage}\n{more}\n"
        )

    @property
    def log(self) -> str:
        return self.log_path.read_text() if self.log_path.exists() else ""

    def start(self) -> Node:
        before = self.log.count(" running ")
        words = ["-m", "workers", "run", "-c", str(self.file)]
        self.process = starter().start(words, self.log_path)
        wait_for(lambda: self.log.count(" running ") > before or self.process.poll() is not None)
        assert self.process.poll() is None, self.log
        return self

    def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)

    def kill(self) -> None:
        """End the supervisor, and all of its children with it, at once."""
        assert self.process is not None
        members = processes.tree(self.process.pid)
        self.process.kill()
        self.process.wait()
        wait_for(lambda: not any(map(processes.alive, members)))

    def cleanup(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill()

    def ctl(self, method: str, **params: Any) -> Any:
        answer = ask(self.folder / "var", method, params)
        assert "error" not in answer, answer
        return answer["result"]

    def count(self, name: str) -> int:
        return int(self.ctl("get_statistics", statistics=[name]).get(name, 0))

    def storage_pid(self) -> int:
        rows = self.ctl("ps")["Processes"]
        return next((int(row["PID"]) for row in rows if row["Type"] == "storage"), 0)

    def is_registered(self, user: str) -> bool:
        answer = ask(
            self.folder / "var", "ul_show_contact", {"table_name": "location", "aor": user}
        )
        return "result" in answer


class Phone:
    """A socket that registers users."""

    def __init__(self, node: Node, timeout_s: float = 20.0) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))  # not connected: calls may come from another node
        self.server = ("127.0.0.1", node.port)
        self.socket.settimeout(timeout_s)
        self.port = int(self.socket.getsockname()[1])

    def send(self, user: str, **more: Any) -> None:
        self.say(register(user, self.port, **more))

    def say(self, datagram: bytes) -> None:
        self.socket.sendto(datagram, self.server)

    def receive(self) -> tuple[int, str]:
        """The status and the Call-ID of the next answer."""
        status, call_id, _ = self._answer()
        return status, call_id

    def _answer(self) -> tuple[int, str, str]:
        """Status, Call-ID and CSeq; requests, which may be repeated, are passed over."""
        while not (data := self.socket.recv(65_535)).startswith(b"SIP/2.0 "):
            pass
        head, *lines = data.decode().split("\r\n")
        found = dict(line.split(": ", 1) for line in lines if ": " in line)
        return int(head.split()[1]), found["Call-ID"], found["CSeq"]

    def register(self, user: str, cseq: int = 1, **more: Any) -> int:
        """The status of the answer to this very REGISTER."""
        self.send(user, cseq=cseq, **more)
        while (answer := self._answer())[1:] != (f"call-{user}", f"{cseq} REGISTER"):
            pass
        return answer[0]

    def try_register(self, user: str, **more: Any) -> int:
        """The status, or 0 when there is no answer in time."""
        with contextlib.suppress(TimeoutError, ConnectionError):
            return self.register(user, **more)
        return 0

    def reads_invite(self, user: str) -> bool:
        """Whether an INVITE to this user's contact here comes, whatever else does."""
        wanted = f"INVITE sip:{user}@127.0.0.1:{self.port}".encode()
        with contextlib.suppress(TimeoutError):
            while not self.socket.recv(65_535).startswith(wanted):
                pass
            return True
        return False

    def drain(self) -> None:
        """Forget what has come so far."""
        self.socket.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                self.socket.recv(65_535)
        self.socket.settimeout(20.0)

    def close(self) -> None:
        self.socket.close()
