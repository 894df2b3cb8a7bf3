from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.registrar.binding import Binding, encode
from proxy.registrar.commit import commit_bindings
from proxy.registrar.layout import REMOVED
from proxy.shm.location_table import LocationTable
from proxy.storage.differences import Known
from proxy.storage.refreshes import rest_of, sort_out

AOR = b"alice@example.com"
NODE = 7


@pytest.fixture
def table(tmp_path: Path) -> Iterator[LocationTable]:
    made = LocationTable.create(str(tmp_path / "location.table"), 10)
    yield made
    made.close()


def binding() -> Binding:
    made = Binding(b"sip:alice@192.0.2.1", b"call", 3)
    made.version, made.modified, made.expires, made.origin = 5, 100, 2_000, NODE
    made.received, made.path, made.socket = b"192.0.2.1:5060", b"<sip:p;lr>", b"192.0.2.9:5060"
    made.instance, made.user_agent, made.tag = b"<urn:uuid:1>", b"Phone", b"vip"
    return made


def rest(made: Binding) -> int:
    return rest_of(encode([made]))


def store(table: LocationTable, *bindings: Binding, key: bytes = AOR) -> None:
    stamp = table.snapshot(key)[1]
    made = list(bindings)
    assert commit_bindings(table, key, stamp, made)


def test_a_digest_tells_everything_but_what_a_refresh_changes() -> None:
    fresh = rest(binding())
    assert fresh
    for name in ("version", "modified", "expires", "cseq"):
        changed = binding()
        setattr(changed, name, 77)
        assert rest(changed) == fresh, name
    seen = {fresh}
    numbers = {"methods": 1, "reg_id": 1, "q": 500, "flags": 2, "origin": 8}
    texts = ("contact", "call_id", "received", "path", "socket", "instance", "user_agent", "tag")
    for name, value in {**numbers, **dict.fromkeys(texts, b"other")}.items():
        changed = binding()
        setattr(changed, name, value)
        seen.add(rest(changed))
    removed = binding()
    removed.flags |= REMOVED
    seen.add(rest(removed))
    assert len(seen) == 2 + len(numbers) + len(texts)
    assert rest_of(encode([binding(), binding()])) == 0, "two rows take the long way"
    assert rest_of(b"nonsense") == 0


def test_a_refresh_says_what_the_row_has_and_will_have(table: LocationTable) -> None:
    store(table, binding())
    known = {AOR: Known(5, (99,), rest(binding()))}
    assert sort_out([AOR], table, known, NODE, str) == ([], {}, []), "nothing has changed"
    again = binding()
    again.version, again.cseq, again.modified, again.expires = 6, 0xFFFF_FFFF, 200, 2_100
    store(table, again)
    row = (99, '{"_v":"0000000000000005', 2_100, 0x7FFF_FFFF, "200", '{"_v":"0000000000000006')
    after = {AOR: Known(6, (99,), rest(binding()))}
    assert sort_out([AOR], table, known, NODE, str) == ([row], after, [])


@pytest.mark.parametrize("why", ["unknown", "digest", "changed", "removed", "elsewhere", "second"])
def test_what_is_no_plain_refresh_takes_the_long_way(table: LocationTable, why: str) -> None:
    again = binding()
    again.version = 6
    known = {AOR: Known(5, (99,), rest(binding()))}
    if why == "unknown":
        known = {}
    elif why == "digest":
        known = {AOR: Known(5, (99,))}
    elif why == "changed":
        again.user_agent = b"Phone 2"
    elif why == "elsewhere":
        again.origin = NODE + 1
        known = {AOR: Known(5, (99,), rest(again))}
    payload = encode([again, binding()] if why == "second" else [again])
    if why == "removed":
        assert sort_out([AOR], table, known, NODE, str) == ([], {}, [(AOR, None)])
        return
    assert table.commit(AOR, 0, payload, 2_000, 1)
    assert sort_out([AOR], table, known, NODE, str) == ([], {}, [(AOR, payload)])
