"""Real servers, ended with the test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cluster_harness import Pair, both
from process_harness import SETTINGS, Server


@pytest.fixture
def make_server(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    made: list[Server] = []

    def make(settings: str = SETTINGS, worker: str = "echo") -> Server:
        folder = tmp_path / str(len(made))
        folder.mkdir()
        made.append(Server(folder, settings, worker))
        return made[-1]

    yield make
    for each in made:
        each.cleanup()


@pytest.fixture
def server(make_server: Callable[..., Server]) -> Server:
    return make_server().start()


@pytest.fixture
def pair(make_server: Callable[..., Server]) -> Pair:
    return Pair(make_server)


@pytest.fixture
def two(pair: Pair) -> tuple[Server, Server]:
    return both(pair.node(1, pair.url(2)), pair.node(2, pair.url(1)))
