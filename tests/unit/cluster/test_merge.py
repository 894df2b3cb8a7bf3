"""The merge has one result, whatever the order (R11)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxy.cluster.form import joined
from proxy.cluster.merge import WholeForm, make, payload_of, tombstone
from proxy.cluster.store import Horizon

FORM = WholeForm()
VERSIONS = st.integers(1, 5)  # few, so that they meet
BODIES = st.one_of(
    st.builds(make, VERSIONS, st.integers(1, 3), st.binary(max_size=2), st.integers(0, 3)),
    st.builds(tombstone, VERSIONS, st.integers(1, 3)),
)


@given(BODIES, BODIES)
def test_merge_is_commutative(a: bytes, b: bytes) -> None:
    assert FORM.merge(a, b) == FORM.merge(b, a)


@given(BODIES, BODIES, BODIES)
def test_merge_is_associative(a: bytes, b: bytes, c: bytes) -> None:
    assert FORM.merge(FORM.merge(a, b), c) == FORM.merge(a, FORM.merge(b, c))


@given(BODIES, BODIES)
def test_merge_is_idempotent(a: bytes, b: bytes) -> None:
    assert FORM.merge(a, bytes(bytearray(a))) is a
    once = FORM.merge(a, b)
    assert FORM.merge(once, b) is once
    assert FORM.merge(once, a) is once


@given(BODIES, BODIES)
def test_what_is_newer_changes_the_stamps(a: bytes, b: bytes) -> None:
    assert FORM.sound(a)
    merged = FORM.merge(a, b)
    assert FORM.newest(merged) == max(FORM.newest(a), FORM.newest(b))
    if FORM.newest(a) != FORM.newest(b):
        assert FORM.stamps(a) != FORM.stamps(b)


def test_a_tombstone_is_dead() -> None:
    live, dead = FORM.stamps(make(7, 1, b"x"))
    assert (live != 0, dead) == (True, 0)
    live, dead = FORM.stamps(tombstone(7, 1))
    assert (live, dead != 0) == (0, True)
    assert payload_of(make(7, 1, b"x")) == b"x"
    assert payload_of(tombstone(7, 1)) is None


def test_unsound_bodies_are_refused() -> None:
    for body in (b"", bytes(15), make(0, 1, b""), make(1, 0, b""), tombstone(1, 1) + b"x"):
        assert not FORM.sound(body)


def test_a_replica_runs_out_after_its_grace() -> None:
    body = make(7, 1, b"x", expires=100)
    assert FORM.prune(body, 1, 99, 5, 0) is body
    assert FORM.prune(body, 1, 100, 5, 0) is None
    assert FORM.prune(body, 2, 104, 5, 0) is body
    assert FORM.prune(body, 2, 105, 5, 0) is None
    assert FORM.prune(make(7, 1, b"x"), 1, 10**9, 0, 10**9) is not None


def test_a_tombstone_goes_when_it_is_old_enough() -> None:
    body = tombstone(7, 1)
    assert FORM.prune(body, 1, 10**9, 0, 7) is body
    assert FORM.prune(body, 1, 10**9, 0, 8) is None


def test_what_ran_out_is_not_taken_back_but_still_replaces() -> None:
    horizon = Horizon(2, 200, 5, 0)
    over = make(7, 1, b"short", expires=100)
    assert joined(FORM, None, over, horizon) is None
    assert joined(FORM, make(6, 1, b"long", expires=900), over, horizon) == over
    assert joined(FORM, over, make(6, 1, b"long", expires=900), horizon) is None
