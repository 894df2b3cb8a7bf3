"""A SIP telephone without its socket: what it says, and when it says it again.

Bytes, the time and random words come in as arguments, so that tests need neither a server nor
gevent. `sip_user.py` puts it on the wire.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field

from loadtests.wire import GIVE_UP, T1, T2, Packet, request, respond

RINGING_S = 180.0  # how long an INVITE may ring once it has been heard of
HASHES = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}
_PARAMETER = re.compile(r'(\w+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,]+))')


@dataclass
class Timers:
    """When a message over UDP is sent again, and when nobody waits any longer.

    `invite`: timers A and B (RFC 3261 §17.1.1.2); otherwise E and F of any other request
    (§17.1.2.2), and just so G and H of a final response to an INVITE (§17.2.1, §13.3.1.4).
    """

    began: float
    invite: bool = False
    interval: float = T1
    due: float | None = field(init=False)  # None: it is not sent again
    deadline: float = field(init=False)
    repeated: int = 0

    def __post_init__(self) -> None:
        self.due = self.began + T1
        self.deadline = self.began + GIVE_UP

    def next(self) -> float:
        """When something is to be done."""
        return self.deadline if self.due is None else min(self.due, self.deadline)

    def provisional(self, now: float) -> None:
        """Somebody is at it: an INVITE may ring, another request is repeated every T2."""
        if self.invite:
            self.due, self.deadline = None, now + RINGING_S
        else:
            self.interval = T2

    def fire(self, now: float) -> bool:
        """Whether to send again now; when it is over, `is_over` says so."""
        if self.is_over(now) or self.due is None or now < self.due:
            return False
        doubled = self.interval * 2
        self.interval = doubled if self.invite else min(doubled, T2)
        self.due += self.interval
        self.repeated += 1
        return True

    def is_over(self, now: float) -> bool:
        """Whether the time for an answer is up: timer B, F or H."""
        return now >= self.deadline


class Credentials:
    """What a telephone answers challenges with (RFC 8760): SHA-256 or MD5, qop auth."""

    def __init__(self, user: str, password: str) -> None:
        self.user, self.password = user, password
        self.challenge: dict[str, str] = {}
        self.count = 0
        self.field = "Authorization"

    def learn(self, answer: Packet) -> bool:
        """Take the challenge of a 401 or 407; whether there is one that we can answer."""
        proxy = answer.status == 407
        self.field = "Proxy-Authorization" if proxy else "Authorization"
        for value in answer.all("proxy-authenticate" if proxy else "www-authenticate"):
            scheme, _, rest = value.partition(" ")
            found = {key.lower(): quoted or bare for key, quoted, bare in _PARAMETER.findall(rest)}
            if scheme.lower() == "digest" and found.get("algorithm", "MD5") in HASHES:
                self.challenge, self.count = found, 0
                return True
        return False

    def line(self, method: str, uri: str, cnonce: str) -> str:
        """The header field for one more request, empty before the first challenge."""
        if not self.challenge:
            return ""
        self.count += 1
        realm, nonce = self.challenge["realm"], self.challenge["nonce"]
        algorithm = self.challenge.get("algorithm", "MD5")

        def hashed(*parts: str) -> str:
            return HASHES[algorithm](":".join(parts).encode()).hexdigest()

        secret, what = hashed(self.user, realm, self.password), hashed(method, uri)
        text = f'{self.field}: Digest username="{self.user}", realm="{realm}", nonce="{nonce}", '
        text += f'uri="{uri}", algorithm={algorithm}, '
        if "auth" in self.challenge.get("qop", "").replace(" ", "").split(","):
            count = f"{self.count:08x}"
            response = hashed(secret, nonce, count, cnonce, "auth", what)
            text += f'qop=auth, nc={count}, cnonce="{cnonce}", '
        else:
            response = hashed(secret, nonce, what)
        if "opaque" in self.challenge:
            text += f'opaque="{self.challenge["opaque"]}", '
        return f'{text}response="{response}"\r\n'


@dataclass
class Dialog:
    """One side of a call: what the requests of it are made of (RFC 3261 §12)."""

    call_id: str
    ours: str  # From of our requests, with its tag
    theirs: str  # To of our requests
    target: str
    routes: str = ""
    cseq: int = 1

    def confirm(self, answer: Packet) -> None:
        """Learn the other side from a 2xx (§12.1.2); a later one only moves it (§12.2.1.2)."""
        self.target = uri_in(answer.get("contact")) or self.target
        if "tag=" not in self.theirs:
            self.theirs = answer.get("to")
            self.routes = route_lines(reversed_route(answer))

    @classmethod
    def of_callee(cls, invite: Packet, tag: str) -> Dialog:
        """The callee's side: §12.1.1."""
        ours, target = f"{invite.get('to')};tag={tag}", uri_in(invite.get("contact"))
        routes = route_lines(reversed_route(invite)[::-1])
        return cls(invite.get("call-id"), ours, invite.get("from"), target, routes)


