"""The last changes in order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.cluster.backlog import Backlog


@given(st.integers(1, 9), st.integers(0, 40), st.data())
def test_it_is_the_end_of_a_list(most: int, length: int, data: st.DataObject) -> None:
    backlog = Backlog(most)
    notes = [(1, b"%d" % number) for number in range(length)]
    for note in notes:
        backlog.add(*note)
    assert (backlog.tail, backlog.head) == (max(0, length - most), length)
    position = data.draw(st.integers(backlog.tail, length))
    limit = data.draw(st.integers(0, 12))
    assert backlog.since(position, limit) == notes[position : position + limit]


def test_what_it_has_forgotten_cannot_be_followed() -> None:
    backlog = Backlog(2)
    for _ in range(3):
        backlog.add(1, b"a")
    with pytest.raises(IndexError, match="position 0 has left"):
        backlog.since(0, 1)


def test_after_a_skip_everybody_begins_anew() -> None:
    backlog = Backlog(4)
    backlog.add(1, b"a")
    backlog.skip()
    assert backlog.tail == backlog.head == 2
    backlog.add(1, b"b")
    assert backlog.since(2, 9) == [(1, b"b")]
