"""Responses against the examples of the RFCs, and challenges."""

from __future__ import annotations

import hashlib

import pytest

from proxy.sip.credentials import Credentials, parse_credentials
from proxy.sip.digest import NOBODY, Verifier, challenge, ha1_of, ha1s_of
from proxy.sip.digest_algorithms import HASH_OF, MD5, NAMES, SHA_256, SIZES, STRENGTH

MUFASA = b'Digest username="Mufasa", realm="http-auth@example.org", uri="/dir/index.html", ' + (
    b'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", nc=00000001, qop=auth, '
    b'cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", '
)
OLD = b'Digest username="Mufasa", realm="testrealm@host.com", uri="/dir/index.html", ' + (
    b'nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", '
)
VECTORS = {
    "RFC 7616 §3.9.1, MD5": (
        MUFASA + b'algorithm=MD5, response="8ca523f5e9506fed4657c9700eebdbec"',
        b"Circle of Life",
    ),
    "RFC 7616 §3.9.1, SHA-256": (
        MUFASA + b"algorithm=SHA-256, response="
        b"753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
        b"Circle of Life",
    ),
    "RFC 2617 §3.5": (
        OLD + b'qop=auth, nc=00000001, cnonce="0a4f113b", '
        b'response="6629fae49393a05397450978507c4ef1"',
        b"Circle Of Life",
    ),
    "RFC 2069 §2.4, erratum 749": (
        OLD + b'response="1949323746fe6a43ef61f9606e7febea"',
        b"CircleOfLife",
    ),
}


def read(value: bytes) -> Credentials:
    found = parse_credentials(value)
    assert found is not None
    return found


def ha1(given: Credentials, password: bytes) -> bytes:
    return ha1_of(HASH_OF[given.algorithm], given.username, given.realm, password)


@pytest.mark.parametrize("name", VECTORS)
def test_the_examples_of_the_rfcs(name: str) -> None:
    value, password = VECTORS[name]
    given = read(value)
    verifier = Verifier()
    for _ in range(2):  # the second time from memory
        assert verifier.expected(given, b"GET", b"", ha1(given, password)) == given.response
        assert verifier.matches(given, b"GET", b"", ha1(given, password))
        assert not verifier.matches(given, b"GET", b"", ha1(given, password + b" "))
        assert not verifier.matches(given, b"PUT", b"", ha1(given, password))


def test_a_truncated_response_of_rfc_3665_is_refused() -> None:
    """§2.1 of that RFC prints 31 digits."""
    value = OLD + b'response="dfe56131d1958046689d83306477ecc"'
    with pytest.raises(Exception, match="wrong length"):
        parse_credentials(value)


@pytest.mark.parametrize("algorithm", sorted(NAMES))
@pytest.mark.parametrize("qop", [b"auth", b"auth-int"])
def test_against_the_definition(algorithm: int, qop: bytes) -> None:
    """RFC 7616 §3.4.1 to §3.4.3, written down once more."""
    name = ("md5", "sha256", "sha512_256")[HASH_OF[algorithm]]

    def h(text: bytes) -> bytes:
        return hashlib.new(name, text).hexdigest().encode()

    size = SIZES[algorithm]
    given = read(
        b'Digest username="u", realm="r", nonce="n", uri="sip:x", nc=0000000a, cnonce="c", '
        b"response=%b, algorithm=%b, qop=%b" % (b"0" * size, NAMES[algorithm], qop)
    )
    a1 = h(b"u:r:p")
    if NAMES[algorithm].endswith(b"-sess"):
        a1 = h(a1 + b":n:c")
    a2 = h(b"REGISTER:sip:x" + (b":" + h(b"body") if qop == b"auth-int" else b""))
    wanted = h(b":".join((a1, b"n", b"0000000a", b"c", qop, a2)))
    found = Verifier().expected(given, b"REGISTER", b"body", ha1(given, b"p"))
    assert found == wanted
    assert len(found) == size


def test_empty_and_upper_case_responses() -> None:
    value, password = VECTORS["RFC 2617 §3.5"]
    empty = read(value.replace(b"6629fae49393a05397450978507c4ef1", b""))
    assert not Verifier().matches(empty, b"GET", b"", ha1(empty, password))
    upper = read(
        value.replace(b"6629fae49393a05397450978507c4ef1", b"6629FAE49393A05397450978507C4EF1")
    )
    assert Verifier().matches(upper, b"GET", b"", ha1(upper, password))


def test_nobody_has_no_password() -> None:
    assert [len(each) for each in NOBODY] == [len(each) for each in ha1s_of(b"u", b"r", b"p")]


def test_what_is_remembered_is_bounded() -> None:
    verifier = Verifier()
    for number in range(3_000):
        value = b'Digest username="u",realm="r",nonce="n",uri="sip:%d",response=%b' % (
            number,
            b"0" * 32,
        )
        verifier.matches(read(value), b"REGISTER", b"", NOBODY[0])
    assert verifier.hashes == 3_000


def test_challenges() -> None:
    assert challenge(b"example.com", b"abc", SHA_256, b"auth", False) == (
        b'Digest realm="example.com", nonce="abc", qop="auth", algorithm=SHA-256'
    )
    stale = challenge(b"example.com", b"abc", MD5, b"", True)
    assert stale == b'Digest realm="example.com", nonce="abc", algorithm=MD5, stale=true'
    assert sorted(STRENGTH) == sorted(NAMES)
