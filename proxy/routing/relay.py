"""What all branches of one forwarded request share, and how each is built (RFC 3261 §16.6)."""

from __future__ import annotations

import cython

from proxy.constants import BRANCH_BYTES
from proxy.errors import BadMessage
from proxy.limits import bounds
from proxy.registrar.lookup import Target
from proxy.routing.branch import hex_digits
from proxy.routing.header_changes import HeaderChanges
from proxy.routing.node import Node
from proxy.sip.address import Address
from proxy.sip.draft import Draft
from proxy.sip.header_ids import MAX_BREADTH, ROUTE, VIA
from proxy.sip.headers import parse_name_addr, parse_via, split_commas
from proxy.sip.message import Message
from proxy.sip.patching import forwarded_request, top_via_fixed
from proxy.sip.uri import Uri, parse_uri

DEFAULT_MAX_FORWARDS = 70
LITERALS = 65_536
DEFAULT_BREADTH = bounds.MAX_BREADTH
REMEMBERED_BYTES = bounds.REMEMBERED_BYTES
SPIRALS = bounds.SPIRALS
NO_ORIGINALS: dict[int, bytes] = {}
NO_ROUTES: list[bytes] = []
FULL_BREADTH = b"Max-Breadth: %d\r\n" % DEFAULT_BREADTH
_draft = Draft()


