from __future__ import annotations

import pytest
from shm_family import killed_at

from proxy.errors import ShmError
from proxy.shm.page import Page


def test_the_last_text_is_read() -> None:
    page = Page.create()
    assert page.read() == b""
    for text in (b"one", b"", b"x" * 20_000, b"three"):
        page.write(text)
        assert page.read() == text
    with pytest.raises(ShmError, match="at most"):
        page.write(bytes(40_000))
    assert page.read() == b"three"


def test_a_death_at_any_store_leaves_the_old_text_or_the_new() -> None:
    page = Page.create()
    store, survived = 0, False
    while not survived:
        store += 1
        page.write(b"old" * 50)
        survived = not killed_at(store, page.write, b"new" * 70)
        assert page.read() in {b"old" * 50, b"new" * 70}
    assert store > 4
    assert page.read() == b"new" * 70
