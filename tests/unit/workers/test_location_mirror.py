"""Rows of registrations that other nodes hold too: tombstones are none, and beat what is loaded."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from proxy.cluster.hlc import HybridClock
from proxy.registrar.binding import Binding, decode, encode
from proxy.registrar.commit import commit_bindings
from proxy.registrar.edit import Editor
from proxy.registrar.layout import REMOVED
from proxy.registrar.rules import RegistrarRules
from workers.child import Child
from workers.settings import Config
from workers.storage.database import Database
from workers.storage.location_mirror import LocationMirror
from workers.storage.setup import create

AOR = b"alice@example.com"
NOW = int(time.time())
MakeMirror = Callable[[], LocationMirror]


@pytest.fixture
def make_mirror(
    child: Child, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[MakeMirror]:
    monkeypatch.setattr(Config, "replicates", lambda self, content: True)
    url = f"sqlite:///{tmp_path}/rows.db"
    create(url)
    databases: list[Database] = []

    def make() -> LocationMirror:
        databases.append(Database(url, child.log))
        return LocationMirror(child, databases[-1])

    yield make
    for each in databases:
        each.close()


@pytest.fixture
def mirror(make_mirror: MakeMirror) -> LocationMirror:
    mirror = make_mirror()
    mirror.load(0)
    return mirror


@pytest.fixture
def editor(child: Child) -> Editor:
    rules = RegistrarRules([b"example.com"], node=7, replicated=True)
    return Editor(child.tables.location, rules, HybridClock())


def phone(contact: bytes, flow: int = 0) -> Binding:
    made = Binding(contact, b"call", 1)
    made.expires, made.modified, made.origin = NOW + 3_600, NOW, 7
    if flow:
        made.instance, made.reg_id = b"<urn:uuid:1>", flow
    return made


def write(mirror: LocationMirror) -> list[str]:
    mirror.note([AOR])
    mirror.flush()
    return contacts(mirror)


def contacts(mirror: LocationMirror) -> list[str]:
    query = text("SELECT contact FROM location ORDER BY contact")
    return [row[0] for row in mirror.database.fetch(query)]


def stored(child: Child) -> list[Binding]:
    payload = child.tables.location.snapshot(AOR)[0]
    return [] if payload is None else decode(payload)


def test_a_tombstone_deletes_its_row_and_is_none(mirror: LocationMirror, editor: Editor) -> None:
    editor.add(AOR, phone(b"sip:a@h1"), NOW, NOW * 1_000)
    editor.add(AOR, phone(b"sip:b@h2"), NOW, NOW * 1_000)
    assert write(mirror) == ["sip:a@h1", "sip:b@h2"]
    assert editor.remove_contact(AOR, b"sip:b@h2", NOW, NOW * 1_000)
    assert write(mirror) == ["sip:a@h1"]
    assert editor.remove(AOR, NOW * 1_000)
    assert write(mirror) == []
    assert mirror.known == {}
    editor.add(AOR, phone(b"sip:b@h2"), NOW, NOW * 1_000)
    assert write(mirror) == ["sip:b@h2"]


@pytest.mark.parametrize("flow", [0, 1])
def test_a_row_does_not_bring_back_what_was_removed(
    mirror: LocationMirror, make_mirror: MakeMirror, child: Child, editor: Editor, flow: int
) -> None:
    """The server ends before the row is deleted, and begins with the table it had."""
    commit_bindings(child.tables.location, AOR, 0, [phone(b"sip:a@h1", flow)])
    assert write(mirror) == ["sip:a@h1"]
    assert editor.remove(AOR, NOW * 1_000)
    make_mirror().load(0)
    assert [each.flags for each in stored(child)] == [REMOVED]


def test_a_loaded_row_has_an_origin_and_beats_nobody(
    mirror: LocationMirror, make_mirror: MakeMirror, child: Child
) -> None:
    """Of a program without versions, or of a clock that was ahead."""
    table = child.tables.location
    commit_bindings(table, AOR, 0, [phone(b"sip:a@h1")])
    write(mirror)
    for kv_store in ("NULL", f'\'{{"_v":"{(NOW + 3_000) * 1_000 << 16:016x}"}}\''):
        table.commit(AOR, table.snapshot(AOR)[1], None, 0, 0)
        query = text(f"UPDATE location SET kv_store = {kv_store}")
        mirror.database.transaction(lambda connection, query=query: connection.execute(query))
        make_mirror().load(0)
        (loaded,) = stored(child)
        assert loaded.origin == 7
        assert 0 < loaded.version <= int(time.time() + 1) * 1_000 << 16
        assert encode([loaded])
