"""Mutated messages against the targets, and the compiled core against its own sources."""

from __future__ import annotations

from types import ModuleType

import pytest
from hypothesis import HealthCheck, given, settings

from proxy.sip import address
from tests.fuzz import corpus, targets
from tests.pure_twin import load_pure

NAMES = [*targets.COMPILED, "address"]
ENOUGH = settings(
    max_examples=600, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)


@pytest.fixture(scope="module")
def pure() -> dict[str, ModuleType]:
    return load_pure("proxy.sip", NAMES)


@ENOUGH
@given(data=corpus.messages)
def test_scanner_agrees_with_parser(data: bytes) -> None:
    targets.scan(data)


@ENOUGH
@given(data=corpus.messages)
def test_parser_reads_or_refuses(data: bytes) -> None:
    targets.parse(data)


@ENOUGH
@given(data=corpus.uris)
def test_uris(data: bytes) -> None:
    targets.parse_uri(data)


@ENOUGH
@given(data=corpus.credentials)
def test_credentials(data: bytes) -> None:
    targets.parse_credentials(data)


@ENOUGH
@given(data=corpus.messages)
def test_rebuilt_messages(data: bytes) -> None:
    targets.rebuild(data)


@pytest.mark.parametrize("data", corpus.SEEDS)
def test_seeds(data: bytes) -> None:
    for target in targets.TARGETS.values():
        target(data)


def compiled() -> dict[str, ModuleType]:
    return {**targets.COMPILED, "address": address}


@pytest.mark.compiled
def test_the_twin_is_the_source(pure: dict[str, ModuleType]) -> None:
    for name in NAMES:
        assert str(pure[name].__file__).endswith(".py")
        assert str(compiled()[name].__file__).endswith(".so")


@pytest.mark.compiled
@pytest.mark.parametrize("data", corpus.SEEDS)
def test_both_builds_read_the_seeds_alike(pure: dict[str, ModuleType], data: bytes) -> None:
    assert targets.reading(compiled(), data) == targets.reading(pure, data)


@pytest.mark.compiled
@ENOUGH
@given(data=corpus.messages)
def test_both_builds_read_messages_alike(pure: dict[str, ModuleType], data: bytes) -> None:
    assert targets.reading(compiled(), data) == targets.reading(pure, data)


@pytest.mark.compiled
@ENOUGH
@given(data=corpus.uris | corpus.values | corpus.credentials)
def test_both_builds_read_values_alike(pure: dict[str, ModuleType], data: bytes) -> None:
    assert targets.reading(compiled(), data) == targets.reading(pure, data)
