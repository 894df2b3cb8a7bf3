"""What the supervisor owns: who has said that it is up."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator

import pytest

from workers.holdings import Holdings
from workers.signals import AT_ONCE


@pytest.fixture
def holdings() -> Iterator[Holdings]:
    """Holdings of which there is only the pipe."""
    made = Holdings.__new__(Holdings)
    made.ready = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    made._arrivals, made._unread = bytearray(AT_ONCE), 0
    yield made
    for fd in made.ready:
        os.close(fd)


class Short(set[int]):
    """A set that there is no memory for, once."""

    refused = False

    def update(self, *others: object) -> None:
        if not self.refused:
            self.refused = True
            raise MemoryError
        super().update(*others)  # type: ignore[arg-type]


@pytest.mark.parametrize("count", [1, AT_ONCE // 4, 500])
def test_all_that_have_said_so_are_up(holdings: Holdings, count: int) -> None:
    os.write(holdings.ready[1], struct.pack(f"={count}i", *range(1, count + 1)))
    found: set[int] = set()
    holdings.newly_up(found)
    assert found == {*range(1, count + 1)}
    found.clear()
    holdings.newly_up(found)
    assert not found


def test_who_could_not_be_noted_is_not_forgotten(holdings: Holdings) -> None:
    os.write(holdings.ready[1], struct.pack("=2i", 7, 8))
    found = Short()
    with pytest.raises(MemoryError):
        holdings.newly_up(found)
    os.write(holdings.ready[1], struct.pack("=i", 9))
    holdings.newly_up(found)
    holdings.newly_up(found)
    assert found == {7, 8, 9}
