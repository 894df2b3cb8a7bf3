"""A telephone for scenarios: builds requests and responses by the book, remembers its dialog."""

from __future__ import annotations

from proxy.sip.address import Address
from proxy.sip.header_ids import CONTACT, FROM, RECORD_ROUTE, ROUTE, TO, VIA
from proxy.sip.headers import parse_contacts, split_commas
from proxy.sip.message import Message, parse


class Telephone:
    """One user agent at one address; numbers its branches, tags and Call-IDs."""

    def __init__(self, name: str, at: Address, user: str = "", domain: str = "example.com") -> None:
        self.name = name
        self.at = at
        self.aor = f"sip:{user or name}@{domain}"
        self.contact = f"sip:{user or name}@{at.hostport.decode()}"
        self.serial = 0
        self.cseq = 0
        self.history: list[bytes] = []  # everything sent, for `again`
        self.invite: Message | None = None  # the last INVITE sent
        self.received: list[Message] = []
        self.routes: list[str] = []
        self.peer = ""  # remote target
        self.local = self.remote = ""  # From and To of the dialog, seen from here
        self.call_id = ""

    def fresh(self) -> int:
        self.serial += 1
        return self.serial

    def emit(self, lines: list[str], body: str = "") -> bytes:
        """Start line and headers to a datagram; a Content-Length line is added."""
        head = [*lines, f"Content-Length: {len(body)}", "", body]
        self.history.append("\r\n".join(head).encode())
        return self.history[-1]

    def request(self, method: str, uri: str, **options: str) -> bytes:
        """A request outside a dialog, unless `to`, `call_id`, … say otherwise."""
        n = self.fresh()
        self.cseq = int(options.get("cseq", self.cseq + 1))
        call_id = options.get("call_id", f"{self.name}-{n}")
        branch = options.get("branch", f"z9hG4bK-{self.name}-{n}")
        via = f"SIP/2.0/UDP {self.at.hostport.decode()};branch={branch};rport"
        headers = [
            f"{method} {uri} SIP/2.0",
            f"Via: {options.get('via', via)}",
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
        sent = self.emit(headers, options.get("body", ""))
        if method == "INVITE":
            self.invite = parse(sent)
        return sent

    def register(self, expires: str = "3600", contact: str = "", **options: str) -> bytes:
        """REGISTER this telephone's contact; `contact` overrides the whole header value."""
        value = contact or f"<{self.contact}>;expires={expires}"
        lines = "" if contact == "none" else f"Contact: {value}"
        if "headers" in options:
            lines += "|" + options.pop("headers")
        options.setdefault("call_id", f"reg-{self.name}")
        options.setdefault("to", f"<{self.aor}>")
        domain = self.aor.rpartition("@")[2]
        return self.request(
            "REGISTER", f"sip:{domain}", **{**options, "contact": "", "headers": lines}
        )

    def ack(self, response: Message) -> bytes:
        """ACK a final response to our INVITE: hop by hop to a failure, in the dialog to a 2xx."""
        assert self.invite is not None
        if response.status >= 300:
            via = self.invite.values(VIA)[0].decode()
            return self._in_transaction("ACK", via, response)
        if not self.invite.to_tag:
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
            *(f"Route: {value.decode()}" for value in self.invite.headers(ROUTE)),
            f"From: {(self.invite.header(FROM) or b'').decode()}",
            f"To: {to}",
            f"Call-ID: {self.invite.call_id.decode()}",
            f"CSeq: {self.invite.cseq} {method}",
            "Max-Forwards: 70",
        ]
        return self.emit(lines)

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

    def reply(
        self, status: int, method: str, headers: str = "", tag: str = "", contact: str = ""
    ) -> bytes:
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
        if 100 < status < 300 or contact:
            lines.append(f"Contact: <{contact or self.contact}>")
        lines += [line for line in headers.split("|") if line]
        sent = self.emit(lines)
        if method == "INVITE" and 200 <= status < 300 and not request.to_tag:
            self.enter_dialog(parse(sent), caller=False)
            contacts = split_commas(request.header(CONTACT) or b"")
            self.peer = parse_contacts(contacts)[0].uri.decode()
        return sent

    def final_response(self, tag: str = "") -> Message:
        """The last final response to an INVITE of ours; with `tag`, the one with that To tag."""
        for message in reversed(self.received):
            if message.is_request or message.status < 200 or message.cseq_method != "INVITE":
                continue
            if not tag or message.to_tag == tag.encode():
                return message
        raise LookupError(f"{self.name} got no such final response")

    def sent_before(self, kind: str) -> bytes:
        """The last datagram sent; with `kind`, the last such request (INVITE) or response (486)."""
        for datagram in reversed(self.history):
            if not kind or datagram.startswith((f"{kind} ".encode(), f"SIP/2.0 {kind}".encode())):
                return datagram
        raise LookupError(f"{self.name} sent no {kind}")
