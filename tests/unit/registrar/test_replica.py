"""Two nodes' records of one AoR have one union, whatever the order (R11)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxy.registrar.binding import Binding, decode, encode
from proxy.registrar.layout import ALL_CONTACTS, REMOVED
from proxy.registrar.replica import BindingsForm, identity

FORM = BindingsForm()
MOST_BINDINGS = 255


def binding(
    contact: bytes = b"sip:a@192.0.2.1",
    version: int = 1,
    origin: int = 1,
    flags: int = 0,
    expires: int = 0,
    call_id: bytes = b"c",
    flow: tuple[bytes, int] = (b"", 0),
) -> Binding:
    made = Binding(contact, call_id, 1)
    made.version, made.origin, made.flags, made.expires = version, origin, flags, expires
    made.instance, made.reg_id = flow
    return made


BINDINGS = st.builds(
    binding,
    st.sampled_from([b"sip:a", b"sip:b", b"sip:c", ALL_CONTACTS]),
    st.integers(1, 5),
    st.integers(1, 3),
    st.sampled_from([0, 1, REMOVED]),
    st.integers(0, 9),
    st.sampled_from([b"", b"one", b"other"]),
    st.sampled_from([(b"", 0), (b"", 0), (b"<urn:X>", 1), (b"<urn:x>", 1), (b"<urn:x>", 2)]),
)


def as_record(bindings: list[Binding]) -> bytes:
    """A record with each flow or contact once."""
    once = {one.instance.lower() + b"%d" % one.reg_id or one.contact: one for one in bindings}
    names: dict[bytes, Binding] = {}
    for one in once.values():
        names[identity(encode([one]), 8)] = one
    everything = names.get(ALL_CONTACTS)
    if everything is not None:
        everything.flags, everything.instance, everything.reg_id = REMOVED, b"", 0
        floor = (everything.version, everything.origin)
        names = {name: one for name, one in names.items() if (one.version, one.origin) >= floor}
    return encode(list(names.values()))


RECORDS = st.lists(BINDINGS, min_size=1, max_size=4).map(as_record)


def same(a: bytes, b: bytes) -> bool:
    """Whether two records hold the same, in whatever order."""
    return sorted(encode([one]) for one in decode(a)) == sorted(encode([one]) for one in decode(b))


def test_a_tombstone_of_all_takes_what_its_node_never_heard_of() -> None:
    everything = encode([binding(ALL_CONTACTS, version=5, flags=REMOVED, expires=1)])
    old, new = binding(b"sip:a", version=4), binding(b"sip:b", version=6)
    assert FORM.merge(encode([old]), everything) is everything
    assert FORM.merge(everything, encode([old])) is everything
    both = FORM.merge(encode([old, new]), everything)
    assert [one.contact for one in decode(both)] == [ALL_CONTACTS, b"sip:b"]
    assert FORM.merge(both, encode([old])) is both
    assert FORM.prune(both, 1, 0, 0, 6) == encode([new])


@given(RECORDS, RECORDS)
def test_merge_is_commutative(a: bytes, b: bytes) -> None:
    assert same(FORM.merge(a, b), FORM.merge(b, a))


@given(RECORDS, RECORDS, RECORDS)
def test_merge_is_associative(a: bytes, b: bytes, c: bytes) -> None:
    assert same(FORM.merge(FORM.merge(a, b), c), FORM.merge(a, FORM.merge(b, c)))


@given(RECORDS, RECORDS)
def test_merge_is_idempotent(a: bytes, b: bytes) -> None:
    assert FORM.merge(a, bytes(bytearray(a))) is a
    once = FORM.merge(a, b)
    assert FORM.merge(once, b) is once
    assert FORM.merge(once, a) is once


@given(RECORDS, RECORDS)
def test_the_union_is_sound_and_loses_nothing(a: bytes, b: bytes) -> None:
    merged = FORM.merge(a, b)
    assert FORM.sound(merged)
    assert FORM.newest(merged) == max(FORM.newest(a), FORM.newest(b))
    both: dict[bytes, tuple[int, int]] = {}
    for record in (a, b):
        for i, one in enumerate(decode(record)):
            name = identity(record, 8 + 56 * i)
            both[name] = max(both.get(name, (0, 0)), (one.version, one.origin))
    floor = both.get(ALL_CONTACTS, (0, 0))
    names = {name for name, version in both.items() if version >= floor}
    assert {identity(merged, 8 + 56 * i) for i in range(len(decode(merged)))} == names


@given(RECORDS, RECORDS)
def test_stamps_tell_versions_apart_and_not_orders(a: bytes, b: bytes) -> None:
    assert FORM.stamps(encode(decode(a)[::-1])) == FORM.stamps(a)

    def essence(record: bytes) -> set[tuple[object, ...]]:
        return {
            (identity(record, 8 + 56 * i), o.version, o.origin, o.expires, o.flags & REMOVED)
            for i, o in enumerate(decode(record))
        }

    assert (FORM.stamps(a) == FORM.stamps(b)) == (essence(a) == essence(b))


@given(RECORDS, RECORDS, st.binary(max_size=200))
def test_a_brief_record_is_restored_where_its_strings_are(a: bytes, b: bytes, noise: bytes) -> None:
    brief = FORM.brief(a, FORM.rest(a))
    assert FORM.sound(brief)
    assert FORM.newest(brief) == FORM.newest(a)
    assert FORM.restored(brief, a) == a
    assert FORM.restored(a, b) is a
    assert FORM.restored(brief, b) in (None, a)
    assert FORM.restored(brief, noise) is None
    assert FORM.restored(brief, None) is None
    assert not FORM.sound(brief[:-1])
    assert not FORM.sound(brief + b"x")


@given(st.binary(max_size=160))
def test_no_brief_record_is_believed_unseen(noise: bytes) -> None:
    ours = encode([binding()])
    for body in (b"\2" + noise, b"\2\1" + bytes(2) + (72).to_bytes(4, "little") + noise[:64]):
        if FORM.sound(body):
            assert FORM.restored(body, ours) is None or FORM.sound(FORM.restored(body, ours))


def test_a_brief_record_is_of_a_refresh() -> None:
    """What it needs that the other has: the strings, and nothing else."""
    ours = encode([binding(b"sip:a", 5, expires=100), binding(b"sip:b", 5)])
    theirs = encode([binding(b"sip:a", 9, expires=900), binding(b"sip:b", 5)])
    assert FORM.rest(ours) == FORM.rest(theirs)
    brief = FORM.brief(theirs, FORM.rest(theirs))
    assert len(brief) == 8 + 2 * 56 + 8
    assert FORM.restored(brief, ours) == theirs
    moved = encode([binding(b"sip:a", 9, call_id=b"d"), binding(b"sip:b", 5)])
    assert FORM.rest(moved) != FORM.rest(ours)
    assert FORM.restored(FORM.brief(moved, FORM.rest(moved)), ours) is None


def test_lengths_that_lie_are_found_when_a_record_is_restored() -> None:
    ours = encode([binding(b"sip:a", 5)])
    brief = bytearray(FORM.brief(ours, FORM.rest(ours)))
    brief[8 + 38] = 200  # the length of the contact
    assert FORM.sound(bytes(brief))
    assert FORM.restored(bytes(brief), ours) is None


def test_each_binding_has_its_own_version() -> None:
    ours = encode([binding(b"sip:a", 5), binding(b"sip:b", 5)])
    theirs = encode([binding(b"sip:a", 4), binding(b"sip:b", 6), binding(b"sip:c", 1)])
    merged = {one.contact: one.version for one in decode(FORM.merge(ours, theirs))}
    assert merged == {b"sip:a": 5, b"sip:b": 6, b"sip:c": 1}


def test_a_later_flow_replaces_its_contact() -> None:
    flow = (b"<urn:uuid:1>", 1)
    ours = encode([binding(b"sip:old", 5, flow=flow)])
    theirs = encode([binding(b"sip:new", 6, flow=(b"<URN:uuid:1>", 1))])
    assert [one.contact for one in decode(FORM.merge(ours, theirs))] == [b"sip:new"]


def test_a_removed_binding_stays_away() -> None:
    gone = encode([binding(version=6, flags=REMOVED, expires=1)])
    late = encode([binding(version=5)])
    assert FORM.merge(gone, late) is gone
    assert FORM.merge(late, gone) is gone
    assert not decode(gone)[0].is_live(2)
    assert FORM.stamps(gone)[0] == 0


def test_what_cannot_be_read_is_replaced() -> None:
    good = encode([binding()])
    assert FORM.merge(b"broken", good) is good
    assert FORM.merge(good, b"broken") is good


def test_unsound_records_are_refused() -> None:
    good = encode([binding()])
    assert FORM.sound(good)
    for wrong in (
        b"",
        good[:-1],
        good + b"x",
        encode([binding(version=0)]),
        encode([binding(b"")]),
    ):
        assert not FORM.sound(wrong)


def test_pruning_takes_what_ran_out_here_later_what_ran_out_elsewhere() -> None:
    record = encode(
        [
            binding(b"sip:mine", origin=1, expires=100),
            binding(b"sip:theirs", origin=2, expires=100),
            binding(b"sip:ever", origin=2),
            binding(b"sip:gone", version=7, flags=REMOVED, expires=1),
        ]
    )

    def left(now_s: int, before: int) -> list[bytes]:
        kept = FORM.prune(record, 1, now_s, 5, before)
        return [one.contact for one in decode(kept)] if kept else []

    assert FORM.prune(record, 1, 99, 5, 7) is record
    assert left(100, 7) == [b"sip:theirs", b"sip:ever", b"sip:gone"]
    assert left(105, 7) == [b"sip:ever", b"sip:gone"]
    assert left(105, 8) == [b"sip:ever"]
    assert FORM.prune(encode([binding(expires=9)]), 1, 10, 5, 0) is None


def test_of_too_many_bindings_the_dead_go_first() -> None:
    half = MOST_BINDINGS // 2 + 1
    ours = encode([binding(b"sip:%03d" % n, 9) for n in range(half)])
    theirs = encode([binding(b"sip:%03d" % n, 10, flags=REMOVED) for n in range(half, 2 * half)])
    kept = decode(FORM.merge(ours, theirs))
    assert len(kept) == MOST_BINDINGS
    assert sum(not one.flags & REMOVED for one in kept) == half


def test_a_union_that_no_slot_would_hold_keeps_the_live_and_the_newest() -> None:
    dead = [binding(b"sip:%d-" % n + b"x" * 480, n + 1, flags=REMOVED) for n in range(120)]
    alive = [binding(b"sip:me", 1)]
    merged = FORM.merge(encode(dead[:60] + alive), encode(dead[60:]))
    assert len(merged) <= 60_000
    kept = decode(merged)
    assert b"sip:me" in [one.contact for one in kept]
    versions = sorted(one.version for one in kept if one.flags & REMOVED)
    assert versions[-1] == 120
    assert versions == list(range(120 - len(versions) + 1, 121))
