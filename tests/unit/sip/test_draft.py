"""Text written piece by piece is the text of its pieces."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxy.sip.draft import Draft

PIECES = st.lists(st.one_of(st.binary(max_size=6000), st.integers(0, 2**63)), max_size=12)


def written(draft: Draft, pieces: list[bytes | int]) -> bytes:
    draft.begin()
    for piece in pieces:
        if isinstance(piece, bytes):
            draft.add(piece)
        else:
            draft.add_number(piece)
    return draft.take()


@given(PIECES, PIECES)
def test_pieces_in_their_order(first: list[bytes | int], then: list[bytes | int]) -> None:
    draft = Draft()
    for pieces in (first, then):  # the second finds what the first has left
        expected = b"".join(one if isinstance(one, bytes) else b"%d" % one for one in pieces)
        assert written(draft, pieces) == expected


def test_numbers_at_every_length() -> None:
    draft = Draft()
    for power in range(19):
        for number in (10**power - 1, 10**power, 10**power + 1):
            assert written(draft, [number]) == b"%d" % number


def test_a_number_behind_a_full_buffer() -> None:
    for size in range(4070, 4100):
        assert written(Draft(), [bytes(size), 1234567890]) == bytes(size) + b"1234567890"


@given(st.binary(max_size=40), st.integers(0, 40), st.integers(0, 40))
def test_a_part(data: bytes, start: int, end: int) -> None:
    start, end = min(start, len(data)), min(end, len(data))
    draft = Draft()
    draft.begin()
    draft.add_part(data, start, end)
    assert draft.take() == data[start:end]


def test_what_was_taken_stays() -> None:
    draft = Draft()
    first = written(draft, [b"first"])
    assert written(draft, [b"other"]) == b"other"
    assert first == b"first"
