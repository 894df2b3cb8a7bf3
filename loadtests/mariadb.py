"""A real MariaDB server of its own: folder, socket and port, every commit on the disk."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import IO

from loadtests.ports import free_port

USER = "sipherd"
PASSWORD = "s3cret p@ss/w:rd"
START_S = 60.0


class MariaDb:
    """One server; `url(database)` is what sipherd is told."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        self.port = free_port()
        self.socket = folder / "s"
        self.options = options
        self.process: subprocess.Popen[bytes] | None = None
        as_root = ["--user=root"] if os.geteuid() == 0 else []
        self.user = as_root
        made = subprocess.run(
            [
                "mariadb-install-db",
                "--no-defaults",
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
                f"--datadir={folder / 'data'}",
                f"--tmpdir={folder}",  # two at a time would meet in /tmp
                *as_root,
            ],
            check=False,
            capture_output=True,
        )
        if made.returncode:
            raise RuntimeError(made.stdout[-2_000:] + made.stderr[-2_000:])

    def start(self) -> None:
        """Start it and wait until it answers."""
        with (self.folder / "log").open("ab") as log:
            self.process = self._launch(log)
        deadline = time.monotonic() + START_S
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((self.folder / "log").read_text()[-2_000:])
            time.sleep(0.05)
        self.start_users()

    def start_users(self) -> None:
        """Give sipherd its user, with the password that the URL has."""
        self.sql(
            f"CREATE USER IF NOT EXISTS '{USER}'@'127.0.0.1' IDENTIFIED BY '{PASSWORD}';"
            f"ALTER USER '{USER}'@'127.0.0.1' IDENTIFIED BY '{PASSWORD}';"
            f"GRANT ALL ON *.* TO '{USER}'@'127.0.0.1';"
        )

    def _launch(self, log: IO[bytes]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [
                "mariadbd",
                "--no-defaults",
                f"--datadir={self.folder / 'data'}",
                f"--tmpdir={self.folder}",
                f"--socket={self.socket}",
                f"--port={self.port}",
                "--bind-address=127.0.0.1",
                f"--pid-file={self.folder / 'pid'}",
                "--innodb-flush-log-at-trx-commit=1",
                "--innodb-buffer-pool-size=64M",
                "--innodb-log-file-size=32M",
                "--performance-schema=OFF",
                "--skip-name-resolve",
                *self.user,
                *self.options,
            ],
            stdout=subprocess.DEVNULL,
            stderr=log,
        )

    def _answers(self) -> bool:
        try:
            return self.sql("SELECT 1") == "1\n"
        except subprocess.CalledProcessError:
            return False

    def sql(self, statements: str, database: str = "") -> str:
        """What the server's own client prints for statements of the administrator."""
        return subprocess.run(
            ["mariadb", "--no-defaults", "-uroot", f"-S{self.socket}", "-BN", database],
            input=statements,
            check=True,
            capture_output=True,
            text=True,
        ).stdout

    def url(self, database: str) -> str:
        """The URL of a database, made empty if it is not there."""
        self.sql(f"CREATE DATABASE IF NOT EXISTS `{database}` CHARACTER SET utf8mb4")
        return self.address(database)

    def address(self, database: str) -> str:
        """The URL alone."""
        password = PASSWORD.replace("@", "%40").replace("/", "%2F").replace(":", "%3A")
        password = password.replace(" ", "%20")
        return f"mysql+mysqldb://{USER}:{password}@127.0.0.1:{self.port}/{database}"

    def signal(self, number: signal.Signals) -> None:
        """Send the server a signal."""
        assert self.process is not None
        self.process.send_signal(number)
        if number == signal.SIGKILL:
            self.process.wait()

    def revive(self) -> None:
        """Let it run, whatever was done to it."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
        else:
            self.start()

    def stop(self) -> None:
        """End it, however it is."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait()
