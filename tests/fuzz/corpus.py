"""Seeds and mutations: every message of the suite, and what goes wrong with messages."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.hostile.messages import INPUTS
from tests.torture.test_torture import CASES
from tests.unit.sip.samples import INVITE, REGISTER, RESPONSE

SEEDS = [
    REGISTER,
    INVITE,
    RESPONSE,
    *(case.data for case in CASES),
    *(case.data for case in INPUTS if len(case.data) < 4_000),
]
PIECES = [
    b"\r\n", b"\r", b"\n", b"\r\n ", b"\x00", b"\\", b'"', b'\\"', b"<", b">", b";", b",", b":",
    b"=", b"@", b"%00", b"%41", b"%", b"[", b"]", b"::", b":::", b"[::1]", b" ", b"\t", b"?",
    b";tag=", b";tag", b";rport", b";rport=1", b";received=1.2.3.4", b";branch=z9hG4bK", b";lr",
    b"Via: SIP/2.0/UDP h\r\n", b"Content-Length: 5\r\n", b"l: 0\r\n", b"i: x\r\n",
    b"To: <sip:a>\r\n",
    b"SIP/2.0", b"sip:", b"sips:", b"tel:", b"*", b"4294967296", b"-1", b"65536", b"\xc0\xaf",
    b"\xff", b"Route: <sip:a;lr>,<sip:b>\r\n", b"\r\n\r\n",
]  # fmt: skip

_edit = st.tuples(
    st.floats(0, 1),
    st.integers(0, 8),
    st.one_of(st.sampled_from(PIECES), st.binary(max_size=6), st.just(b"")),
)


def _mutated(seed: bytes, edits: list[tuple[float, int, bytes]]) -> bytes:
    for where, removed, inserted in edits:
        at = int(where * len(seed))
        seed = seed[:at] + inserted + seed[at + removed :]
    return seed


messages = st.builds(_mutated, st.sampled_from(SEEDS), st.lists(_edit, max_size=5))
uris = st.builds(
    _mutated,
    st.sampled_from(
        [
            b"sip:alice:pw@example.com:5070;transport=tcp;lr;maddr=1.2.3.4?a=b&c=d",
            b"sip:*21%23%00;x@[2001:db8::192.0.2.1]:5060;user=phone",
            b"sips:example.com",
            b"tel:+12125550123;ext=1",
        ]
    ),
    st.lists(_edit, max_size=4),
)
values = st.builds(
    _mutated,
    st.sampled_from(
        [
            b"SIP/2.0/UDP [2001:db8::1]:5060;branch=z9hG4bK1;rport;received=1.2.3.4;ttl=1;maddr=h",
            b'"A \\"B\\"" <sip:a@b;lr?x=y>;tag=1;q=0.5;expires=60;+sip.instance="<urn:1>";reg-id=1',
            b"<sip:a@b>;q=1, sip:c@d;expires=0, *",
            b"17 INVITE",
            b"3600",
        ]
    ),
    st.lists(_edit, max_size=4),
)
credentials = st.builds(
    _mutated,
    st.sampled_from(
        [
            b'Digest username="alice", realm="example.com", nonce="018bcfe56800", qop=auth, '
            b'uri="sip:example.com", nc=00000001, cnonce="0a4f113b", algorithm=MD5, '
            b'response="6629fae49393a05397450978507c4ef1", opaque="x"',
            b'Digest username="a",realm="b",nonce="c",uri="sip:d",response=""',
            b'digest\tUSERNAME = "j\xc3\xa4s\xc3\xb8n" , realm="",nonce="",uri=sip:d,response='
            b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa,algorithm=md5-sess,x=y",
        ]
    ),
    st.lists(_edit, max_size=4),
)
