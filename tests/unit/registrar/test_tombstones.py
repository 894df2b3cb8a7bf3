"""What a removal leaves behind where other nodes hold the phones too."""

from __future__ import annotations

import pytest

from proxy.cluster.hlc import HybridClock
from proxy.limits import bounds
from proxy.registrar.binding import Binding, decode, encode
from proxy.registrar.expire import Horizon, alone, expire
from proxy.registrar.layout import REMOVED, REMOVED_S
from proxy.registrar.lookup import lookup
from proxy.registrar.replica import BindingsForm, identity
from proxy.registrar.tombstones import name_of, tombstone_of
from proxy.shm.layout import NOBODY
from tests.unit.registrar.conftest import AOR, NOW, Registrar

C1, C2 = b"sip:alice@198.51.100.7", b"sip:alice@198.51.100.8"
FLOW = b';+sip.instance="<urn:uuid:A>";reg-id=1'
FORM = BindingsForm()


@pytest.fixture
def node(registrar: Registrar) -> Registrar:
    registrar.use(replicated=True, node=7, max_contacts=2)
    return registrar


def contact(uri: bytes, more: bytes = b"") -> bytes:
    return b"Contact: <" + uri + b">" + more


def live(registrar: Registrar) -> list[bytes]:
    return [each.contact for each in registrar.bindings() if not each.flags & REMOVED]


def dead(registrar: Registrar) -> list[bytes]:
    return [name_of(each) for each in registrar.bindings() if each.flags & REMOVED]


def record(registrar: Registrar) -> bytes:
    payload = registrar.table.snapshot(AOR)[0]
    assert payload is not None
    return payload


def test_a_removed_contact_leaves_its_name_and_a_later_version(node: Registrar) -> None:
    node.register(contact(C1), b"User-Agent: x")
    (before,) = node.bindings()
    result = node.register(contact(C1), b"Expires: 0", cseq=2, now=NOW - 100)  # the clock is back
    assert (result.status, result.headers, result.contacts, result.changed) == (200, b"", 0, True)
    (left,) = node.bindings()
    assert (left.contact, left.flags, left.expires, left.origin) == (C1, REMOVED, 1, 7)
    assert left.version > before.version
    assert left.call_id == left.user_agent == left.received == left.socket == b""
    assert lookup(node.table, AOR, "INVITE", NOW) == []
    assert node.table.units == NOBODY
    assert FORM.sound(record(node))


def test_it_wins_over_what_it_removed(node: Registrar) -> None:
    node.register(contact(C1))
    old = record(node)
    node.register(contact(C1), b"Expires: 0", cseq=2)
    ours = record(node)
    assert FORM.merge(ours, old) is ours
    assert FORM.merge(old, record(node)) == record(node)


def test_a_flow_leaves_instance_and_reg_id(node: Registrar) -> None:
    node.register(contact(C1, FLOW))
    node.register(contact(C1, FLOW + b";expires=0"), cseq=2)
    (left,) = node.bindings()
    assert (left.contact, left.instance, left.reg_id) == (b"", b"<urn:uuid:A>", 1)
    assert name_of(left) == identity(record(node), 8) == b"<urn:uuid:a>\x001"
    assert FORM.sound(record(node))


def test_a_registration_takes_the_tombstones_place(node: Registrar) -> None:
    node.register(contact(C1))
    node.register(contact(C1), b"Expires: 0", cseq=2)
    (left,) = node.bindings()
    result = node.register(contact(C1), cseq=3)
    (back,) = node.bindings()
    assert result.contacts == 1
    assert (back.flags, back.contact) == (0, C1)
    assert back.version > left.version


def test_one_of_two(node: Registrar) -> None:
    node.register(contact(C1) + b", <" + C2 + b">")
    result = node.register(contact(C1), b"Expires: 0", cseq=2)
    assert result.headers == b"Contact: <" + C2 + b">;expires=3600\r\n"
    assert (live(node), dead(node), node.table.units) == ([C2], [C1], 1)
    refresh = node.register(contact(C2), cseq=3, now=NOW + 10)
    assert refresh.headers == b"Contact: <" + C2 + b">;expires=3600\r\n"
    assert (live(node), dead(node), node.table.units) == ([C2], [C1], 1)
    assert node.table.expires_at(AOR) == NOW + REMOVED_S  # before the binding runs out


def test_star(node: Registrar) -> None:
    node.register(contact(C1) + b", <" + C2 + b">")
    node.register(b"Contact: *", b"Expires: 0", cseq=2)
    assert (live(node), dead(node)) == ([], [b"*"])


def test_contacts_that_made_room(registrar: Registrar) -> None:
    registrar.use(replicated=True, max_contacts=1, when_full="replace")
    registrar.register(contact(C1))
    registrar.register(contact(C2), call_id=b"other", now=NOW + 1)
    assert (live(registrar), dead(registrar)) == ([C2], [C1])
    assert registrar.register(contact(C1), call_id=b"third", now=NOW + 2).contacts == 1
    assert (live(registrar), dead(registrar)) == ([C1], [C2])


def test_a_contact_that_is_written_otherwise_now(node: Registrar) -> None:
    node.register(contact(b"sip:alice@HOST.example.com"))
    node.register(contact(b"sip:alice@host.example.com"), cseq=2)
    assert live(node) == [b"sip:alice@host.example.com"]
    assert dead(node) == [b"sip:alice@HOST.example.com"]


