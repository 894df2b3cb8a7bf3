"""Credentials as they come from whoever wants to get in."""

from __future__ import annotations

import pytest

from proxy.errors import BadMessage
from proxy.limits import bounds
from proxy.sip.credentials import Credentials, parse_credentials
from proxy.sip.digest_algorithms import MD5, NAMES, SIZES

GOOD = (
    b'Digest username="bob", realm="biloxi.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", '
    b'uri="sip:bob@biloxi.com", qop=auth, nc=00000001, cnonce="0a4f113b", '
    b'response="6629fae49393a05397450978507c4ef1", opaque="5ccc069c403ebaf9f0171e9517f40e41"'
)


def read(value: bytes) -> Credentials:
    found = parse_credentials(value)
    assert found is not None
    return found


def without(name: bytes) -> bytes:
    """GOOD without one parameter."""
    kept = [part for part in GOOD[7:].split(b", ") if not part.startswith(name + b"=")]
    return b"Digest " + b", ".join(kept)


def test_what_rfc_3261_shows() -> None:
    found = read(GOOD)
    assert (found.username, found.realm, found.uri) == (
        b"bob",
        b"biloxi.com",
        b"sip:bob@biloxi.com",
    )
    assert (found.algorithm, found.qop, found.nc) == (MD5, 1, 1)
    assert (found.nc_text, found.cnonce) == (b"00000001", b"0a4f113b")
    assert found.response == b"6629fae49393a05397450978507c4ef1"


@pytest.mark.parametrize(
    "written",
    [
        GOOD.replace(b"Digest ", b"DIGEST\t  "),
        GOOD.replace(b", ", b","),
        GOOD.replace(b", ", b" , ,\t"),
        GOOD.replace(b"=", b" = "),
        GOOD.replace(b"qop=auth", b'QOP="auth"').replace(b"nc=00000001", b'NC="00000001"'),
        GOOD.replace(b"6629fae4", b"6629FAE4"),
        GOOD + b', algorithm="md5"',
        GOOD + b', Algorithm=MD5, stale=FALSE, auth-param=1, x="a\\"b,c"',
        GOOD + b",",
    ],
)
def test_other_ways_to_write_the_same(written: bytes) -> None:
    found = read(written)
    same = read(GOOD)
    for name in ("username", "realm", "nonce", "uri", "response", "algorithm", "nc", "cnonce"):
        assert getattr(found, name) == getattr(same, name)


@pytest.mark.parametrize(
    "value", [b"Basic YTpi", b"Digestive x=1", b"Bearer abc", b"", b"digestusername=1", b"NTLM"]
)
def test_another_scheme_is_ignored(value: bytes) -> None:
    assert parse_credentials(value) is None


@pytest.mark.parametrize("number", sorted(NAMES))
def test_every_algorithm_has_its_length(number: int) -> None:
    size = SIZES[number]
    value = without(b"response") + b", algorithm=" + NAMES[number].lower()
    assert read(value + b', response="' + b"a" * size + b'"').algorithm == number
    for wrong in (size - 1, size + 1, 16):
        with pytest.raises(BadMessage, match=r"wrong length|too long"):
            parse_credentials(value + b', response="' + b"a" * wrong + b'"')


def test_an_unknown_algorithm_is_none_of_ours() -> None:
    assert read(GOOD + b", algorithm=SHA-1").algorithm == 0
    assert read(GOOD.replace(b"6629", b"zz29") + b", algorithm=AKAv1-MD5").algorithm == 0
    assert read(without(b"response") + b', response=""').response == b""


