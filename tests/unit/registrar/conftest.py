"""A real location table and phones that REGISTER into it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from proxy.cluster.hlc import HybridClock
from proxy.registrar.binding import Binding, Faults, decode
from proxy.registrar.edit import Editor
from proxy.registrar.rules import RegistrarRules
from proxy.registrar.save import RegisterResult, save
from proxy.shm.attach import create
from proxy.shm.table import Table
from proxy.sip.address import Address
from proxy.sip.message import Message, parse

AOR = b"alice@example.com"
LISTENER = b"192.0.2.1:5060"
NOW = 1_000_000


def register(
    *lines: bytes,
    cseq: int = 1,
    call_id: bytes = b"c1@phone",
    to: bytes = b"<sip:alice@example.com>",
) -> Message:
    """A REGISTER with these further header lines."""
    head = (
        b"REGISTER sip:example.com SIP/2.0\r\n"
        b"Via: SIP/2.0/UDP 198.51.100.7:5060;branch=z9hG4bK%d\r\n"
        b"Max-Forwards: 70\r\nFrom: <sip:alice@example.com>;tag=1\r\n"
        b"To: %b\r\nCall-ID: %b\r\nCSeq: %d REGISTER\r\n"
    ) % (cseq, to, call_id, cseq)
    return parse(head + b"".join(line + b"\r\n" for line in lines) + b"Content-Length: 0\r\n\r\n")


class OvertakenTable(Table):
    """A table where another worker may commit between our look at a record and our commit."""

    KIND = b"location"
    overtake: Callable[[], object] | None = None
    times = 0

    def snapshot(self, key: bytes) -> tuple[bytes | None, int]:
        found = super().snapshot(key)
        if self.times and self.overtake is not None:
            overtake, self.overtake = self.overtake, None
            overtake()
            self.overtake = overtake
            self.times -= 1
        return found


class Registrar:
    """One table, one clock, one set of rules."""

    def __init__(self, table: OvertakenTable) -> None:
        self.table = table
        self.clock = HybridClock()
        self.faults = Faults()
        self.rules = RegistrarRules([b"example.com", b"192.0.2.1"])
        self.source = Address.parse(b"198.51.100.7", 5060)

    def use(self, **settings: Any) -> None:
        self.rules = RegistrarRules([b"example.com"], **settings)

    @property
    def editor(self) -> Editor:
        return Editor(self.table, self.rules, self.clock)

    def send(self, request: Message, now: int = NOW) -> RegisterResult:
        return save(
            self.table,
            request,
            self.source,
            LISTENER,
            now,
            now * 1000,
            self.rules,
            self.clock,
            self.faults,
        )

    def register(self, *lines: bytes, now: int = NOW, **fields: Any) -> RegisterResult:
        return self.send(register(*lines, **fields), now)

    def bindings(self, aor: bytes = AOR) -> list[Binding]:
        payload = self.table.snapshot(aor)[0]
        return [] if payload is None else decode(payload)

    def contacts(self, aor: bytes = AOR) -> list[bytes]:
        return [binding.contact for binding in self.bindings(aor)]


@pytest.fixture
def table(tmp_path: Path) -> Iterator[OvertakenTable]:
    path = str(tmp_path / "location.table")
    table = create(OvertakenTable, path, 100, 600, seed=0, boot_id=b"", created_at=0)
    yield table
    table.close()


@pytest.fixture
def registrar(table: OvertakenTable) -> Registrar:
    return Registrar(table)