def test_a_flow_that_has_moved_has_the_same_name(node: Registrar) -> None:
    node.register(contact(C1, FLOW))
    node.register(contact(C2, FLOW), cseq=2)
    assert (live(node), dead(node)) == ([C2], [])


def test_what_is_not_here_may_be_elsewhere(node: Registrar) -> None:
    """A phone goes away at a node that has not heard of it yet."""
    result = node.register(
        contact(C1, b";expires=0") + b", " + b"<" + C2 + b">" + FLOW + b";expires=0"
    )
    assert (result.status, result.headers, result.changed) == (200, b"", True)
    assert dead(node) == [C1, b"<urn:uuid:a>\x001"]
    theirs = Binding(C1, b"c1@phone", 1)
    theirs.version, theirs.origin = (NOW * 1000 - 5) << 16, 8
    merged = FORM.merge(record(node), encode([theirs]))
    assert all(each.flags & REMOVED for each in decode(merged))


def test_a_repeated_request_writes_nothing_again(node: Registrar) -> None:
    both = contact(C1) + b", <" + C2 + b">;expires=0"
    node.register(both)
    before = record(node)
    assert node.register(both).status == 200
    assert record(node) == before


def test_tombstones_are_bounded_and_the_newest_stay(node: Registrar) -> None:
    many = bounds.REMOVED_CONTACTS + 10
    for number in range(many):
        uri = b"sip:a@192.0.2.1:%d" % (10_000 + number)
        node.register(contact(uri), cseq=2 * number + 1, now=NOW + number)
        node.register(contact(uri, b";expires=0"), cseq=2 * number + 2, now=NOW + number)
    left = dead(node)
    assert len(left) == bounds.REMOVED_CONTACTS
    assert b"sip:a@192.0.2.1:%d" % (10_000 + many - 1) in left
    assert b"sip:a@192.0.2.1:10000" not in left


def test_alone_nothing_is_left(registrar: Registrar) -> None:
    registrar.register(contact(C1))
    registrar.register(contact(C1), b"Expires: 0", cseq=2)
    assert registrar.table.count == 0
    assert not registrar.register(contact(C2), b"Expires: 0", cseq=3).changed


def test_what_an_operator_removes(node: Registrar) -> None:
    node.register(contact(C1) + b", <" + C2 + b">")
    assert node.editor.remove_contact(AOR, C1, NOW, NOW * 1000)
    assert not node.editor.remove_contact(AOR, C1, NOW, NOW * 1000)
    assert (live(node), dead(node)) == ([C2], [C1])
    added = Binding(C1)
    added.origin = 7
    node.editor.add(AOR, added, NOW, NOW * 1000)
    assert (sorted(live(node)), dead(node)) == ([C1, C2], [])
    assert node.editor.remove(AOR, NOW * 1000)
    assert (live(node), dead(node)) == ([], [b"*"])
    assert not node.editor.remove(AOR, NOW * 1000)
    highest = max(each.version for each in node.bindings())
    assert highest > added.version


def test_the_sweep_takes_them_when_nobody_can_bring_them_back(node: Registrar) -> None:
    table = node.table
    node.register(contact(C1))
    node.register(contact(C1), b"Expires: 0", cseq=2)
    (left,) = node.bindings()
    assert table.due(NOW + REMOVED_S - 1, 0, 10)[0] == []
    assert table.due(NOW + REMOVED_S, 0, 10)[0] == [AOR]
    assert expire(table, AOR, Horizon(7, NOW + REMOVED_S, 5, left.version)) == 0
    assert len(node.bindings()) == 1
    assert expire(table, AOR, Horizon(7, NOW + REMOVED_S, 5, left.version + 1)) == 0
    assert table.count == 0


def test_what_others_registered_outlives_our_clock(node: Registrar) -> None:
    theirs = tombstone_of(Binding(C1), NOW, 8)
    theirs.flags, theirs.expires, theirs.version = 0, NOW, 5
    node.register(contact(C2, b";expires=60"))
    (ours,) = node.bindings()
    ours.expires = NOW
    node.table.commit(AOR, node.table.snapshot(AOR)[1], encode([ours, theirs]), NOW, 2)
    assert expire(node.table, AOR, Horizon(7, NOW, 5, 0)) == 1
    assert live(node) == [C1]
    assert expire(node.table, AOR, Horizon(7, NOW + 5, 5, 0)) == 1
    assert node.table.count == 0


def test_a_server_without_others_drops_the_tombstones_it_has(node: Registrar) -> None:
    node.register(contact(C1) + b", <" + C2 + b">")
    node.register(contact(C1), b"Expires: 0", cseq=2)
    assert expire(node.table, AOR, alone(7, NOW)) == 0
    assert [each.contact for each in node.bindings()] == [C2]


def test_versions_rise_above_tombstones_of_a_faster_clock(node: Registrar) -> None:
    node.register(contact(C1))
    node.register(contact(C1), b"Expires: 0", cseq=2, now=NOW + 50)
    (left,) = node.bindings()
    node.clock = HybridClock()
    node.register(contact(C2), cseq=3)
    assert min(each.version for each in node.bindings()) == left.version
    assert max(each.version for each in node.bindings()) > left.version
