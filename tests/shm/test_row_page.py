"""Lists that are published whole, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shm_family import killed_at

from proxy.errors import ShmError
from proxy.shm.row_page import RowPage, Rows, pack, unpack

OLD: list[list[bytes | None]] = [[b"example.com", None, b"0"]]
NEW: list[list[bytes | None]] = [[b"example.org", b"attrs", b"1"], [b"", None, None]]


@given(st.lists(st.lists(st.one_of(st.none(), st.binary(max_size=20)), max_size=5), max_size=9))
def test_rows_come_back_as_they_went(rows: list[list[bytes | None]]) -> None:
    assert unpack(pack(rows)) == rows


def test_a_list_is_read_as_published(tmp_path: Path) -> None:
    path = str(tmp_path / "lists.page")
    page = RowPage.create(path, 2, 1000)
    assert page.read(0) == (0, [])
    for generation, rows in enumerate((OLD, NEW, OLD, []), 1):
        page.publish(0, rows)
        assert (page.generation(0), page.read(0)) == (generation, (generation, rows))
    page.publish(1, NEW)
    page.close()
    again = RowPage.attach(path)
    assert again.read(0) == (4, [])
    assert again.read(1) == (1, NEW)
    with pytest.raises(ShmError, match="no list"):
        again.read(3)
    again.close()


def test_what_does_not_fit_leaves_the_old_list() -> None:
    page = RowPage.create(None, 1, 64)
    page.publish(0, OLD)
    with pytest.raises(ShmError, match="room is for"):
        page.publish(0, [[b"x" * 64]])
    assert page.read(0) == (1, OLD)


def test_damage_is_noticed() -> None:
    page = RowPage.create(None, 1, 64)
    page.publish(0, OLD)
    at = 4096 + 64 + 80 + 16
    page.arena.put(at, bytes((page.arena.copy(at, 1)[0] ^ 1,)))
    assert page.read(0) is None
    page.arena.put_u32(4096 + 64 + 80, 1 << 30)
    assert page.read(0) is None


def test_whoever_dies_while_publishing_leaves_the_old_list_or_the_new() -> None:
    rows: Rows = OLD
    store, died = 0, True
    while died:
        store += 1
        page = RowPage.create(None, 1, 128)
        page.publish(0, rows)
        died = killed_at(store, page.publish, 0, NEW)
        assert page.read(0) in ((1, OLD), (2, NEW))
        page.publish(0, NEW)
        found = page.read(0)
        assert found is not None
        assert found[1] == NEW
    assert store > 5