@cython.freelist(64)
@cython.cclass
class Relay:
    """One request to be forwarded; `build` makes the datagram of a branch.

    `drop_routes` leading Route values are ours and go, and with `drop_last` the last one, which
    a strict router meant as the Request-URI; `changes` are what the policy wants otherwise in the
    headers, `originals` the From and To that it has changed, as they came.
    """

    def begin(self, node: Node, message: Message, listener: int) -> None:
        """What there is before anything is decided; arguments of `__init__` would cost more."""
        self.node = node
        self.message = message
        self.listener = listener
        self.invite = message.method == "INVITE"
        self.request_uri = message.request_uri
        self.top_via = b""
        self.origin = b""  # the host it came from, once top_via is known
        self.source: Address | None = None  # the same, with its port
        self.drop_routes = 0
        self.drop_last = False
        self.record_route = False
        self.changes: HeaderChanges | None = None
        self.originals: dict[int, bytes] = NO_ORIGINALS
        self.leave_by = listener  # the listener on the other side (RFC 5658)
        self.loop = -1
        self.left: list[bytes] | None = None
        self.did = b""  # of the dialog this request belongs to, or is to set up
        self.number = 0  # the CSeq it came with, if it goes on with another

    def fix_via(self, source: Address) -> bytes:
        """The request's own top Via with received and rport filled in (§18.2.1, RFC 3581)."""
        if not self.top_via:
            self.top_via = top_via_fixed(self.message, source)
            self.origin = source.host
            self.source = source
        return self.top_via

    def amended(self) -> HeaderChanges:
        """The changes of the headers, made when the first is wanted."""
        if self.changes is None:
            self.changes = HeaderChanges(self.message)
        return self.changes

    def rename(self, header: int, value: bytes) -> None:
        """Another From or To; `reply.py` sees to it that the caller gets back its own."""
        index = self.message.first_of(header)
        if not self.originals:
            self.originals = {}
        self.originals[header] = self.message.value(index)
        self.amended().edit(index, value)

    def redirect(self, uri: bytes) -> None:
        """Another Request-URI; branches stay those of the request as it came (R4)."""
        self.sign()
        self.request_uri = uri

    def take_whole_route(self, did: bytes) -> None:
        """The Route is a single one, our own for this dialog."""
        self.drop_routes = 1
        self.left = NO_ROUTES
        self.did = did

    def routes(self) -> list[bytes]:
        """The Route values that are left for those behind us."""
        if self.left is None:
            self.left = NO_ROUTES
            if self.message.has(ROUTE):
                values = self.message.values(ROUTE)
                if self.drop_last:
                    values.pop()
                self.left = values[self.drop_routes :]
        return self.left

    def sign(self) -> int:
        """The loop part of every branch of this request (RFC 5393 §4.2)."""
        if self.loop < 0:
            routes = self.routes()
            joined = b",".join(routes) if routes else b""
            self.loop = self.node.signer.loop_hash(self.message, self.request_uri, joined)
        return self.loop

    def has_looped(self) -> bool:
        """Whether this request passed here before with nothing changed (§16.3 step 4).

        Or with something changed, but more often than any call needs: phones may be registered at
        each other, and whoever has registered many can make a request wander for long.
        """
        message = self.message
        if message.via_count == 1:
            return False  # whatever passed here has our Via and its own
        if message.via_count > SPIRALS and self.visits() > SPIRALS:
            return True
        loop = hex_digits(self.sign(), 8)
        for value in message.values(VIA):
            if loop in value:
                via = parse_via(value)
                ours = self.node.identity.is_listener(via.host, via.port)
                if ours and via.branch[23:31] == loop and len(via.branch) == BRANCH_BYTES:
                    return True
        return False

    def visits(self) -> int:
        """How often this request has come by here before, by its Vias."""
        count = 0
        if self.message.via_count > 1:
            for value in self.message.values(VIA):
                via = parse_via(value)
                if self.node.identity.is_listener(via.host, via.port):
                    count += 1
        return count

    def branch_before(self) -> bytes:
        """The branch with which this request first came by here; b"" if that was never.

        A Via of ours can be made up, its branch cannot.
        """
        identity = self.node.identity
        values = self.message.values(VIA)
        for index in range(len(values) - 1, 0, -1):
            via = parse_via(values[index - 1])
            if identity.is_listener(via.host, via.port):
                below = parse_via(values[index])
                origin = below.received or below.host
                if self.node.signer.is_ours(via.branch, below.branch, origin, self.message):
                    return below.branch
        return b""

    def known_address(self, target: Target) -> Address | None:
        """The address of a target seen before that says it literally: the usual case, quickly."""
        if len(target.path) > 0 or len(self.routes()) > 0:
            return None
        return self.node.literals.get(target.received if target.received else target.uri)

    def remember(self, target: Target, address: Address) -> None:
        """For `known_address`; bounded by forgetting everything now and then."""
        text = target.received or target.uri
        if not target.path and not self.routes() and len(text) <= REMEMBERED_BYTES:
            if len(self.node.literals) >= LITERALS:
                self.node.literals.clear()
            self.node.literals[text] = address

    def next_hop(self, target: Target) -> Uri:
        """Where a branch goes: Path, remaining Route, received address, or the target (§16.6-7)."""
        if target.path:
            return parse_uri(parse_name_addr(split_commas(target.path)[0]).uri)
        routes = self.routes()
        if routes:
            return parse_uri(parse_name_addr(routes[0]).uri)
        if target.received:
            return parse_uri(b"sip:" + target.received)
        return parse_uri(target.uri)

    def way_out(self, target: Target, address: Address) -> int:
        """The listener to send by: where the target registered, if that fits; -1 if none does."""
        identity = self.node.identity
        preferred = self.leave_by
        socket = target.socket
        listener: Address = identity.listeners[preferred]
        if socket and socket != listener.hostport:
            preferred = identity.hostports.get(socket, preferred)
        return identity.listener_towards(address, preferred)

    def branch(self, target: Target, attempt: int) -> bytes:
        """The branch parameter towards a target; each address tried has its own."""
        signer = self.node.signer
        aim = signer.aim_hash(target.uri, target.received, target.path, attempt)
        return signer.branch(self.message, self.origin, self.sign(), aim)

    def build(self, target: Target, branch: bytes, listener: int, breadth: int) -> bytes:
        """The datagram of one branch, leaving by `listener`; `breadth` 0 says nothing of it."""
        message = self.message
        identity = self.node.identity
        changes = self.changes
        insert = _draft
        insert.begin()
        if changes is not None:
            insert.add(changes.insert())
        if self.record_route:
            self.add_record_routes(insert, listener)
        request_uri = target.uri
        drop = self.drop_routes
        edits: tuple[tuple[int, bytes | None], ...] = () if changes is None else changes.edits
        if target.path:
            insert.add(b"Route: " + target.path + b"\r\n")
        elif len(self.routes()) > 0 or self.drop_last:
            routes = list(self.routes())
            strict = len(routes) > 0 and not is_loose(routes[0])
            if strict or self.drop_last:
                if strict:
                    # §16.6 step 6: a strict router wants itself in the Request-URI
                    routes.append(b"<" + request_uri + b">")
                    request_uri = parse_name_addr(routes.pop(0)).uri
                if routes:
                    insert.add(b"Route: " + b", ".join(routes) + b"\r\n")
                drop = len(message.values(ROUTE))
        if breadth and (breadth < DEFAULT_BREADTH or self.invite or message.has(MAX_BREADTH)):
            edits = self.limit_breadth(edits, insert, breadth)
        hops = message.max_forwards - 1 if message.max_forwards >= 0 else DEFAULT_MAX_FORWARDS
        return forwarded_request(
            message,
            request_uri,
            identity.vias[listener],
            self.top_via,
            hops,
            drop,
            insert.take(),
            edits,
            branch,
        )

    def limit_breadth(
        self, edits: tuple[tuple[int, bytes | None], ...], insert: Draft, breadth: int
    ) -> tuple[tuple[int, bytes | None], ...]:
        """Say how many parallel branches those behind us may still open (RFC 5393 §5.3.3)."""
        index = self.message.first_of(MAX_BREADTH)
        if index >= 0:
            return (*edits, (index, b"%d" % breadth))
        insert.add(FULL_BREADTH if breadth == DEFAULT_BREADTH else b"Max-Breadth: %d\r\n" % breadth)
        return edits

    def breadth(self) -> int:
        """The parallel branches this request may still open."""
        value = self.message.header(MAX_BREADTH)
        if value is None:
            return DEFAULT_BREADTH
        if not value.isdigit() or len(value) > 5:
            raise BadMessage("Max-Breadth is not a number")
        return min(int(value), DEFAULT_BREADTH)

    def add_record_routes(self, insert: Draft, listener: int) -> None:
        """Our Record-Route; two when the request leaves by another listener (RFC 5658)."""
        message = self.message
        cookie = self.node.signer.route_cookie(message.call_id, message.from_tag, self.did)
        insert.add(b"Record-Route: ")
        if listener != self.listener:
            self.add_own_route(insert, listener, b";r2=on", cookie)
            insert.add(b", ")
            self.add_own_route(insert, self.listener, b";r2=on", cookie)
        else:
            self.add_own_route(insert, listener, b"", cookie)
        insert.add(b"\r\n")

    def add_own_route(self, insert: Draft, listener: int, double: bytes, cookie: bytes) -> None:
        """What names one of our listeners, for this dialog and no other."""
        insert.add(self.node.identity.routes[listener])
        insert.add(double)
        if self.did:
            insert.add(b";did=")
            insert.add(self.did)
        insert.add(b";k=")
        insert.add(cookie)
        insert.add(b">")


def is_loose(route: bytes) -> bool:
    """Whether a Route value names a loose router (§19.1.1)."""
    return parse_uri(parse_name_addr(route).uri).lr
