"""What a worker does in its dialogs unasked: it ends them with BYEs, and pings their sides.

Everything stands in the record before it is done: that an end is wanted, that it has come, which
BYEs are open and under which numbers. So whoever looks at a dialog after a death goes on where the
dead one stopped, and what is sent twice is a retransmission to its receiver.
"""

from __future__ import annotations

from functools import partial

from proxy.dialog import layout as at
from proxy.dialog.decoded import DialogRecord, Leg
from proxy.dialog.dialog import Dialog
from proxy.dialog.due import Intervals, Ping, end_due, next_due, pings_due
from proxy.dialog.numbering import take_number
from proxy.dialog.states import EndReason, Event, State
from proxy.dialog.tracker import Tracker
from proxy.dialog.within import HEADER_LINES, Content, request_within, way_to
from proxy.errors import BadMessage
from proxy.limits.counters import DIALOG_BYES, DIALOG_PINGS
from proxy.routing.exchange import Exchange
from proxy.routing.node import Node
from proxy.routing.own_request import UNREACHABLE, OwnRequest

END_HEADERS = b"end_headers"  # the variable with header lines for the BYEs of an operator's end
DEAD = frozenset({408, 481})
CODE_OF_CANCELLED = 487
PING_ENDS = {"OPTIONS": EndReason.PING_TIMEOUT, "INVITE": EndReason.REINVITE_PING_TIMEOUT}
BYES = ((at.BYE_TO_CALLEE, False), (at.BYE_TO_CALLER, True))


