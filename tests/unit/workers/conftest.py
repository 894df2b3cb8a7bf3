"""A child without a process: real tables, real descriptors, a log that is a list."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from workers.child import Child
from workers.edition import Area
from workers.logs import Log, LogStyle
from workers.settings import Config, Node
from workers.shared_page import SharedPage
from workers.tables import open_tables


class Lines(list[str]):
    """Log lines as they are written."""

    def take(self, line: bytes) -> bool:
        self.append(line.decode())
        return True


@pytest.fixture
def lines() -> Lines:
    return Lines()


@pytest.fixture
def log(lines: Lines) -> Log:
    return Log(LogStyle("test", 0, False), SharedPage("debug"), lines.take)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    node = Node(id=7, domains=("example.com", "b.example"), runtime_dir=tmp_path)
    return Config.model_validate({"node": node, "location": {"capacity": 1_000}})


@pytest.fixture
def child(config: Config, log: Log) -> Iterator[Child]:
    page = SharedPage()
    tables = open_tables(config, log)
    tables.slots.claim(0, os.getpid(), "supervisor", 1_000)
    tables.slots.claim(3, 4_242, "udp worker 1", 1_001)
    yield Child(
        ready=lambda: None,
        config=config,
        role="control",
        index=0,
        first=True,
        predecessors=[],
        slot=2,
        sockets=[],
        neighbours=[],
        listeners=[],
        inbox_eventfds=[-1 for _ in tables.inboxes],  # nobody sleeps
        tables=tables,
        stop_fd=-1,
        parent_fd=-1,
        secret=b"s" * 32,
        log=log,
        page=page,
        area=Area(),
        beaten_at=0.0,
        script=b"",
    )
    tables.close(clean=True)
