"""The policy's view of a request: what `conf/routing.py` asks and does.

The policy is `async def on_request(request)`. It answers (`reply`, `save`), sends the request on
(`relay`), or drops it. Awaiting `relay` gives the outcome: after a failure the policy may relay
again or answer itself; if it does neither, the best response goes upstream.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from proxy.constants import reason_phrase
from proxy.dialog.dialog import Dialog
from proxy.dialog.layout import LETTERS
from proxy.dialog.validation import Validity
from proxy.errors import BadMessage, HandedOver
from proxy.limits.counters import REGISTRAR_ACCEPTED_REGS, REGISTRAR_REJECTED_REGS
from proxy.registrar.lookup import Target, lookup
from proxy.registrar.save import save
from proxy.routing.address_groups import Entry
from proxy.routing.authentication import User, authorize, behind_alias
from proxy.routing.header_changes import check_value
from proxy.routing.node import Node
from proxy.routing.pending import Pending
from proxy.routing.policy_run import Outcome, PolicyRun, Sleep
from proxy.routing.reply import Revision
from proxy.routing.response_context import ResponseContext
from proxy.routing.sql import Value
from proxy.routing.tracking import (
    begin,
    dialog_of,
    judge,
    may_be_tracked,
    repair_route,
    target_within,
    tracker_of,
)
from proxy.routing.web import DISABLED, HttpLookup, check_question, failed
from proxy.sip.address import Address
from proxy.sip.header_ids import FROM, TO
from proxy.sip.headers import NameAddr, renamed
from proxy.sip.message import Message
from proxy.sip.uri import Uri, aor_key, parse_uri, uri_with

Policy = Callable[["Request"], Coroutine[Any, Any, None]]


def flag_bits(letters: str) -> int:
    """OpenSIPS' flags of create_dialog as they are stored."""
    unknown = set(letters) - set(LETTERS)
    if unknown:
        raise ValueError(f"a dialog has the flags {''.join(LETTERS)}, not {''.join(unknown)}")
    bits = 0
    for letter in letters:
        bits |= LETTERS[letter]
    return bits