class DialogAgent:
    """The dialogs of one worker's Call-IDs, looked at when they are due."""

    def __init__(self, node: Node, tracker: Tracker) -> None:
        self.node = node
        self.tracker = tracker
        self.intervals = tracker.store.rules.intervals

    def look(self, key: bytes) -> None:
        """Do what is due in the dialogs under `key`: another process says that something is."""
        dialog = self._open(key)
        if dialog is None:
            return
        record = dialog.record()
        if record.state == State.DELETED:
            if record.flags & at.BYES_OPEN:
                self._send_byes(record)
            return
        reason = end_due(record, self.node.wall, self.intervals)
        if reason:
            self.end(dialog, reason)
        elif record.due <= self.node.wall:
            self._ping(dialog, pings_due(record, self.node.wall, self.intervals))

    def _open(self, key: bytes) -> Dialog | None:
        """The dialogs under a key if it is for this node to do anything about them."""
        dialog = self.tracker.open(key)
        if dialog is None or not self.tracker.store.acts(dialog.payload):
            return None
        return dialog

    # -- the end ------------------------------------------------------------------------------

    def end(self, dialog: Dialog, reason: EndReason) -> None:
        """End the dialogs: BYE both sides of a call, CANCEL one that is being set up."""
        if dialog.state in (State.UNCONFIRMED, State.EARLY):
            dialog.end(Event.TERMINATE, reason, CODE_OF_CANCELLED)
            self._cancel(dialog.key)
            return
        dialog.change(partial(plan_byes, reason=reason, now=self.node.wall))
        event = Event.TIMEOUT if reason == EndReason.LIFETIME_TIMEOUT else Event.TERMINATE
        if dialog.end(event, reason, 0, at.BYES_OPEN):
            self._send_byes(dialog.record())

    def _cancel(self, key: bytes) -> None:
        """Cancel the INVITE that is setting up the dialogs, if it was received here."""
        for server in self.node.layer.servers.of("INVITE"):
            invite = server.user
            if isinstance(invite, Exchange) and sets_up(invite, key):
                invite.cancel(self.node.now)

    def _send_byes(self, record: DialogRecord) -> None:
        """Send every BYE that is open and not under way."""
        headers = record.variables.get(END_HEADERS, b"")
        if not HEADER_LINES.fullmatch(headers):  # a peer may have said anything
            headers = b""
        for leg in record.callees:
            for bit, to_caller in BYES:
                if leg.flags & bit:
                    number = leg.caller_generated if to_caller else leg.generated
                    report = partial(self._bye_answered, record.key, leg.tag, bit)
                    self._send(record, leg, to_caller, "BYE", number, report, Content(headers))

    def _bye_answered(self, key: bytes, tag: bytes, bit: int, status: int) -> None:
        """A BYE is over; one that found no way is tried again when the dialog is next due."""
        dialog = self._open(key) if status != UNREACHABLE else None
        if dialog is not None and not dialog.is_live:
            now, intervals = self.node.wall, self.intervals
            dialog.change(partial(settle_bye, tag=tag, bit=bit, now=now, intervals=intervals))

    # -- pings --------------------------------------------------------------------------------

    def _ping(self, dialog: Dialog, pings: list[Ping]) -> None:
        """Ask the sides whose turn it is, and say when the next turn is."""
        taken: list[tuple[Ping, bytes, int]] = []

        def take(record: DialogRecord) -> bool:
            taken.clear()
            for ping in pings:
                for leg in record.callees:
                    if leg.state == State.CONFIRMED and (
                        number := take_number(leg, ping.to_caller)
                    ):
                        taken.append((ping, leg.tag, number))
            record.due = next_due(record, self.node.wall, self.intervals)
            return True

        if not dialog.change(take):
            return
        record = dialog.record()
        since = self.tracker.store.acting_since(dialog.payload)
        for ping, tag, number in taken:
            leg = record.callee(tag)
            if leg is not None:
                self._send_ping(record, leg, ping, number, since)

    def _send_ping(
        self, record: DialogRecord, leg: Leg, ping: Ping, number: int, since: int
    ) -> None:
        method, content = ping.method, Content()
        if method == "INVITE":
            sdp = leg.sdp if ping.to_caller else record.caller.sdp
            if sdp:
                content = Content(b"", sdp)
            else:  # a re-INVITE without an offer would ask for one that nobody wants
                method = "OPTIONS"
        self.node.counters.add(DIALOG_PINGS, 1)
        report = partial(self._pinged, record.key, PING_ENDS[ping.method], since)
        self._send(record, leg, ping.to_caller, method, number, report, content)

    def _pinged(self, key: bytes, reason: EndReason, since: int, status: int) -> None:
        """A ping was answered, or not at all.

        If the tag, and with it the address, was elsewhere meanwhile, the answer went there, and
        silence says nothing.
        """
        dialog = self._open(key) if status in DEAD else None
        if dialog is None or not dialog.is_live:
            return
        if self.tracker.store.acting_since(dialog.payload) == since:
            self.end(dialog, reason)

    # -- sending ------------------------------------------------------------------------------

    def _send(
        self,
        record: DialogRecord,
        leg: Leg,
        to_caller: bool,
        method: str,
        number: int,
        report: partial[None],
        content: Content,
    ) -> None:
        """One request within a dialog, unless this very one is under way."""
        name = b"%b %b %d %b %d" % (record.key, leg.tag, to_caller, method.encode(), number)
        try:
            way = way_to(record.caller if to_caller else leg)
        except BadMessage:
            report(0)
            return

        def build(each: str, via: bytes) -> bytes:
            filled = content if each == method else Content()
            return request_within(record, leg, to_caller, each, number, way, via, filled)

        request = OwnRequest(self.node, method, name, build, report)
        if not request.is_under_way:
            if method == "BYE":
                self.node.counters.add(DIALOG_BYES, 1)
            request.send_to(way.next_hop, way.socket)


def sets_up(exchange: Exchange, key: bytes) -> bool:
    """Whether a request is the INVITE that a record was made for."""
    dialog = exchange.tracked
    return dialog is not None and dialog.key == key and not exchange.message.to_tag


def plan_byes(record: DialogRecord, reason: EndReason, now: int) -> bool:
    """Note in the record of a live call which BYEs its end will need; False if that is there."""
    if record.state == State.DELETED:
        return False
    planned = False
    for leg in record.callees:
        if not leg.is_confirmed:
            continue
        for bit, to_caller in BYES:
            if not leg.flags & bit and take_number(leg, to_caller):
                leg.flags |= bit
                planned = True
    if not record.flags & at.END_WANTED:
        record.flags |= at.END_WANTED
        record.end_reason = reason
        record.due = now
        planned = True
    return planned


def settle_bye(record: DialogRecord, tag: bytes, bit: int, now: int, intervals: Intervals) -> bool:
    """Note in the record that one BYE is over."""
    leg = record.callee(tag)
    if leg is None or not leg.flags & bit:
        return False
    leg.flags &= ~bit
    if not any(each.flags & (at.BYE_TO_CALLEE | at.BYE_TO_CALLER) for each in record.callees):
        record.flags &= ~at.BYES_OPEN
        record.due = next_due(record, now, intervals)
    return True