REFUSED = {
    "nothing": b"Digest",
    "nothing but space": b"Digest  ",
    "no username": without(b"username"),
    "no realm": without(b"realm"),
    "no nonce": without(b"nonce"),
    "no uri": without(b"uri"),
    "no response": without(b"response"),
    "qop without nc": without(b"nc"),
    "qop without cnonce": without(b"cnonce"),
    "empty username": without(b"username") + b', username=""',
    "username twice": GOOD + b', username="alice"',
    "username twice, other case": GOOD + b', USERNAME="bob"',
    "response twice": GOOD + b', response="6629fae49393a05397450978507c4ef1"',
    "nc twice": GOOD + b", nc=00000001",
    "opaque twice": GOOD + b', opaque="x"',
    "algorithm twice": GOOD + b", algorithm=MD5, algorithm=MD5",
    "username*": GOOD + b", username*=UTF-8''alice",
    "username* instead": without(b"username") + b", username*=UTF-8''alice",
    "a quoted pair in the name": GOOD.replace(b'"bob"', b'"b\\ob"'),
    "a quoted quote in the name": GOOD.replace(b'"bob"', b'"b\\"ob"'),
    "a quoted pair in the realm": GOOD.replace(b'"biloxi', b'"\\biloxi'),
    "a control byte": GOOD.replace(b'"bob"', b'"b\x01ob"'),
    "NUL": GOOD.replace(b'"bob"', b'"bob\x00"'),
    "DEL": GOOD.replace(b'"bob"', b'"bob\x7f"'),
    "not UTF-8": GOOD.replace(b'"bob"', b'"b\xbf\x27b"'),
    "overlong UTF-8": GOOD.replace(b'"bob"', b'"b\xc0\xafb"'),
    "a quote that does not end": GOOD[:-1],
    "truncated in a name": b'Digest username="a", real',
    "truncated after =": b'Digest username="a", realm=',
    "truncated in a quoted pair": b'Digest username="a\\',
    "CVE-2023-28098": b'Digest username="a",',
    "no comma": GOOD.replace(b'"bob", ', b'"bob" '),
    "a semicolon": GOOD.replace(b'"bob", ', b'"bob"; '),
    "two in one line": GOOD + b', Digest username="alice"',
    "nc short": GOOD.replace(b"00000001", b"1"),
    "nc long": GOOD.replace(b"00000001", b"000000001"),
    "nc 0": GOOD.replace(b"00000001", b"00000000"),
    "nc no number": GOOD.replace(b"00000001", b"0000000g"),
    "nc signed": GOOD.replace(b"00000001", b"-0000001"),
    "qop unknown": GOOD.replace(b"qop=auth", b"qop=auth-conf"),
    "qop list": GOOD.replace(b"qop=auth", b'qop="auth,auth-int"'),
    "response no number": GOOD.replace(b"6629", b"zz29"),
    "long username": GOOD.replace(b"bob", b"b" * (bounds.AOR_BYTES + 1), 1),
    "long realm": GOOD.replace(b"biloxi.com", b"b" * (bounds.AOR_BYTES + 1), 1),
    "long nonce": GOOD.replace(b"dcd9", b"d" * bounds.NONCE_BYTES),
    "long cnonce": GOOD.replace(b"0a4f", b"0" * bounds.NONCE_BYTES),
    "long uri": GOOD.replace(b"sip:bob", b"sip:" + b"b" * bounds.URI_BYTES),
    "long response": GOOD.replace(b"6629", b"6" * 65),
    "many parameters": GOOD + b", x=1" * bounds.PARAMS,
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_has_two_readings_or_none_is_refused(case: str) -> None:
    with pytest.raises(BadMessage) as caught:
        parse_credentials(REFUSED[case])
    assert caught.value.status == 400


def test_every_beginning_of_good_credentials() -> None:
    for length in range(len(GOOD)):
        try:
            found = parse_credentials(GOOD[:length])
        except BadMessage:
            continue
        assert found is None or found.response == read(GOOD).response


def test_bounds_are_met_exactly() -> None:
    name = b"b" * bounds.AOR_BYTES
    assert read(GOOD.replace(b"bob", name, 1)).username == name
    assert read(GOOD + b", x=1" * (bounds.PARAMS - 9)).nc == 1
    assert read(GOOD.replace(b'"bob"', '"Jäsøn"'.encode())).username == "Jäsøn".encode()
    assert read(GOOD.replace(b"00000001", b"ffffFFFF")).nc == 0xFFFFFFFF
