"""Table files in the runtime folder."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest

from proxy.errors import ShmError, ShmRefused
from proxy.registrar.binding import Binding, encode
from workers import tables as module
from workers.lasting import put_aside
from workers.logs import Log
from workers.settings import Config, Location
from workers.tables import (
    lock_folder,
    node_secret,
    open_location,
    open_tables,
    prepare_folder,
)


def record(contact: bytes) -> bytes:
    return encode([Binding(contact), Binding(contact + b"2")])


def test_the_files(config: Config, log: Log, tmp_path: Path) -> None:
    open_tables(config, log).close(clean=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "changes.ring",
        "inbox-1.ring",
        "inbox-2.ring",
        "kept-1.set",
        "kept-2.set",
        "limits.table",
        "location.table",
        "processes.table",
        "questions.ring",
        "shards.table",
        "storage.state",
        "workers.table",
    ]


def test_records_outlive_the_tables(config: Config, log: Log, lines: list[str]) -> None:
    tables = open_tables(config, log)
    tables.location.commit(b"a@x", 0, record(b"sip:a@b"), 99, 2)
    tables.close(clean=True)
    again = open_tables(config, log)
    assert again.location.snapshot(b"a@x")[0] == record(b"sip:a@b")
    assert "table attached" in lines[-1]
    assert "was_clean=True" in lines[-1]
    again.close(clean=True)


def test_a_changed_capacity_takes_the_records_along(config: Config, log: Log) -> None:
    tables = open_tables(config, log)
    for number in range(300):
        tables.location.commit(b"u%d@x" % number, 0, record(b"sip:a@b"), 99 + number, 2)
    tables.close(clean=True)
    larger = config.model_copy(update={"location": Location(capacity=5_000)})
    again = open_tables(larger, log)
    assert (again.location.capacity, again.location.count, again.location.units) == (
        5_000,
        300,
        600,
    )
    assert again.location.expires_at(b"u7@x") == 106
    again.close(clean=True)
    smaller = config.model_copy(update={"location": Location(capacity=100)})
    kept = open_tables(smaller, log)
    assert (kept.location.capacity, kept.location.count) == (5_000, 300)
    kept.close(clean=True)


def test_an_untrusted_file_is_put_aside(
    config: Config, log: Log, lines: list[str], tmp_path: Path
) -> None:
    (tmp_path / "location.table").write_bytes(os.urandom(65_536))
    tables = open_tables(config, log)
    assert tables.location.count == 0
    assert (tmp_path / "location.table.bad-1").exists()
    assert "table file refused" in lines[-1]
    tables.close(clean=True)


def test_a_file_that_the_system_does_not_give_now_stays_where_it_is(
    config: Config, log: Log, tmp_path: Path
) -> None:
    tables = open_tables(config, log)
    tables.location.commit(b"a@x", 0, record(b"sip:a@b"), 99, 2)
    tables.close(clean=True)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1, hard))
    try:
        with pytest.raises(ShmRefused, match="cannot be mapped: Too many open"):
            open_location(tmp_path, config, b"", log)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    again = open_location(tmp_path, config, b"", log)
    assert again.snapshot(b"a@x")[0] == record(b"sip:a@b")
    again.close(clean=True)


def test_three_bad_files_are_kept(tmp_path: Path) -> None:
    file = tmp_path / "t"
    for number in range(5):
        file.write_text(str(number))
        put_aside(file)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "t.bad-1": "4",
        "t.bad-2": "3",
        "t.bad-3": "2",
    }


def test_a_folder_is_taken_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOCK_WAIT_S", 0.02)
    held = lock_folder(tmp_path)
    with pytest.raises(ShmError, match=f"in use by another sipherd \\(process {os.getpid()}\\)"):
        lock_folder(tmp_path)
    os.close(held)
    os.close(lock_folder(tmp_path))


def test_a_folder_is_made(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    prepare_folder(folder)
    assert folder.stat().st_mode & 0o007 == 0


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ShmError, match=r"file/var cannot be written to: Not a directory\."):
        prepare_folder(tmp_path / "file" / "var")


def test_the_secret(config: Config, tmp_path: Path) -> None:
    made = node_secret(config)
    assert len(made) == 32
    assert node_secret(config) == made
    (tmp_path / "secret").write_bytes(b"cut")
    assert node_secret(config) != made
    node = config.node.model_copy(update={"secret": "0123456789abcdef"})
    given = config.model_copy(update={"node": node})
    assert len(node_secret(given)) == 32
    assert node_secret(given) == node_secret(given) != made
