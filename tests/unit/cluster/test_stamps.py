"""The small table of stamps does what a dictionary does."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.cluster.stamps import Stamps

LAST = 2**64 - 1
# Few places, so that they are in each other's way, also around the end of the table.
NAMES = st.builds(
    lambda low, high: (high << 40 | low) & LAST,
    st.sampled_from([0, 1, 2, 61, 62, 63]),
    st.integers(0, 9),
)


@settings(max_examples=200)
@given(st.lists(st.tuples(NAMES, st.sampled_from([0, 1, LAST])), max_size=120))
def test_like_a_dictionary(changes: list[tuple[int, int]]) -> None:
    made, model = Stamps(), {}
    for name, value in changes:
        name = name or 1
        made.put(name, value)
        if value:
            model[name] = value
        else:
            model.pop(name, None)
        assert made.count == len(model)
    for name in {name or 1 for name, _ in changes}:
        assert made.get(name) == model.get(name, 0)


def test_many() -> None:
    made = Stamps()
    names = [(number * 0x9E3779B97F4A7C15 + 1) & LAST for number in range(20_000)]
    for name in names:
        made.put(name, name)
    assert made.count == len(names)
    assert all(made.get(name) == name for name in names)
    for name in names[::2]:
        made.put(name, 0)
    assert [made.get(name) for name in names[:4]] == [0, names[1], 0, names[3]]
    assert made.count == len(names) // 2


def test_the_rest_goes_along() -> None:
    made = Stamps()
    for name in range(1, 1_000):
        made.put(name << 3, name, name + 7)
    made.put(16, 5, 9)
    made.put(8, 0)
    places = {name: made.find(name << 3) for name in (1, 2, 3, 999)}
    assert [made.rest_at(at) for at in places.values()] == [0, 9, 10, 1_006]
    assert [made.value_at(at) for at in places.values()] == [0, 5, 3, 999]


def test_a_hash_of_nothing() -> None:
    made = Stamps()
    assert made.get(0) == 0
    made.put(0, 5)
    assert (made.get(0), made.count) == (5, 1)
    made.put(0, 0)
    assert (made.get(0), made.count) == (0, 0)
