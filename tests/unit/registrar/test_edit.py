"""What an operator puts in and takes out by hand."""

from __future__ import annotations

import pytest

from proxy.errors import LockTimeout
from proxy.registrar.binding import Binding
from proxy.registrar.lookup import lookup
from tests.unit.registrar.conftest import AOR, NOW, Registrar

STATIC = b"sip:gateway@192.0.2.50"


def put(registrar: Registrar, contact: bytes = STATIC, expires: int = 0) -> None:
    binding = Binding(contact)
    binding.expires = expires
    registrar.editor.add(AOR, binding, NOW, NOW * 1000)


def test_a_permanent_contact(registrar: Registrar) -> None:
    put(registrar)
    assert [t.uri for t in lookup(registrar.table, AOR, "INVITE", NOW * 2)] == [STATIC]
    assert registrar.table.due(NOW * 4, 0, 10)[0] == []
    assert registrar.register().headers == b"Contact: <" + STATIC + b">;expires=3600\r\n"


def test_beside_a_phone_and_in_place_of_itself(registrar: Registrar) -> None:
    registrar.register(b"Contact: <sip:phone@h1>")
    put(registrar)
    put(registrar, expires=NOW + 10)
    assert registrar.contacts() == [b"sip:phone@h1", STATIC]
    versions = [binding.version for binding in registrar.bindings()]
    assert versions[1] > versions[0]
    assert registrar.table.expires_at(AOR) == NOW + 10


def test_a_refresh_beside_a_hand_made_nonsense_contact(registrar: Registrar) -> None:
    put(registrar, b"not a URI at all")
    registrar.register(b"Contact: <sip:phone@h1>")
    assert registrar.contacts() == [b"not a URI at all", b"sip:phone@h1"]


def test_removing_one(registrar: Registrar) -> None:
    registrar.register(b"Contact: <sip:a@h1>, <sip:b@h2>")
    assert registrar.editor.remove_contact(AOR, b"sip:a@h1", NOW, NOW * 1000)
    assert not registrar.editor.remove_contact(AOR, b"sip:a@h1", NOW, NOW * 1000)
    assert registrar.contacts() == [b"sip:b@h2"]
    assert registrar.editor.remove_contact(AOR, b"sip:b@h2", NOW, NOW * 1000)
    assert not registrar.editor.remove_contact(AOR, b"sip:b@h2", NOW, NOW * 1000)
    assert registrar.table.count == 0


def test_removing_all(registrar: Registrar) -> None:
    assert not registrar.editor.remove(AOR, NOW * 1000)
    registrar.register(b"Contact: <sip:a@h1>, <sip:b@h2>")
    assert registrar.editor.remove(AOR, NOW * 1000)
    assert registrar.table.count == 0


def test_unreadable_is_overwritten(registrar: Registrar) -> None:
    registrar.table.commit(AOR, 0, b"garbage", NOW, 1)
    assert not registrar.editor.remove_contact(AOR, STATIC, NOW, NOW * 1000)
    put(registrar)
    assert registrar.contacts() == [STATIC]


def test_overtaken_for_ever(registrar: Registrar) -> None:
    registrar.register(b"Contact: <sip:a@h1>")
    turns = iter(range(2, 1000))
    registrar.table.overtake = lambda: registrar.register(b"Contact: <sip:a@h1>", cseq=next(turns))
    registrar.table.times = 1000
    with pytest.raises(LockTimeout):
        put(registrar)
    with pytest.raises(LockTimeout):
        registrar.editor.remove_contact(AOR, b"sip:a@h1", NOW, NOW * 1000)
    with pytest.raises(LockTimeout):
        registrar.editor.remove(AOR, NOW * 1000)
    registrar.table.times = 3
    assert registrar.editor.remove(AOR, NOW * 1000)
