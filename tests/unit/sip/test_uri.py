from __future__ import annotations

import pytest

from proxy.errors import BadMessage
from proxy.sip.uri import aor_key, escape_user, parse_uri, unescape_user, uri_equal


def test_parts() -> None:
    uri = parse_uri(b"sips:alice:secret@EXAMPLE.com:5071;Transport=TCP;lr;maddr=239.1.1.1?a=b&c=d")
    assert (uri.scheme, uri.is_sip, uri.user, uri.password) == (b"sips", True, b"alice", b"secret")
    assert (uri.host, uri.port, uri.host_is_v6) == (b"example.com", 5071, False)
    assert uri.params == b"Transport=TCP;lr;maddr=239.1.1.1"
    assert uri.headers == b"a=b&c=d"
    assert (uri.transport, uri.maddr, uri.lr) == (b"tcp", b"239.1.1.1", True)
    assert uri.param(b"TRANSPORT") == b"TCP"
    assert uri.param(b"lr") == b""
    assert uri.param(b"ttl") is None
    assert uri.hostport == b"example.com:5071"


def test_least() -> None:
    uri = parse_uri(b"sip:h")
    assert (uri.user, uri.host, uri.port, uri.params, uri.headers) == (b"", b"h", 0, b"", b"")
    assert (uri.transport, uri.maddr, uri.lr) == (b"", b"", False)
    assert parse_uri(b"sip:[2001:DB8::1]:5070").hostport == b"[2001:db8::1]:5070"


@pytest.mark.parametrize("raw", [b"tel:+12125550123", b"URN:service:sos", b"http://x/?y@z"])
def test_other_schemes(raw: bytes) -> None:
    uri = parse_uri(raw)
    assert not uri.is_sip
    assert uri.scheme == raw.split(b":")[0].lower()
    assert uri.host == b""
    assert uri.user == raw.partition(b":")[2]
    assert aor_key(uri).lower() == raw.lower()


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"sip",
        b"sip:",
        b":h",
        b"sip:a@",
        b"sip:@h",
        b"sip:a b@h",
        b"sip:a@b@c",
        b"sip:h:0",
        b"sip:h:65536",
        b"sip:h:",
        b"sip:h:5060x",
        b"sip:h;;lr",
        b"sip:h;",
        b"sip:a%zz@h",
        b"sip:a%4",
        b"sip:a:b:c@h",
        b"sip:[::1",
        b"sip:[::1]x",
        b"sip:2001:db8::1",
        b"sip:<h>",
        b"sip:h\x00",
        b"sip:h;transport=",
        b"sip:h;maddr=a;maddr=b",
        b"sip:" + b"a" * 3000,
    ],
)
def test_malformed(raw: bytes) -> None:
    with pytest.raises(BadMessage):
        parse_uri(raw)


# RFC 3261 §19.1.4, its examples and those of our own.
EQUAL = [
    (b"sip:%61lice@atlanta.com;transport=TCP", b"sip:alice@AtLanTa.CoM;Transport=tcp"),
    (b"sip:carol@chicago.com", b"sip:carol@chicago.com;newparam=5"),
    (b"sip:carol@chicago.com;newparam=5", b"sip:carol@chicago.com;security=on"),
    (
        b"sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
        b"sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
    ),
    (
        b"sip:alice@atlanta.com?subject=project%20x&priority=urgent",
        b"sip:alice@atlanta.com?priority=urgent&subject=project%20x",
    ),
    (b"sip:a@[2001:db8:0:0::1]", b"sip:a@[2001:DB8::1]"),
    (b"tel:+1", b"TEL:+1"),
    (b"sip:a%2b@h", b"sip:a%2B@h"),
]
DIFFERENT = [
    (b"SIP:ALICE@AtLanTa.CoM;Transport=udp", b"sip:alice@AtLanTa.CoM;Transport=UDP"),
    (b"sip:bob@biloxi.com", b"sip:bob@biloxi.com:5060"),
    (b"sip:bob@biloxi.com", b"sip:bob@biloxi.com;transport=udp"),
    (b"sip:bob@biloxi.com", b"sip:bob@biloxi.com:6000;transport=tcp"),
    (b"sip:carol@chicago.com", b"sip:carol@chicago.com?Subject=next%20meeting"),
    (b"sip:bob@phone21.boxesbybob.com", b"sip:bob@192.0.2.4"),
    (b"sip:carol@chicago.com;security=on", b"sip:carol@chicago.com;security=off"),
    (b"sip:a@h", b"sips:a@h"),
    (b"sip:a@h;user=phone", b"sip:a@h"),
    (b"sip:a:x@h", b"sip:a:y@h"),
    (b"tel:+1", b"tel:+2"),
    (b"sip:a%3Bb@h", b"sip:a;b@h"),
]


@pytest.mark.parametrize(("left", "right"), EQUAL)
def test_equal(left: bytes, right: bytes) -> None:
    assert uri_equal(parse_uri(left), parse_uri(right))
    assert uri_equal(parse_uri(right), parse_uri(left))


@pytest.mark.parametrize(("left", "right"), DIFFERENT)
def test_different(left: bytes, right: bytes) -> None:
    assert not uri_equal(parse_uri(left), parse_uri(right))
    assert not uri_equal(parse_uri(right), parse_uri(left))


@pytest.mark.parametrize(
    ("raw", "key"),
    [
        (b"sip:Alice@Example.COM", b"Alice@example.com"),
        (b"sip:%41lice:pw@example.com:5060;x=y?a=b", b"Alice@example.com"),
        (b"sips:alice@example.com:5061", b"alice@example.com"),
        (b"sip:alice@example.com:5070", b"alice@example.com:5070"),
        (b"sip:a%40b@h", b"a%40b@h"),
        (b"sip:a%3bb@h", b"a%3Bb@h"),
        (b"sip:null-%00-null@h", b"null-%00-null@h"),
        (b"sip:*21%23@h", b"*21#@h"),
        (b"sip:a@[2001:DB8:0::1]", b"a@[2001:db8::1]"),
        (b"sip:example.com", b"example.com"),
    ],
)
def test_aor_key(raw: bytes, key: bytes) -> None:
    assert aor_key(parse_uri(raw)) == key


def test_escape_round_trip() -> None:
    everything = bytes(range(256))
    escaped = escape_user(everything)
    assert parse_uri(b"sip:" + escaped + b"@h").user == escaped
    assert unescape_user(escape_user(b"a b")) == b"a%20b"
    assert unescape_user(b"plain") == b"plain"


def test_repr() -> None:
    assert repr(parse_uri(b"sip:h")) == "Uri(b'sip:h')"