class Request(PolicyRun):
    """One new request, as a policy sees it."""

    def __init__(self, node: Node, message: Message, source: Address, listener: int) -> None:
        self.begin(node, message, source, listener)
        self._uri: Uri | None = None
        self._values: dict[Any, Any] | None = None

    # -- what a policy asks -------------------------------------------------------------------

    @property
    def uri(self) -> Uri:
        """The Request-URI, parsed."""
        return self._parsed_uri()

    def _parsed_uri(self) -> Uri:
        """As `uri`, which compiled is an attribute that has to be looked up by its name."""
        if self._uri is None:
            self._uri = parse_uri(self.relaying.request_uri)
        return self._uri

    @property
    def last_hop(self) -> bool:
        """Whether Max-Forwards says that nobody may send it on."""
        return self.message.max_forwards == 0

    @property
    def in_dialog(self) -> bool:
        """Whether there is a To tag."""
        return len(self.message.to_tag) > 0

    @property
    def is_for_us(self) -> bool:
        """Whether the Request-URI names one of our domains or listeners."""
        return self.node.identity.is_ours(self._parsed_uri())

    @property
    def is_from_us(self) -> bool:
        """Whether the From URI names one of our domains, whatever port it adds."""
        return self.node.identity.names_us(parse_uri(self.message.from_addr.uri))

    @property
    def has_route(self) -> bool:
        """Whether Route values are left after our own have been taken off."""
        return len(self.relaying.routes()) > 0

    @property
    def came_by_our_route(self) -> bool:
        """Whether the Route was one of ours, with the cookie of this dialog."""
        return self.own_route

    @property
    def values(self) -> dict[Any, Any]:
        """What the policy wants to remember while this request is under way."""
        if self._values is None:
            self._values = {}
        return self._values

    def lookup(self, uri: bytes | None = None) -> list[Target]:
        """The registered contacts of the Request-URI, or `uri`, that take this method, by q."""
        node = self.node
        key = aor_key(self._parsed_uri() if uri is None else parse_uri(uri))
        return lookup(node.location, key, self.method, node.wall, node.faults)

    @property
    def dialog(self) -> Dialog | None:
        """The tracked dialog that this request belongs to, or sets up; None if there is none."""
        return dialog_of(self)

    def validate_dialog(self) -> Validity:
        """Whether CSeq, Request-URI and Route are what the sender may send in its dialog."""
        return judge(self)

    def profile_size(self, name: str, value: str = "") -> int:
        """How many dialogs are in a profile; without a value in all values of it together."""
        store = tracker_of(self).store
        return store.profiles.size(name.encode(), value.encode(), self.node.wall)

    def pipe(self, name: str, limit: int | None = None, algorithm: str | None = None) -> bool:
        """Whether one more may pass this pipe now; asking counts what is let pass."""
        if self.node.pipes is None:
            raise RuntimeError("this node has no pipes")
        return self.node.pipes.check(name, limit, algorithm, self.node.now)

    @property
    def must_authenticate(self) -> bool:
        """Whether [auth] wants the sender to show who it is: our users, and who registers."""
        if self.node.authentication is None:
            return False
        return self.method == "REGISTER" or self.is_from_us

    def check_source_address(self, group: int, pattern: str = "") -> Entry | None:
        """The row of `address` in a group (0: any) that the source matches."""
        source = self.source
        groups = self.node.addresses
        return groups.check(group, source.host.decode(), source.port, "udp", pattern)

    @property
    def source_group(self) -> int:
        """The group of `address` that the source is in, by the longest prefix; -1: in none."""
        return self.node.addresses.group_of(self.source.host.decode(), self.source.port)

    # -- what a policy does -------------------------------------------------------------------

    def record_route(self) -> None:
        """Stay in the path of the dialog's later requests (§16.6 step 4)."""
        self.relaying.record_route = True

    def create_dialog(self, flags: str = "", timeout: int = 0, tag: str = "") -> bool:
        """Track the calls that this INVITE sets up, with OpenSIPS' flags; False: there is no room.

        `timeout` is how long they may last, in seconds, instead of `[dialog] default_timeout`, and
        `tag` says which node acts for them, instead of `[dialog] sharing_tag`.
        """
        if self.method != "INVITE" or self.in_dialog:
            raise ValueError("only an INVITE outside a dialog sets one up")
        cluster = tracker_of(self).store.cluster
        if tag and cluster is not None and not cluster.has_tag(tag.encode()):
            raise ValueError(f"[cluster] tags has no {tag}")
        self.record_route()
        return begin(self, flag_bits(flags), timeout, tag.encode())

    def join_profile(self, name: str, value: str = "", limit: int | None = None) -> bool:
        """Put the dialog into a profile, unless `limit` dialogs are in it already.

        Asking and entering are one step for all workers. Without a dialog yet, it makes one.
        """
        dialog = self.dialog
        if dialog is None:
            if not self.create_dialog():
                return False
            dialog = self.dialog
        if dialog is None or (limit is not None and limit < 1):
            return False
        return dialog.join(name.encode(), value.encode(), limit or 0)

    def leave_profile(self, name: str, value: str = "") -> bool:
        """Take the dialog out of a profile before it ends."""
        dialog = self.dialog
        return dialog is not None and dialog.leave(name.encode(), value.encode())

    def fix_route(self) -> bool:
        """Give the request the Request-URI and Route that its dialog has stored."""
        fixed = repair_route(self)
        self._uri = None
        return fixed

    def add_header(self, name: bytes, value: bytes) -> None:
        """Add a header line to what will be relayed."""
        self.relaying.amended().add(name, value)

    def remove_header(self, name: bytes) -> int:
        """Take every line of a header out of what will be relayed; how many there were."""
        return self.relaying.amended().remove(name)

    def replace_header(self, name: bytes, value: bytes) -> None:
        """Leave one line of a header in what will be relayed, with this value."""
        self.relaying.amended().replace(name, value)

    def change_uri(
        self, user: bytes | None = None, host: bytes | None = None, port: int | None = None
    ) -> None:
        """Another user, host or port in the Request-URI: for `lookup` and `relay` from here on."""
        self.relaying.redirect(uri_with(self.uri, user, host, port))
        self._uri = None

    def change_from(self, display: bytes | None = None, uri: bytes | None = None) -> None:
        """Another display name or URI in the From that is relayed; outside a dialog."""
        self._rename(FROM, self.message.from_addr, display, uri)

    def change_to(self, display: bytes | None = None, uri: bytes | None = None) -> None:
        """Another display name or URI in the To that is relayed; outside a dialog."""
        self._rename(TO, self.message.to_addr, display, uri)

    def reply(self, status: int, reason: str = "", headers: bytes = b"", body: bytes = b"") -> None:
        """Answer the request; `headers` are whole lines, CRLF included."""
        if not 100 <= status <= 699:
            raise ValueError(f"a status is 100 to 699, not {status}")
        if not reason.isprintable():
            raise ValueError("a reason holds no line ends and no control characters")
        if headers and (not headers.endswith(b"\r\n") or b"\0" in headers):
            raise ValueError("headers are whole lines, CRLF included")
        phrase = reason.encode() if reason else reason_phrase(status)
        self.answer(status, phrase, headers, body)

    async def authorize(
        self, realm: bytes | None = None, www: bool | None = None, own: bool = True
    ) -> User | None:
        """Who sent this (RFC 3261 §22); None: it has been answered, with 401, 407, 403 or 503.

        `own` wants the To of a REGISTER, the From of anything else, to be the user's.
        """
        auth = self.node.authentication
        if auth is None:
            raise RuntimeError("authorize() needs [auth] enabled = true")
        as_registrar = self.method == "REGISTER" if www is None else www
        return await authorize(self, auth, realm, as_registrar, own)

    def challenge(self, realm: bytes | None = None, www: bool | None = None) -> None:
        """Ask for credentials: 401 to a REGISTER, 407 to anything else."""
        auth = self.node.authentication
        if auth is None:
            raise RuntimeError("challenge() needs [auth] enabled = true")
        as_registrar = self.method == "REGISTER" if www is None else www
        auth.challenge(self, as_registrar, realm or auth.realm_about(self, as_registrar), False)

    async def alias_lookup(self) -> bool:
        """Put the user behind an alias (`dbaliases`) into the Request-URI; False: it is none."""
        inquiries = self.node.inquiries
        found = None if inquiries is None else await behind_alias(inquiries, self.uri)
        if found is None:
            return False
        self.relaying.request_uri = found
        self._uri = None
        return True

    def save(self) -> None:
        """Register: RFC 3261 §10.3, and answer."""
        node = self.node
        if node.remote is not None:
            node.remote.register(self)
            return
        local = node.identity.listeners[self.listener].hostport
        result = save(
            node.location,
            self.message,
            self.source,
            local,
            node.wall,
            node.wall_ms,
            node.rules,
            node.clock,
            node.faults,
        )
        accepted = result.status < 300
        node.counters.add(REGISTRAR_ACCEPTED_REGS if accepted else REGISTRAR_REJECTED_REGS, 1)
        parking = node.parking
        if (
            parking is None
            or not accepted
            or not parking.hold(self, result, node.location, node.now)
        ):
            self.answer(result.status, result.reason, result.headers, b"")

    def drop(self) -> None:
        """Do not answer at all."""
        self.dropped = True

    def relay(
        self,
        targets: list[Target] | None = None,
        timeout: float | None = None,
        silence: float | None = None,
    ) -> Outcome:
        """Send the request on (§16): to `targets`, else along its Route or to its Request-URI.

        After `timeout` seconds without an answer what rings is cancelled, and the outcome is 408;
        after `silence` seconds that holds for whoever has not even sent a provisional response.
        While another relay is under way this one joins it.
        """
        if targets is not None:
            for target in targets:
                if not isinstance(target, Target):
                    raise TypeError(
                        f"relay takes what lookup() or target_for() made, not {target!r}"
                    )
        self.take_turn()
        outcome = self.outcome
        if outcome is None or outcome.status:
            outcome = self.outcome = Outcome.__new__(Outcome)
            outcome.begin()
        if self.cancelled:
            self.reply(487)
        if self.answered or self.dropped or not self.may_be_relayed() or not self.hold():
            if self.elsewhere:
                raise HandedOver
            outcome.end(self.answered or 500)
            return outcome
        context = self.context
        if context is None:
            if self.node.dialogs is not None and not may_be_tracked(self):
                outcome.end(self.answered)
                return outcome
            assert self.server is not None
            context = self.context = ResponseContext.__new__(ResponseContext)
            context.open_for(self, self.node, self.relaying, self.server)
            # the answers to others change no dialog; that to a BYE does if it has not itself
            if self.tracked is not None and self.method in ("INVITE", "UPDATE", "BYE"):
                context.dialog = self.tracked
        if context.revision is None and (self.node.on_reply is not None or self.relaying.originals):
            context.revision = Revision(self, self.node.on_reply)
        if timeout is not None or silence is not None:
            outcome.bound(context, timeout, silence, self.node.now)
        if targets is None:
            context.start_one(target_within(self), self.node.now)
        elif len(targets) == 1:
            context.start_one(targets[0], self.node.now)
        elif targets:
            context.start(targets, self.node.now)
        elif not context.open:
            self.reply(480)
            outcome.end(480)
        return outcome

    def sleep(self, seconds: float) -> Pending:
        """Wait; the worker does other things meanwhile. At most five minutes."""
        return self.wait_for(Sleep(), seconds)

    def http_get(self, url: str, timeout: float = 1.0) -> Pending:
        """Ask a web server; awaited, it is an HttpAnswer."""
        return self._look_up(url, None, "", timeout)

    def http_post(
        self,
        url: str,
        body: bytes,
        timeout: float = 1.0,
        content_type: str = "application/json",
    ) -> Pending:
        """Tell a web server something; awaited, it is an HttpAnswer."""
        return self._look_up(url, body, content_type, timeout)

    def _look_up(self, url: str, body: bytes | None, content_type: str, timeout: float) -> Pending:
        check_question(url, body, content_type)
        self.take_turn()
        node = self.node
        if node.lookups is not None:
            return node.lookups.ask(url, body, content_type, timeout, node.now)
        lookup = HttpLookup()
        lookup.finish(failed(DISABLED))
        return lookup

    def sql_query(self, statement: str, *, timeout: float = 1.0, **values: Value) -> Pending:
        """Read from the databases of [storage]; await it for a SqlAnswer, which may be a failure.

        Each `:name` in the statement is the value given as name=.
        """
        if self.node.database is None:
            raise RuntimeError("this node has no databases")
        self.take_turn()
        return self.node.database.query(statement, values, timeout)

    def _rename(
        self, header: int, address: NameAddr, display: bytes | None, uri: bytes | None
    ) -> None:
        """`change_from` and `change_to`; tags and parameters stay, for dialogs hang on them."""
        if self.in_dialog:
            raise ValueError("From and To of a dialog are settled (RFC 3261 §12.2.1.1)")
        if display is not None:
            check_value(display)
        if uri is not None:
            try:
                parse_uri(uri)
            except BadMessage as error:
                raise ValueError(f"{uri!r} is no URI: {error.reason}") from None
        self.relaying.rename(header, renamed(address, display, uri))


def request_from(node: Node, message: Message, source: Address, listener: int) -> Request:
    """A Request, without the cost of calling a class, which is that of most of a policy."""
    made = Request.__new__(Request)
    made.begin(node, message, source, listener)
    made._uri = None
    made._values = None
    return made
