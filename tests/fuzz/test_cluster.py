"""Mutated frames against the codec and a whole node."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.cluster.messages import Kind
from tests.fuzz import cluster_targets, frames

ENOUGH = settings(
    max_examples=500, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)


@ENOUGH
@given(made=frames.mutated())
def test_frames(made: tuple[int, bytes]) -> None:
    cluster_targets.frame(frames.sealed(*made))


@ENOUGH
@given(made=frames.mutated())
def test_a_node_survives_its_peer(made: tuple[int, bytes]) -> None:
    kind, body = made
    cluster_targets.peer(bytes([kind]) + body)


@ENOUGH
@given(places=st.lists(st.tuples(st.integers(0, 300), st.integers(0, 255)), max_size=4))
def test_location_records(places: list[tuple[int, int]]) -> None:
    data = bytearray(frames.location())
    for at, value in places:
        data[at % len(data)] = value
    cluster_targets.location_records(bytes(data))


@ENOUGH
@given(places=st.lists(st.tuples(st.integers(0, 700), st.integers(0, 255)), max_size=4))
def test_dialog_records(places: list[tuple[int, int]]) -> None:
    data = bytearray(frames.dialog())
    for at, value in places:
        data[at % len(data)] = value
    cluster_targets.dialog_records(bytes(data))


@pytest.mark.parametrize("data", frames.SEEDS)
def test_good_frames(data: bytes) -> None:
    cluster_targets.frame(data)
    cluster_targets.peer(data)


@pytest.mark.parametrize("kind", sorted(frames.BODIES))
def test_good_bodies(kind: int) -> None:
    cluster_targets.peer(bytes([kind]) + frames.BODIES[kind])


def test_the_node_under_test_takes_changes() -> None:
    brain = cluster_targets.node()
    brain.step(frames.sealed(Kind.DATA, frames.BODIES[Kind.DATA]), 10, frames.WALL + 10)
    store = brain.replication.store
    assert [store.fetch(table, key) for table, key, _ in frames.RECORDS] == [
        body for _, _, body in frames.RECORDS
    ]