@dataclass
class Telephone:
    """Who speaks, from where: makes requests and responses."""

    user: str
    domain: str
    address: str  # host:port of its socket
    run: str  # a word of this run and telephone: no branch or tag is used twice
    credentials: Credentials  # what REGISTER was challenged for
    calling: Credentials  # what INVITE was
    number: int = 0
    register_cseq: int = 0
    register_call_id: str = ""

    @property
    def uri(self) -> str:
        """The address of record."""
        return f"sip:{self.user}@{self.domain}"

    @property
    def contact(self) -> str:
        """Where it is."""
        return f"sip:{self.user}@{self.address}"

    def word(self) -> str:
        """A word that nobody has used before."""
        self.number += 1
        return f"{self.run}{self.number}"

    def via(self) -> str:
        """A Via of a new transaction."""
        return f"SIP/2.0/UDP {self.address};branch=z9hG4bK{self.word()};rport"

    def begin_registration(self) -> None:
        """As after a start: a new Call-ID, nothing known of nonces."""
        self.register_call_id, self.register_cseq = f"{self.word()}@{self.address}", 0
        self.credentials.challenge = {}
        self.calling.challenge = {}

    def register(self, expires: int) -> str:
        """The next REGISTER; `expires` 0 takes the contact out."""
        self.register_cseq += 1
        uri = f"sip:{self.domain}"
        extra = f"Contact: <{self.contact}>\r\nExpires: {expires}\r\n"
        extra += self.credentials.line("REGISTER", uri, self.word())
        address = f"<{self.uri}>"
        return request(
            self,
            "REGISTER",
            uri,
            self.register_call_id,
            self.register_cseq,
            f"{address};tag={self.run}",
            address,
            extra,
            via=self.via(),
        )

    def dial(self, user: str) -> Dialog:
        """The dialog of a new call, as far as a caller knows it."""
        uri = f"sip:{user}@{self.domain}"
        tag = self.word()
        call_id = f"{self.word()}@{self.address}"
        return Dialog(call_id, f"<{self.uri}>;tag={tag}", f"<{uri}>", uri, cseq=0)

    def request(self, method: str, dialog: Dialog, body: str = "") -> str:
        """The next request of a dialog; an INVITE may be its first."""
        dialog.cseq += 1
        extra = f"Contact: <{self.contact}>\r\n" if method == "INVITE" else ""
        if method == "INVITE" and "tag=" not in dialog.theirs:
            extra += self.calling.line(method, dialog.target, self.word())
        return self._of(method, dialog, dialog.routes + extra, body, self.via())

    def ack(self, dialog: Dialog) -> str:
        """ACK of a 2xx: a transaction of its own, along the route."""
        return self._of("ACK", dialog, dialog.routes, "", self.via())

    def hop_by_hop(self, method: str, invite: str, to: str = "") -> str:
        """ACK of a failure, or CANCEL: the branch and target of the INVITE (§17.1.1.3, §9.1)."""
        sent = Packet(invite.encode())
        return request(
            self,
            method,
            sent.first.split(" ")[1],
            sent.get("call-id"),
            int(sent.get("cseq").split()[0]),
            sent.get("from"),
            to or sent.get("to"),
            "".join(f"Route: {value}\r\n" for value in sent.all("route")),
            via=sent.get("via"),
        )

    def respond(self, to: Packet, status: str, tag: str, body: str = "") -> str:
        """A response."""
        return respond(self, to, status, tag, body, self.user)

    def _of(self, method: str, dialog: Dialog, extra: str, body: str, via: str) -> str:
        return request(
            self,
            method,
            dialog.target,
            dialog.call_id,
            dialog.cseq,
            dialog.ours,
            dialog.theirs,
            extra,
            body,
            via,
        )


def uri_in(value: str) -> str:
    """The URI between angle brackets."""
    found = re.search(r"<([^>]+)>", value)
    return found[1] if found else ""


def reversed_route(packet: Packet) -> list[str]:
    """The recorded route, the last proxy first: a caller's order of a response's rows."""
    values = [one.strip() for row in packet.all("record-route") for one in row.split(",")]
    return values[::-1]


def route_lines(route: list[str]) -> str:
    """Route header fields."""
    return "".join(f"Route: {value}\r\n" for value in route)
