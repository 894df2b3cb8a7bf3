"""Two nodes that are synced."""

from __future__ import annotations

import pytest

from tests.unit.cluster.trio import Trio


@pytest.fixture
def pair() -> Trio:
    pair = Trio()
    pair.run(7000)
    assert all(brain.comparison.is_synced() for brain in pair.brains.values())
    pair.frames.clear()
    return pair
