"""The short form of loadtests/outage.py: dead, and hung, under REGISTERs and calls."""

from __future__ import annotations

import signal
from pathlib import Path

from loadtests.mariadb import MariaDb
from loadtests.outage import Run, server_on
from loadtests.subscribers import enter_users
from workers.storage.setup import create


def test_users_and_calls_go_on_without_a_database(mariadb: MariaDb, tmp_path: Path) -> None:
    url = mariadb.url("outage_run")
    create(url)
    enter_users(mariadb, "outage_run", "ha1_sha256", 30)
    run = Run(tmp_path, mariadb, [url], 30, "outage_run")
    with server_on(run):
        run.load("before", 2)
        mariadb.signal(signal.SIGKILL)
        run.load("dead", 2)
        run.stranger("dead")
        mariadb.start()
        assert run.drains()
        mariadb.signal(signal.SIGSTOP)
        run.load("hung", 2)
        mariadb.signal(signal.SIGCONT)
        assert run.drains()
    assert run.failures == []
    assert run.found["registered"] == 60
