"""Settings are checked once, and time is granted within them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.registrar.methods import ALL_METHODS, OTHER_METHOD, methods_mask
from proxy.registrar.rules import RegistrarRules


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"min_expires": -1}, "min_expires"),
        ({"min_expires": 8000}, "min_expires"),
        ({"max_expires": 2**32}, "max_expires"),
        ({"default_expires": 59}, "default_expires"),
        ({"default_expires": 7201}, "default_expires"),
        ({"expires_jitter": 1.0}, "expires_jitter"),
        ({"expires_jitter": -0.1}, "expires_jitter"),
        ({"max_contacts": 33}, "max_contacts"),
        ({"max_contacts": -1}, "max_contacts"),
        ({"when_full": "explode"}, "when_full"),
        ({"short_expires": "maybe"}, "short_expires"),
        ({"path_mode": "p9"}, "path_mode"),
        ({"retry_after": -1}, "retry_after"),
        ({"cseq_delay": -1}, "cseq_delay"),
        ({"node": 0}, "node"),
        ({"node": 65536}, "node"),
        ({"tag": b"t" * 129}, "tag"),
    ],
)
def test_nonsense_is_refused_by_name(settings: dict[str, Any], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        RegistrarRules([b"example.com"], **settings)


def test_zero_means_no_limit_of_ours() -> None:
    rules = RegistrarRules([b"Example.COM"], max_expires=0, max_contacts=0)
    assert rules.granted(2**32 - 1) == 2**32 - 1
    assert rules.max_contacts == 32
    assert rules.domains.served == frozenset([b"example.com"])


@pytest.mark.parametrize(
    ("asked", "granted"), [(60, 60), (3600, 3600), (7200, 7200), (7201, 7200), (1, 60)]
)
def test_bounds(asked: int, granted: int) -> None:
    assert RegistrarRules([]).granted(asked) == granted


@pytest.mark.parametrize(
    ("minimum", "asked", "brief"),
    [
        (60, 0, False),
        (60, 1, True),
        (60, 59, True),
        (60, 60, False),
        (7200, 3599, True),
        (7200, 3600, False),
    ],
)
def test_brief_is_what_the_rfc_lets_us_call_so(minimum: int, asked: int, brief: bool) -> None:
    rules = RegistrarRules([], min_expires=minimum, default_expires=7200)
    assert rules.is_brief(asked) is brief
    raising = RegistrarRules([], min_expires=minimum, default_expires=7200, short_expires="raise")
    assert raising.is_brief(asked) is False


@given(st.integers(60, 10_000), st.floats(0, 0.99), st.floats(0, 1, exclude_max=True))
def test_jitter_only_shortens_and_never_below_the_minimum(
    asked: int, jitter: float, draw: float
) -> None:
    rules = RegistrarRules([], expires_jitter=jitter, uniform=lambda: draw)
    granted = rules.granted(asked)
    assert 60 <= granted <= min(asked, 7200)
    assert granted >= min(asked, 7200) * (1 - jitter) - 1 or granted == 60


def test_methods() -> None:
    assert methods_mask(b"INVITE, ACK, CANCEL, OPTIONS, BYE, INFO") == 63
    assert (
        methods_mask(b"INVITE,ACK,CANCEL,OPTIONS,BYE,INFO,REFER,NOTIFY,SUBSCRIBE,MESSAGE") == 5951
    )
    assert methods_mask(b"invite") == OTHER_METHOD  # methods are case-sensitive
    assert methods_mask(b" , ,") == 0
    assert methods_mask(b"'; DROP TABLE x; --") == OTHER_METHOD
    assert ALL_METHODS & OTHER_METHOD
