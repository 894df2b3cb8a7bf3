from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.registrar.binding import Binding
from proxy.registrar.contact_id import MASK, contact_id
from proxy.registrar.layout import BEHIND_NAT
from proxy.storage.breaker import LONGEST_DELAY_S, Breaker
from proxy.storage.differences import Known, difference, merge_loaded, uncertain
from proxy.storage.kinds import (
    Part,
    Question,
    decode_part,
    decode_question,
    encode_part,
    encode_question,
)
from proxy.storage.location_rows import (
    WIDTHS,
    RowReader,
    location_row,
    parse_key_values,
    plain_row,
    version_of,
)

TEXT = st.binary(max_size=400) | st.text(max_size=80).map(lambda text: text.encode())
AOR = b"alice@example.com"


@dataclass
class Fresh:
    """A binding in which everything is set."""

    @staticmethod
    def binding(contact: bytes = b"sip:a@b", version: int = 5) -> Binding:
        made = Binding(contact, b"call", 3)
        made.version, made.modified, made.expires, made.q = version, 100, 2_000, 500
        return made


def as_time(seconds: int) -> str:
    return str(seconds)


def reader() -> RowReader:
    return RowReader(b"default.example", lambda value: int(value or 0))


@given(
    st.lists(TEXT, min_size=7, max_size=7),
    st.integers(-1, 1_000),
    st.integers(0, 2**32 - 1),
    st.integers(0, 0xFFFF),
    st.integers(0, 2**62),
)
def test_a_binding_comes_back_from_its_row(
    texts: list[bytes], q: int, number: int, flags: int, version: int
) -> None:
    binding = Fresh.binding(texts[0], version)
    binding.call_id = texts[1] or b"x"
    binding.path, binding.user_agent, binding.socket = texts[2], texts[3], b"h:1"
    binding.instance = texts[4].strip(b'"')
    binding.tag = texts[5]
    binding.received = b"192.0.2.1:5060"
    binding.q, binding.flags, binding.methods = q, flags, 0x7FFF_FFFF & number
    binding.reg_id, binding.origin, binding.expires = number, flags, number
    row = location_row(AOR, binding, 7, as_time)
    for column, width in WIDTHS.items():
        assert row[column] is None or len(row[column]) <= width
    assert reader().binding(row) == (AOR, binding)
    plain = plain_row(row)
    assert all(str(value).isascii() for value in plain.values())
    assert reader().binding(plain) == (AOR, binding)
    assert version_of(row["kv_store"]) == version_of(plain["kv_store"]) == version


@pytest.mark.parametrize("key", [b"a@b@c", b"tel:+49", b"example.com", b"\xff\xfe@x", b"u" * 250])
def test_every_address_of_record_comes_back(key: bytes) -> None:
    row = location_row(key, Fresh.binding(), 7, as_time)
    assert reader().aor(row) == key


@given(st.text(max_size=50) | st.sampled_from(["{", "[]", '{"_v":5}', '{"_v":"zz"}', '{"_q":"x"}']))
def test_nothing_in_kv_store_upsets_the_reader(kv_store: str) -> None:
    row = location_row(AOR, Fresh.binding(), 7, as_time)
    row |= {"kv_store": kv_store, "methods": "x", "q": None, "cseq": None, "expires": -5}
    _, binding = reader().binding(row)
    assert binding.contact == b"sip:a@b"
    assert isinstance(parse_key_values(kv_store), dict)


def test_a_row_of_opensips_behind_nat() -> None:
    row = location_row(AOR, Fresh.binding(), 7, as_time)
    row |= {"kv_store": None, "domain": None, "received": "sip:203.0.113.1:99;transport=udp"}
    key, binding = reader().binding(row)
    assert key == b"alice@default.example"
    assert (binding.received, binding.flags & BEHIND_NAT) == (b"203.0.113.1:99", BEHIND_NAT)


def test_contact_ids_differ_and_fit() -> None:
    ids = {contact_id(b"a@b", b"sip:%d" % n) for n in range(1_000)}
    ids |= {contact_id(b"a@b%d" % n, b"sip:1") for n in range(1_000)}
    ids |= {contact_id(b"a@", b"bsip:1"), contact_id(b"a@b", b"sip:1", b"call")}
    assert len(ids) == 2_002
    assert all(0 < each <= MASK for each in ids)


def test_only_what_has_changed_is_written() -> None:
    one, two = Fresh.binding(b"sip:1", 5), Fresh.binding(b"sip:2", 9)
    first = difference(AOR, None, [one, two], as_time, by_call_id=False)
    assert first is not None
    assert [row["contact"] for row in first.rows] == ["sip:1", "sip:2"]
    assert difference(AOR, first.known, [one, two], as_time, by_call_id=False) is None
    one.version = 10
    second = difference(AOR, first.known, [one, two], as_time, by_call_id=False)
    assert second is not None
    assert [row["contact"] for row in second.rows] == ["sip:1"]
    third = difference(AOR, second.known, [one], as_time, by_call_id=False)
    assert third is not None
    assert (third.rows, third.deleted) == ([], [contact_id(AOR, b"sip:2")])
    assert difference(AOR, third.known, [], as_time, by_call_id=False) == (
        [],
        [contact_id(AOR, b"sip:1")],
        None,
    )


def test_after_an_uncertain_transaction_everything_may_be_there() -> None:
    believed = uncertain(Known(3, (1, 2)), Known(5, (2, 4)))
    assert (believed.version, set(believed.identities)) == (3, {1, 2, 4})
    assert uncertain(None, None) == Known(0, ())


def test_loading_keeps_what_the_table_knows_better() -> None:
    def same(one: Binding, other: Binding) -> bool:
        return one.contact == other.contact

    old, new = Fresh.binding(b"sip:1", 5), Fresh.binding(b"sip:1", 6)
    assert merge_loaded([new], [old], 0, 1_000, same) is None
    assert merge_loaded([old], [new], 0, 1_000, same) == [new]
    other = Fresh.binding(b"sip:2")
    assert merge_loaded([old], [other], 99, 1_000, same) == [old, other]
    assert merge_loaded([old], [other], 100, 1_000, same) is None, "removed before"
    assert merge_loaded([], [other], -1, 2_000, same) is None, "expired"


def test_a_breaker_backs_off_and_closes_again() -> None:
    breaker = Breaker(lambda: 1.0)
    assert breaker.may_try(0.0)
    now, waits = 100.0, []
    for _ in range(12):
        breaker.failed(now)
        assert not breaker.closed
        assert not breaker.may_try(now)
        waits.append(breaker.retry_at - now)
        now = breaker.retry_at
        assert breaker.may_try(now)
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (0.25, LONGEST_DELAY_S)
    breaker.succeeded()
    assert breaker.closed
    breaker.allowed = False
    assert not breaker.may_try(now + 1_000)


FIELDS = st.lists(st.none() | st.binary(max_size=50), max_size=5)


@given(FIELDS, st.lists(FIELDS, max_size=5))
def test_questions_and_answers_come_back(fields: list[bytes | None], rows: list) -> None:
    question = Question(10, 3, 2**32 - 1, fields)
    assert decode_question(encode_question(question)) == question
    part = Part(7, 1, True, rows)
    assert decode_part(encode_part(part)) == part


@given(st.binary(max_size=60))
def test_garbage_is_no_question(data: bytes) -> None:
    for decode in (decode_question, decode_part):
        try:
            decode(data)
        except ValueError:
            continue
