"""Starts and stops a server as a black box: sipherd, or Kamailio to compare with."""

from __future__ import annotations

import itertools
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from loadtests import processes
from loadtests.ports import free_port, release_port
from proxy.errors import SipherdError
from workers.control_client import ask

ROOT = Path(__file__).resolve().parent.parent
DOMAIN = "example.com"
PATIENT = "[overload]\ntarget_ms = 1_000\nstale_ms = 32_000\n"
DRAIN_S = 1  # what a run has left behind is nothing to wait for
RUNNING = " running udp="
ALL_UP_S = 5.0  # after the first of its workers has answered
_probes = itertools.count()


class ServerFailed(Exception):
    """The server did not start, did not stop, or said something it must not say."""


def hostport(host: str, port: int) -> str:
    """`host:port` as SIP writes it."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def options_ping(host: str, port: int, timeout: float = 0.25) -> bool:
    """Whether the server at this address answers one OPTIONS with 200 within `timeout`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    own = free_port()
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.settimeout(timeout)
            sock.bind(("::1" if ":" in host else "127.0.0.1", own))
            sock.connect((host, port))
            sock.send(_options(hostport(*sock.getsockname()[:2])))
            return sock.recv(4096).startswith(b"SIP/2.0 200")
    except OSError:  # refused while nothing listens, or too late
        return False
    finally:
        release_port(own)


def _options(name: str) -> bytes:
    """An OPTIONS from the address `name`, unlike any other."""
    probe = f"ready-{os.getpid()}-{next(_probes)}"
    return (
        f"OPTIONS sip:{DOMAIN} SIP/2.0\r\n"
        f"Via: SIP/2.0/UDP {name};branch=z9hG4bK{probe};rport\r\n"
        f"From: <sip:probe@invalid>;tag={probe}\r\nTo: <sip:{DOMAIN}>\r\n"
        f"Call-ID: {probe}\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
    ).encode()


