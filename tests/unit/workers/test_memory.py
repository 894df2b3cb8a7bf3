"""When memory goes back to the system."""

from __future__ import annotations

from workers.memory import FLOOD, Ebb


def test_memory_goes_back_once_after_each_flood() -> None:
    trims: list[int] = []

    def trim(pad: int) -> int:
        trims.append(pad)
        return 1

    ebb = Ebb(trim)
    for taken in (0, FLOOD - 1, 0, FLOOD, FLOOD * 2, FLOOD):
        ebb.watch(taken)
    assert trims == []
    for taken in (FLOOD // 2 - 1, 3, 0, FLOOD - 1, 0):
        ebb.watch(taken)
    assert trims == [0]
    ebb.watch(FLOOD)
    ebb.watch(0)
    assert trims == [0, 0]


def test_the_allocator_of_this_system_is_asked() -> None:
    ebb = Ebb()
    ebb.watch(FLOOD)
    ebb.watch(0)
