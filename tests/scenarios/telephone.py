"""A telephone for scenarios: builds requests and responses by the book, remembers its dialog."""

from __future__ import annotations

from proxy.sip.address import Address
from proxy.sip.header_ids import CONTACT, FROM, RECORD_ROUTE, TO, VIA
from proxy.sip.headers import parse_contacts, split_commas
from proxy.sip.message import Message, parse


class Telephone:
    """One user agent at one address; numbers its branches, tags and Call-IDs."""

    def __init__(self, name: str, at: Address, domain: str = "example.com") -> None:
        self.name = name
        self.at = at
        self.aor = f"sip:{name}@{domain}"
        self.contact = f"sip:{name}@{at.hostport.decode()}"
        self.serial = 0
        self.cseq = 0
        self.sent: bytes = b""  # the last thing sent, for `again`
        self.invite: Message | None = None  # the last INVITE sent
        self.received: list[Message] = []
        self.routes: list[str] = []
        self.peer = ""  # remote target
        self.local = self.remote = ""  # From and To of the dialog, seen from here
        self.call_id = ""

    def fresh(self) -> int:
        self.serial += 1
        return self.serial

    def request(self, method: str, uri: str, **options: str) -> bytes:
        """A request outside a dialog, unless `to`, `call_id`, … say otherwise."""
        n = self.fresh()
        self.cseq = int(options.get("cseq", self.cseq + 1))
        call_id = options.get("call_id", f"{self.name}-{n}")
        branch = options.get("branch", f"z9hG4bK-{self.name}-{n}")
        headers = [
            f"{method} {uri} SIP/2.0",
            f"Via: SIP/2.0/UDP {self.at.hostport.decode()};branch={branch};rport",
            f"From: {options.get('from', f'<{self.aor}>;tag={self.name}{n}')}",
            f"To: {options.get('to', f'<{uri}>')}",
            f"Call-ID: {call_id}",
            f"CSeq: {self.cseq} {options.get('cseq_method', method)}",
        ]
        if options.get("max_forwards", "70"):
            headers.append(f"Max-Forwards: {options.get('max_forwards', '70')}")
        if options.get("contact", self.contact) and method not in ("ACK", "CANCEL", "BYE"):
            headers.append(f"Contact: <{options.get('contact', self.contact)}>")
        for line in options.get("headers", "").split("|"):
            if line:
                headers.append(line)
        headers += ["Content-Length: 0", "", ""]
        self.sent = "\r\n".join(headers).encode()
        if method == "INVITE":
            self.invite = parse(self.sent)
        return self.sent

    def register(self, expires: str = "3600", contact: str = "", **options: str) -> bytes:
        """REGISTER this telephone's contact; `contact` overrides the whole header value."""
        value = contact or f"<{self.contact}>;expires={expires}"
        lines = f"Contact: {value}"
        if "headers" in options:
            lines += "|" + options.pop("headers")
        options.setdefault("call_id", f"reg-{self.name}")
        domain = self.aor.rpartition("@")[2]
        return self.request(
            "REGISTER",
            f"sip:{domain}",
            **{**options, "contact": "", "headers": lines, "to": f"<{self.aor}>"},
        )

    def ack(self, response: Message) -> bytes:
        """ACK a final response to our INVITE: hop by hop to a failure, in the dialog to a 2xx."""
        assert self.invite is not None
        if response.status >= 300:
            via = self.invite.values(VIA)[0].decode()
            return self._in_transaction("ACK", via, response)
        self.enter_dialog(response, caller=True)
        return self.in_dialog("ACK", cseq=str(response.cseq))

    def cancel(self) -> bytes:
        """CANCEL our last INVITE (§9.1)."""
        assert self.invite is not None
        return self._in_transaction("CANCEL", self.invite.values(VIA)[0].decode(), self.invite)

    def _in_transaction(self, method: str, via: str, model: Message) -> bytes:
        assert self.invite is not None
        to = (model.header(TO) or b"").decode()
        lines = [
            f"{method} {self.invite.request_uri.decode()} SIP/2.0",
            f"Via: {via}",
            f"From: {(self.invite.header(FROM) or b'').decode()}",
            f"To: {to}",
            f"Call-ID: {self.invite.call_id.decode()}",
            f"CSeq: {self.invite.cseq} {method}",
            "Max-Forwards: 70",
            "Content-Length: 0",
            "",
            "",
        ]
        self.sent = "\r\n".join(lines).encode()
        return self.sent

    def enter_dialog(self, message: Message, *, caller: bool) -> None:
        """Take the dialog's state from a 2xx (caller) or from our own 2xx's request (callee)."""
        routes = [value.decode() for value in message.values(RECORD_ROUTE)]
        self.routes = routes[::-1] if caller else routes
        contact = parse_contacts(message.headers(CONTACT))[0]
        self.peer = contact.uri.decode()
        self.call_id = message.call_id.decode()
        ours, theirs = (FROM, TO) if caller else (TO, FROM)
        self.local = (message.header(ours) or b"").decode()
        self.remote = (message.header(theirs) or b"").decode()

    def in_dialog(self, method: str, **options: str) -> bytes:
        """A request inside the dialog, along its route set."""
        route = f"Route: {', '.join(self.routes)}" if self.routes else ""
        extra = options.pop("headers", "")
        options.setdefault("headers", "|".join(part for part in (route, extra) if part))
        return self.request(
            method,
            options.pop("uri", self.peer),
            **{
                "from": self.local,
                "to": self.remote,
                "call_id": self.call_id,
                **options,
            },
        )

    def last(self, method: str) -> Message:
        """The last request of a method that reached this telephone."""
        for message in reversed(self.received):
            if message.is_request and message.method == method:
                return message
        raise LookupError(f"{self.name} received no {method}")

    def reply(self, status: int, method: str, headers: str = "", tag: str = "") -> bytes:
        """Answer the last request of a method."""
        request = self.last(method)
        to = (request.header(TO) or b"").decode()
        if ";tag=" not in to and status > 100:
            to += f";tag={tag or self.name}"
        lines = [f"SIP/2.0 {status} Answer"]
        lines += [f"Via: {value.decode()}" for value in request.values(VIA)]
        lines += [f"Record-Route: {value.decode()}" for value in request.headers(RECORD_ROUTE)]
        lines += [
            f"From: {(request.header(FROM) or b'').decode()}",
            f"To: {to}",
            f"Call-ID: {request.call_id.decode()}",
            f"CSeq: {request.cseq} {request.method}",
        ]
        if 100 < status < 300:
            lines.append(f"Contact: <{self.contact}>")
        lines += [line for line in headers.split("|") if line]
        lines += ["Content-Length: 0", "", ""]
        self.sent = "\r\n".join(lines).encode()
        if method == "INVITE" and 200 <= status < 300:
            self.enter_dialog(parse(self.sent), caller=False)
            contacts = split_commas(request.header(CONTACT) or b"")
            self.peer = parse_contacts(contacts)[0].uri.decode()
        return self.sent

    def final_response(self) -> Message:
        """The last final response to an INVITE of ours."""
        for message in reversed(self.received):
            if not message.is_request and message.status >= 200 and message.cseq_method == "INVITE":
                return message
        raise LookupError(f"{self.name} got no final response")
