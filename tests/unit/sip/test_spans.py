"""Which byte may stand where, wherever it stands: long loops look at sixteen bytes at a time."""

from __future__ import annotations

import string

import pytest

from proxy.errors import BadMessage
from proxy.sip import header_ids as h
from proxy.sip.message import parse
from tests.wire import wire

PRINTABLE = bytes(range(0x21, 0x7F))
ALNUM = (string.ascii_letters + string.digits).encode()
# A line, the place of the byte at hand in it, and the bytes that may be there.
PLACES = {
    "From": (b"From: <sip:%b@example.com>;tag=1", bytes(set(PRINTABLE) - set(b'<>"'))),
    "Call-ID": (b"Call-ID: %b", bytes(set(PRINTABLE) - set(b",;"))),
    "Via": (b"Via: SIP/2.0/UDP %b", ALNUM + b"-._"),
    "To": (b"To: <sip:b@example.com>;x=%b", bytes(set(PRINTABLE) - set(b'",;<>\\'))),
    "Subject": (b"Subject: x%bx", b" \t" + PRINTABLE + bytes(range(0x80, 0xC0)) + b"\xf5\xff"),
}
LINES = {
    "Via": b"Via: SIP/2.0/UDP h",
    "From": b"From: <sip:a@b>;tag=1",
    "To": b"To: <sip:c@d>",
    "Call-ID": b"Call-ID: a",
    "CSeq": b"CSeq: 1 OPTIONS",
    "Subject": b"Subject: x",
}
# Separators with a meaning of their own there, and what depends on the bytes behind it.
MEANT = {"Via": b":,; \t[", "To": b";,", "Subject": b"\xc0\xc1\xe0\xf0"}


def accepts(name: str, text: bytes, rest: bytes) -> bool:
    lines = [line for other, line in LINES.items() if other != name]
    lines.append(PLACES[name][0] % text)
    try:
        parse(b"OPTIONS sip:a@b SIP/2.0\r\n" + b"\r\n".join(lines) + rest)
    except BadMessage:
        return False
    return True


@pytest.mark.parametrize("name", PLACES)
def test_every_byte(name: str) -> None:
    may = PLACES[name][1]
    for byte in range(256):
        if byte in MEANT.get(name, b"") or (name == "Subject" and byte >= 0xC0):
            continue
        for at in (1, 19):
            text = b"a" * at + bytes((byte,)) + b"a" * (20 - at)
            assert accepts(name, text, b"\r\n\r\n") == (byte in may), (byte, at)


@pytest.mark.parametrize("name", PLACES)
def test_at_every_distance_from_the_end(name: str) -> None:
    for size in range(1, 36):
        for at in range(size):
            text = b"a" * at + b"\x7f" + b"a" * (size - at - 1)
            assert not accepts(name, text, b"\r\n\r\n"), (size, at)
        for rest in (b"\r\n\r\n", b"\r\n\r\nbody", b"\r\nl: 0\r\n\r\n"):
            assert accepts(name, b"a" * size, rest), size


@pytest.mark.parametrize("number", [n for n in h.NAMES if b"-" in h.NAMES[n]])
def test_no_other_byte_is_a_hyphen(number: int) -> None:
    for other in b"!%*_+`'~.0A":
        name = h.NAMES[number].replace(b"-", bytes((other,)))
        text = "OPTIONS sip:a@b SIP/2.0\n" + "\n".join(line.decode() for line in LINES.values())
        m = parse(wire(text + f"\n{name.decode()}: x\n"))
        assert m.span(m.header_count - 1)[0] == h.UNKNOWN
    with pytest.raises(BadMessage):
        parse(wire(text + "\n" + h.NAMES[number].decode().replace("-", "\r") + ": x\n"))
