"""Good messages of our own, and a seeded way to spoil them."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

from loadtests.servers import DOMAIN

MARK = b"%NUMBER%"  # eight bytes, replaced by a number of eight digits
SDP = (
    b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    b"m=audio 9 RTP/AVP 0\r\n"
)
TOKENS = [
    b"\0",
    b"\r",
    b"\n",
    b"\r\n",
    b"\r\n\r\n",
    b"\t",
    b" ",
    b"  ",
    b":",
    b";",
    b",",
    b"<",
    b">",
    b'"',
    b"\\",
    b"%00",
    b"%",
    b"@",
    b"=",
    b"?",
    b"&",
    b"*",
    b"[::1]",
    b"[",
    b"]",
    b"sip:",
    b"sips:",
    b"tel:+1",
    b";lr",
    b";tag=",
    b";branch=z9hG4bK",
    b";rport",
    b";maddr=127.0.0.1",
    b"SIP/2.0",
    b"SIP/3.0",
    b"\xff\xfe",
    b"\xc0\xaf",
    b"\xf0\x9f\x93\x9e",
    b"'; DROP TABLE location;--",
    b"INVITE",
    b"ACK",
    b"CANCEL",
    b"REGISTER",
    b"Content-Length: 99999\r\n",
    b"l: 5\r\n",
    b"Via: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bKx\r\n",
    b"Route: <sip:127.0.0.1;lr>\r\n",
    b"Contact: *\r\n",
    b"Expires: 0\r\n",
    b"Max-Forwards: 0\r\n",
    b"Proxy-Require: x\r\n",
]
NUMBERS = [
    b"0",
    b"-1",
    b"+5",
    b"00",
    b"1e9",
    b"0x10",
    b"255",
    b"256",
    b"65535",
    b"65536",
    b"2147483647",
    b"2147483648",
    b"4294967295",
    b"4294967296",
    b"18446744073709551616",
    b"9" * 40,
    b"",
]
COMPACT = {
    b"Via": b"v",
    b"From": b"f",
    b"To": b"t",
    b"Call-ID": b"i",
    b"Contact": b"m",
    b"Content-Length": b"l",
    b"Content-Type": b"c",
    b"Supported": b"k",
}


def message(
    method: str, user: str, local: str, extra: str = "", body: bytes = b"", uri: str = ""
) -> bytes:
    """One good request; its Call-ID, branch, tag and CSeq hold the mark."""
    aor, mark = f"sip:{user}@{DOMAIN}", MARK.decode()
    kind = "Content-Type: application/sdp\r\n" if body else ""
    target = uri or (f"sip:{DOMAIN}" if method in {"REGISTER", "OPTIONS"} else aor)
    return (
        f"{method} {target} SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bKm{mark};rport\r\n"
        f'Max-Forwards: 70\r\nFrom: "Mutant" <sip:mutant@{DOMAIN}>;tag=m{mark}\r\nTo: <{aor}>\r\n'
        f"Call-ID: mutant-{mark}@{local}\r\nCSeq: {mark} {method}\r\n{extra}{kind}"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body


def numbered(template: bytes, number: int) -> bytes:
    """A message of its own from a template."""
    return template.replace(MARK, b"%08d" % (10_000_000 + number))


def corpus(local: str, server: str) -> list[bytes]:
    """A template of every kind of message, all good."""
    mark = MARK.decode()
    contact = f"Contact: <sip:mutant@{local}>\r\n"
    many = (
        f"Contact: <sip:a@{local}>;q=0.5, <sip:b@{local};x=%41>;expires=60;q=1.0\r\n"
        "Expires: 600\r\n"
    )
    routes = f"Route: <sip:{server};lr>\r\nRecord-Route: <sip:{server};lr>\r\n"
    via = f"Via: SIP/2.0/UDP {server};branch=z9hG4bKm{mark}\r\n"
    in_dialog = message("BYE", "callee", local, routes, uri=f"sip:callee@{local}")
    return [
        message("REGISTER", f"m{mark}", local, contact + "Expires: 3600\r\n"),
        message("REGISTER", "mutant", local, many),
        message("REGISTER", "mutant", local, "Contact: *\r\nExpires: 0\r\n"),
        message("INVITE", "callee", local, contact, SDP),
        message("INVITE", "nobody", local, contact, SDP),
        message("OPTIONS", "x", local, "Accept: application/sdp\r\nSupported: path\r\n"),
        message("MESSAGE", "callee", local, body=b"hello"),
        message("ACK", "callee", local, routes),
        message("CANCEL", "callee", local),
        in_dialog.replace(b"callee@" + DOMAIN.encode() + b">", b"callee@x>;tag=t"),
        (
            f"SIP/2.0 200 OK\r\n{via}Via: SIP/2.0/UDP {local};branch=z9hG4bKr{mark};rport=5\r\n"
            f"From: <sip:a@{DOMAIN}>;tag=1\r\nTo: <sip:b@{DOMAIN}>;tag=2\r\nCall-ID: r{mark}\r\n"
            f"CSeq: 1 INVITE\r\n{contact}Content-Length: 0\r\n\r\n"
        ).encode(),
        (
            f"SIP/2.0 180 Ringing\r\nv: SIP/2.0/UDP {server};branch=z9hG4bKq{mark}, SIP/2.0/UDP "
            f"{local};branch=z9hG4bKp{mark}\r\nf: <sip:a@{DOMAIN}>;tag=1\r\nt: <sip:b@{DOMAIN}>\r\n"
            f"i: p{mark}\r\nCSeq: 1 INVITE\r\nl: 0\r\n\r\n"
        ).encode(),
        b"\0\1\0\0\x21\x12\xa4\x42abcd" + MARK,
    ]


class Mutator:
    """Spoils messages; the same seed spoils them the same way."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.ways: list[Callable[[bytearray], bytes | bytearray]] = [
            self.flip_bits,
            self.replace_bytes,
            self.delete_span,
            self.repeat_span,
            self.insert_token,
            self.insert_token,
            self.change_number,
            self.change_number,
            self.drop_line,
            self.repeat_line,
            self.swap_lines,
            self.truncate,
            self.compact_name,
            self.space_colon,
            self.fold_line,
            self.bare_line_ends,
            self.grow,
        ]

    def mutate(self, data: bytes, other: bytes) -> bytes:
        """One to four changes; sometimes spliced with another message first."""
        chance = self.chance
        found: bytes | bytearray = data
        if chance.random() < 0.08:
            cut = chance.randrange(len(data))
            found = data[:cut] + other[chance.randrange(len(other)) :]
        for _ in range(chance.choice((1, 1, 1, 2, 2, 3, 4))):
            if found:
                found = chance.choice(self.ways)(bytearray(found))
        return bytes(found[:65_507])

    def span(self, data: bytearray, longest: int = 60) -> tuple[int, int]:
        start = self.chance.randrange(len(data))
        return start, min(len(data), start + self.chance.randint(1, longest))

    def flip_bits(self, data: bytearray) -> bytearray:
        for _ in range(self.chance.randint(1, 4)):
            data[self.chance.randrange(len(data))] ^= 1 << self.chance.randrange(8)
        return data

    def replace_bytes(self, data: bytearray) -> bytearray:
        start, end = self.span(data, 8)
        data[start:end] = self.chance.randbytes(end - start)
        return data

    def delete_span(self, data: bytearray) -> bytearray:
        start, end = self.span(data)
        del data[start:end]
        return data

    def repeat_span(self, data: bytearray) -> bytearray:
        start, end = self.span(data)
        data[end:end] = data[start:end] * self.chance.randint(1, 5)
        return data

    def insert_token(self, data: bytearray) -> bytearray:
        at = self.chance.randrange(len(data) + 1)
        data[at:at] = self.chance.choice(TOKENS)
        return data

    def change_number(self, data: bytearray) -> bytearray:
        found = list(re.finditer(rb"\d+", data))
        if found:
            start, end = self.chance.choice(found).span()
            data[start:end] = self.chance.choice(NUMBERS)
        return data

    def lines(self, data: bytearray) -> list[bytes]:
        return bytes(data).split(b"\r\n")

    def drop_line(self, data: bytearray) -> bytes:
        lines = self.lines(data)
        del lines[self.chance.randrange(len(lines))]
        return b"\r\n".join(lines)

    def repeat_line(self, data: bytearray) -> bytes:
        lines = self.lines(data)
        at = self.chance.randrange(len(lines))
        lines[at:at] = [lines[at]] * self.chance.choice((1, 1, 2, 10, 100))
        return b"\r\n".join(lines)

    def swap_lines(self, data: bytearray) -> bytes:
        lines = self.lines(data)
        a, b = self.chance.randrange(len(lines)), self.chance.randrange(len(lines))
        lines[a], lines[b] = lines[b], lines[a]
        return b"\r\n".join(lines)

    def truncate(self, data: bytearray) -> bytearray:
        return data[: self.chance.randrange(len(data))]

    def compact_name(self, data: bytearray) -> bytes:
        name = self.chance.choice(list(COMPACT))
        return bytes(data).replace(b"\r\n" + name + b":", b"\r\n" + COMPACT[name] + b":")

    def space_colon(self, data: bytearray) -> bytes:
        space = self.chance.choice((b" :", b"\t:", b"\0:", b"\x0b:", b" \r\n :"))
        return bytes(data).replace(b":", space, self.chance.randint(1, 6))

    def fold_line(self, data: bytearray) -> bytes:
        spot = self.chance.choice((b" ", b";", b","))
        return bytes(data).replace(spot, b"\r\n " + spot, self.chance.randint(1, 5))

    def bare_line_ends(self, data: bytearray) -> bytes:
        end = self.chance.choice((b"\n", b"\r"))
        return bytes(data).replace(b"\r\n", end, self.chance.randint(1, 20))

    def grow(self, data: bytearray) -> bytearray:
        at = self.chance.randrange(len(data) + 1)
        size = self.chance.choice((300, 1_500, 5_000, 20_000, 60_000))
        piece = self.chance.choice((b"A", b"%41", b";a=b", b"X: y\r\n", b"\r\n ", b"<"))
        data[at:at] = piece * size
        return data


HOSTS = re.compile(rb"(?i)sips?:([^\s;>,?\"]*)|/udp\s+([^\s;,]+)|(?:maddr|received)=([^\s;>,]*)")


def stays_here(data: bytes) -> bool:
    """Whether every host this message names is ours: for runs without a network of their own."""
    for groups in HOSTS.findall(data):
        host = next((group for group in groups if group), b"").rpartition(b"@")[2]
        name = host.rpartition(b":")[0] or host
        if name not in {b"", b"127.0.0.1", b"[::1]", b"x", DOMAIN.encode()}:
            return False
    return True
