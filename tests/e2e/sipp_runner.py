"""Runs SIPp with scenarios of loadtests/sipp and reads what its statistics file says."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from loadtests import processes
from loadtests.ports import free_port
from loadtests.servers import ROOT

SCENARIOS = ROOT / "loadtests" / "sipp"


@dataclass
class Statistics:
    """The last row of SIPp's statistics file, and the exit status."""

    exit_status: int
    created: int = 0
    successful: int = 0
    failed: int = 0
    retransmissions: int = 0
    dead: int = 0
    errors: str = field(default="", repr=False)
    row: dict[str, str] = field(default_factory=dict, repr=False)

    def check(self, calls: int) -> Statistics:
        """All `calls` succeeded, none failed, and SIPp itself was content."""
        said = f"{self}\n{self.errors}"
        assert self.exit_status == 0, said
        assert (self.successful, self.failed) == (calls, 0), said
        return self


class Sipp:
    """One SIPp process on one scenario."""

    def __init__(
        self,
        directory: Path,
        scenario: str,
        server: str,
        *,
        calls: int = 1,
        rate: int = 10,
        user: str = "",
        local: str = "127.0.0.1",
        timeout: int = 60,
        port: int = 0,
        options: tuple[str, ...] = (),
    ) -> None:
        if not shutil.which("sipp"):
            raise AssertionError("sipp is missing: apt-get install sip-tester (./test does it)")
        self.port = port or free_port()
        self.address = f"[{local}]:{self.port}" if ":" in local else f"{local}:{self.port}"
        self.timeout = timeout
        self.stem = directory / f"{scenario}-{self.port}"
        command = [
            "sipp",
            server,
            "-sf",
            str(SCENARIOS / f"{scenario}.xml"),
            "-i",
            local,
            "-mi",
            local,
            "-p",
            str(self.port),
            "-bind_local",
            "-m",
            str(calls),
            "-r",
            str(rate),
            "-l",
            str(max(calls, 1)),
            "-timeout",
            f"{timeout}s",
            "-timeout_error",
            "-nostdin",
            "-cp",
            str(free_port()),
            "-ci",
            "127.0.0.1",
            "-trace_stat",
            "-stf",
            f"{self.stem}.csv",
            "-fd",
            "1",
            "-trace_err",
            "-error_file",
            f"{self.stem}.err",
            "-cid_str",
            f"%u-{self.port}-%p",
            "-max_recv_loops",
            "5000",
            *(("-s", user) if user else ()),
            *options,
        ]
        with Path(f"{self.stem}.out").open("wb") as out:
            self.process = subprocess.Popen(
                command,
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env=dict(os.environ, TERM="dumb"),
            )

    def wait_listening(self) -> None:
        """Wait until the socket is bound, so that a call cannot come too early."""
        deadline = time.monotonic() + 20
        wanted = f":{self.port:04X}"
        while time.monotonic() < deadline:
            for table in ("udp", "udp6"):
                rows = Path(f"/proc/net/{table}").read_text().splitlines()[1:]
                if any(row.split()[1].endswith(wanted) for row in rows):
                    return
            time.sleep(0.01)
        raise AssertionError(f"SIPp did not bind port {self.port}: {self.text('out')}")

    def text(self, kind: str) -> str:
        """Contents of its output ("out") or error ("err") file."""
        path = Path(f"{self.stem}.{kind}")
        return path.read_text(errors="replace")[-3000:] if path.exists() else ""

    def wait(self) -> Statistics:
        """Wait for the end, which `-timeout` bounds, and read the statistics."""
        try:
            status = self.process.wait(self.timeout + 5)
        except subprocess.TimeoutExpired:
            self.stop()
            status = -1
        found = Statistics(status, errors=self.text("err") or self.text("out"))
        path = Path(f"{self.stem}.csv")
        if path.exists():
            with path.open(newline="") as file:
                rows = list(csv.DictReader(file, delimiter=";"))
            row = rows[-1] if rows else {}
            found.row = {key: value for key, value in row.items() if key}
            found.created = int(row.get("TotalCallCreated", 0))
            found.successful = int(row.get("SuccessfulCall(C)", 0))
            found.failed = int(row.get("FailedCall(C)", 0))
            found.retransmissions = int(row.get("Retransmissions(C)", 0))
            found.dead = int(row.get("DeadCallMsgs(C)", 0))
        return found

    def stop(self) -> None:
        """End it now, if it still runs."""
        if self.process.poll() is None:
            processes.kill_tree(self.process.pid)
            self.process.wait()