class Server:
    """One running server; `with` starts and stops it."""

    name = "server"

    def __init__(self, directory: Path, port: int | None = None, ipv6: bool = False) -> None:
        self.directory = directory
        self.host = "127.0.0.1"
        self.port = port or free_port()
        self.ipv6 = ipv6
        self.domain = DOMAIN
        self.generator_port = 0
        self.log_path = directory / f"{self.name}.log"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Process id of the root of the server's tree."""
        if self.process is None:
            raise ServerFailed(f"{self.name} is not running")
        return self.process.pid

    @property
    def log(self) -> str:
        """All that the server has written so far."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def command(self) -> list[str]:
        """The command line that starts it in the foreground."""
        raise NotImplementedError

    def spawn(self) -> None:
        """Start the process without waiting for it."""
        environment = dict(os.environ, PYTHONPATH=str(ROOT))
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                self.command(),
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def start(self, patience: float = 15.0) -> float:
        """Start it and wait until OPTIONS is answered; returns the seconds that took."""
        began = time.monotonic()
        self.spawn()
        self.wait_ready(began + patience)
        return time.monotonic() - began

    def wait_ready(self, deadline: float) -> None:
        """Wait until OPTIONS is answered on every address; ServerFailed after `deadline`."""
        for host in (self.host, "::1") if self.ipv6 else (self.host,):
            while not options_ping(host, self.port, 0.1):
                if self.process is None or self.process.poll() is not None:
                    raise ServerFailed(f"{self.name} ended while starting:\n{self.log[-4000:]}")
                if time.monotonic() > deadline:
                    processes.kill_tree(self.pid)
                    raise ServerFailed(f"{self.name} does not answer:\n{self.log[-4000:]}")
                time.sleep(0.005)

    def stop(self, patience: float = 15.0) -> int:
        """SIGTERM and wait; returns the exit status. One that does not end is killed."""
        if self.process is None:
            return 0
        self.process.terminate()
        try:
            return self.process.wait(patience)
        except subprocess.TimeoutExpired:
            processes.kill_tree(self.pid)
            self.process.wait()
            raise ServerFailed(f"{self.name} did not end {patience:.0f} s after SIGTERM") from None
        finally:
            self.process = None

    def kill_everything(self) -> None:
        """SIGKILL to every process of the tree."""
        if self.process is not None:
            processes.kill_tree(self.pid)
            self.process.wait()
            self.process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.stop()
        finally:
            self.kill_everything()


class Sipherd(Server):
    """Ours, on a configuration written for the run."""

    name = "sipherd"

    def __init__(
        self,
        directory: Path,
        port: int | None = None,
        ipv6: bool = False,
        workers: int = 2,
        capacity: int = 10_000,
        settings: str = "",
        sheds: bool = False,
    ) -> None:
        super().__init__(directory, port, ipv6)
        self.sheds = sheds  # else a busy machine would have calls refused that a test wants
        self.workers = workers
        self.config_path = directory / "sipherd.toml"
        self.runtime_dir = directory / "var"
        self.runtime_dir.mkdir(exist_ok=True)
        self.config_path.write_text(self._config(capacity) + settings)

    def _config(self, capacity: int) -> str:
        listen = [f"{self.host}:{self.port}"] + ([f"[::1]:{self.port}"] if self.ipv6 else [])
        return (
            f'[node]\nid = 1\ndomains = ["{DOMAIN}"]\nsecret = "load-and-end-to-end-tests-0001"\n'
            f"runtime_dir = {json.dumps(str(self.runtime_dir))}\n"
            f"[listen]\nudp = {json.dumps(listen)}\n[workers]\nudp = {self.workers}\n"
            f"drain_seconds = {DRAIN_S}\n"
            f"[location]\ncapacity = {capacity}\n"
        ) + ("" if self.sheds else PATIENT)

    def command(self) -> list[str]:
        return [sys.executable, "-m", "workers", "run", "-c", str(self.config_path)]

    def start(self, patience: float = 15.0) -> float:
        """As Server.start, and wait until the last of its processes is up, as its log says."""
        before = self.log.count(RUNNING)
        took = super().start(patience)
        deadline = time.monotonic() + ALL_UP_S
        while self.log.count(RUNNING) == before and time.monotonic() < deadline:
            time.sleep(0.005)
        return took

    def run_command(
        self, *words: str, timeout: float = 30, text: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """One `sipherd` command, with `text` as its input."""
        environment = dict(os.environ, PYTHONPATH=str(ROOT))
        return subprocess.run(
            [sys.executable, "-m", "workers", *words],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            input=text,
            text=True,
            timeout=timeout,
            check=False,
        )

    def ctl(self, method: str, **params: object) -> Any:
        """As `sipherd ctl`, which would take longer to start; ServerFailed if it is refused."""
        try:
            answer = ask(self.runtime_dir, method, params)
        except SipherdError as error:
            raise ServerFailed(f"ctl {method}: {error}") from None
        if "error" in answer:
            raise ServerFailed(f"ctl {method}: {answer['error']}")
        return answer["result"]

    def statistics(self, *names: str) -> dict[str, int]:
        """Counters by `get_statistics`; a name that ends in a colon is a group."""
        found: dict[str, int] = self.ctl("get_statistics", statistics=list(names))
        return found

    def table_check(self) -> subprocess.CompletedProcess[str]:
        """`sipherd table check` on this server's tables."""
        return self.run_command("table", "check", "-c", str(self.config_path), timeout=60)

    def bindings(self, page: int = 0) -> dict[str, list[dict[str, Any]]]:
        """Every AoR with its contacts, by `ul_dump`."""
        answer = self.ctl("ul_dump", **({"page": page} if page else {}))
        return {row["AOR"]: row["Contacts"] for table in answer["Domains"] for row in table["AORs"]}

    def cpu_by_role(self) -> dict[str, float]:
        """Processor seconds of each kind of process."""
        return {
            role: sum(processes.cpu_seconds(pid) for pid in pids)
            for role, pids in processes.by_role(self.pid).items()
        }

    def workers_alive(self) -> list[int]:
        """Process ids of the UDP workers, by `ps`-like titles below the supervisor."""
        return [pid for pid in processes.children(self.pid) if "worker" in processes.title(pid)]


class Kamailio(Server):
    """The yardstick: as lean as a fair comparison allows."""

    name = "kamailio"
    defines: tuple[str, ...] = ()
    database = ""

    def command(self) -> list[str]:
        template = (Path(__file__).with_name("kamailio.cfg")).read_text()
        listen = f"listen=udp:{self.host}:{self.port}"
        if self.ipv6:
            listen += f"\nlisten=udp:[::1]:{self.port}"
        config = self.directory / "kamailio.cfg"
        template = template.replace("#DATABASE#", self.database)
        config.write_text(template.replace("#LISTEN#", listen))
        return [
            "kamailio",
            "-DD",
            "-E",
            "-b",  # bytes of the receive queue: what it loses, the generator's callee never repeats
            "4194304",
            "-x",
            "tlsf",
            "-X",
            "tlsf",
            "-m",  # megabytes: with 1,024 it runs out of them after some 25,000 calls
            "4096",
            "-M",
            "16",
            "-f",
            str(config),
            "-Y",
            str(self.directory),
            *(word for define in self.defines for word in ("-A", define)),
        ]


def wait_until(condition: Any, patience: float = 5.0, step: float = 0.02) -> bool:
    """Poll `condition()` until it is true or `patience` seconds are over."""
    deadline = time.monotonic() + patience
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(step)
    return True


def json_line(text: str | Sequence[str]) -> Any:
    """The last line of a program's output that is a JSON object."""
    lines = text.splitlines() if isinstance(text, str) else text
    return next(json.loads(line) for line in reversed(lines) if line.startswith("{"))
