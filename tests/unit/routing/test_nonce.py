"""Nonces that need no memory."""

from __future__ import annotations

import pytest

from proxy.routing.nonce import NONCE_BYTES, Nonces, serial_of

SECRET = b"sixteen bytes or more"
NOW = 1_700_000_000_000
REALM = b"example.com"


def nonces(origin: int = 1, secret: bytes = SECRET, **options: bool) -> Nonces:
    return Nonces(secret, origin, lifetime_ms=1000, **options)


def test_anybody_with_the_secret_knows_a_nonce_and_nobody_else() -> None:
    made = nonces(1).make(NOW, REALM, 3, b"192.0.2.1")
    assert len(made) == NONCE_BYTES
    assert nonces(2).issued_ms(made, REALM, 3, b"192.0.2.9") == NOW
    assert nonces(1, SECRET + b"!").issued_ms(made, REALM, 3, b"192.0.2.1") == 0


def test_no_two_are_the_same() -> None:
    made = {nonces(origin).make(NOW, REALM, 3, b"") for origin in range(50)}
    maker = nonces(1)
    made |= {maker.make(NOW, REALM, 3, b"") for _ in range(50)}
    assert len(made) == 99
    assert len({serial_of(each) for each in made}) == 99


def test_a_nonce_is_bound_to_realm_algorithm_and_if_wanted_to_its_source() -> None:
    here = nonces(binds_source=True)
    made = here.make(NOW, REALM, 3, b"192.0.2.1")
    assert here.issued_ms(made, REALM, 3, b"192.0.2.1") == NOW
    for realm, algorithm, source in (
        (b"example.org", 3, b"192.0.2.1"),
        (REALM, 1, b"192.0.2.1"),
        (REALM, 3, b"192.0.2.2"),
    ):
        assert here.issued_ms(made, realm, algorithm, source) == 0


def test_every_changed_digit_is_noticed() -> None:
    here = nonces()
    made = here.make(NOW, REALM, 3, b"")
    for at in range(len(made)):
        for digit in b"0fAg\x00\xff":
            changed = made[:at] + bytes((digit,)) + made[at + 1 :]
            assert here.issued_ms(changed, REALM, 3, b"") == (NOW if changed == made else 0)
    for other in (b"", made[:-1], made + b"0", b"x" * NONCE_BYTES, made.upper()):
        assert here.issued_ms(other, REALM, 3, b"") == (NOW if other == made else 0)


def test_a_life_has_an_end_and_a_beginning() -> None:
    here = nonces()
    assert here.is_fresh(NOW, NOW)
    assert here.is_fresh(NOW, NOW + 999)
    assert not here.is_fresh(NOW, NOW + 1000)
    assert here.is_fresh(NOW + 9_000, NOW)  # a sibling's clock leads
    assert not here.is_fresh(NOW + 11_000, NOW)


def test_a_short_secret_is_refused() -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        nonces(secret=b"short")


def test_nobody_without_the_secret_can_make_a_twin() -> None:
    """A replay that shares its hash with the original would count as a retransmission."""
    here, there = b"192.0.2.1:5060", b"192.0.2.2:5060"
    twin = nonces(1).twin(b"REGISTER", here)
    assert nonces(2).twin(b"REGISTER", here) == twin, "any worker has to know it again"
    others = {
        nonces(1, SECRET + b"!").twin(b"REGISTER", here),
        nonces(1).twin(b"REGISTER", there),
        nonces(1).twin(b"REGISTER ", here),
        nonces(1).twin(b"REGISTER" + here, b""),
    }
    assert len(others) == 4
    assert twin not in others
