from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from proxy.shm.location_table import LocationTable


@pytest.fixture
def make_table(tmp_path: Path) -> Iterator[Callable[..., LocationTable]]:
    """Makes tables in files of this test, and closes them after it."""
    tables: list[LocationTable] = []

    def make(aors: int = 64, **options: int) -> LocationTable:
        path = str(tmp_path / f"location-{len(tables)}.shm")
        tables.append(LocationTable.create(path, aors, seed=7, **options))
        return tables[-1]

    yield make
    for table in tables:
        table.close()


@pytest.fixture
def table(make_table: Callable[..., LocationTable]) -> LocationTable:
    return make_table()
