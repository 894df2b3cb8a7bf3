"""Where requests and responses meet the dialogs they belong to.

Whatever carries a call says so here: an INVITE that is sent on, a request inside a dialog, and what
comes by without a transaction after a worker's death (R4).
"""

from __future__ import annotations

from proxy.dialog.dialog import Dialog
from proxy.dialog.layout import CALLER_BEHIND_NAT
from proxy.dialog.route_set import target_of
from proxy.dialog.states import EndReason, Event
from proxy.dialog.tracker import Tracker
from proxy.dialog.validation import Validity, other_side, validate
from proxy.errors import BadMessage
from proxy.routing.exchange import Exchange
from proxy.routing.locate import literal
from proxy.routing.node import Node
from proxy.routing.renumbering import renumber
from proxy.sip.address import Address
from proxy.sip.header_ids import RECORD_ROUTE, VIA
from proxy.sip.headers import parse_name_addr, parse_via
from proxy.sip.message import Message
from proxy.sip.uri import parse_uri

GONE = int(Event.GONE)
NOTHING = b""
FAILED = int(EndReason.FAILED)


def tracker_of(exchange: Exchange) -> Tracker:
    """What tracks dialogs here; an error where nothing does."""
    tracker = exchange.node.dialogs
    if tracker is None:
        raise RuntimeError("[dialog] is not enabled")
    return tracker


def may_be_tracked(exchange: Exchange) -> bool:
    """Tell the tracker that a request goes on; False, and answered, where it may not."""
    if len(exchange.message.to_tag) > 0:
        if is_late(exchange):
            exchange.refuse(481)
            return False
        follow(exchange)
        return True
    if exchange.method != "INVITE" or not exchange.relaying.record_route:
        return True
    rules = tracker_of(exchange).store.rules
    if exchange.tracked is None and not rules.automatic:
        return True
    if begin(exchange, 0, 0) or not rules.refuse_when_full:
        return True
    exchange.refuse(503, b"Retry-After: 5\r\n")
    return False


def begin(exchange: Exchange, flags: int, lifetime: int, tag: bytes = b"") -> bool:
    """Track what an initial INVITE will set up; False when there is no room."""
    tracker = exchange.node.dialogs
    message = exchange.message
    relay = exchange.relaying
    if exchange.tracked is not None or tracker is None:
        return True
    socket = exchange.node.identity.listeners[exchange.listener].hostport
    if message.via_count > 1:
        # a spiral: who saw the INVITE first tracks it, and what happens out here is part of that
        came_with = relay.branch_before()
        outer = tracker.of_invite(message, came_with) if came_with else None
        if outer is not None and outer.is_live:
            relay.did = outer.did
            return True
    if is_behind_nat(message, exchange.source):
        flags |= CALLER_BEHIND_NAT
    dialog = tracker.create(message, socket, flags, lifetime, exchange.source.hostport, tag)
    if dialog is None:
        return False
    relay.did = dialog.did
    dialog.cancelled = exchange.cancelled
    exchange.tracked = dialog
    return True


def is_behind_nat(invite: Message, source: Address) -> bool:
    """Whether a caller next to us is neither where its Via says nor where its Contact does."""
    host = invite.via.host
    if invite.via_count > 1 or invite.has(RECORD_ROUTE) or host == source.host:
        return False
    try:
        there = parse_uri(target_of(invite)).host
    except BadMessage:
        return False
    return there != source.host and literal(there, 0) is not None


def dialog_of(exchange: Exchange) -> Dialog | None:
    """The dialog that a request belongs to; None where none is known, or another than it says."""
    tracker = exchange.node.dialogs
    if exchange.tracked is None and tracker is not None:
        did = exchange.relaying.did
        found = tracker.find(exchange.message, did)
        if found is not None and (not did or found.did == did):
            exchange.tracked = found
    return exchange.tracked


def follow(exchange: Exchange) -> None:
    """A request goes on inside its dialog."""
    dialog = dialog_of(exchange)
    if dialog is None:
        return
    if exchange.method == "BYE":
        dialog.asked_ms = dialog.store.wall_ms  # its answer decides what becomes of the call
    else:
        dialog.requested(exchange.message)
    if dialog.leg >= 0:
        renumber(exchange.relaying, dialog)


def is_late(exchange: Exchange) -> bool:
    """Whether a request comes for a dialog that has ended, and is none that still has to pass.

    A BYE may be the first that its receiver hears of the end: who sent it on has died perhaps.
    """
    if exchange.method == "BYE":
        return False
    dialog = dialog_of(exchange)
    return dialog is not None and not dialog.is_live and dialog.store.rules.refuse_late


def find_numbers(exchange: Exchange) -> None:
    """An ACK or CANCEL is about to be sent on without a transaction."""
    dialog = dialog_of(exchange)
    if dialog is not None and dialog.leg >= 0:
        renumber(exchange.relaying, dialog)


def acknowledge(exchange: Exchange) -> None:
    """An ACK has been sent on: perhaps that of a 2xx."""
    dialog = dialog_of(exchange)
    if dialog is not None:
        dialog.acknowledged()


def pass_by(node: Node, response: Message, source: Address, listener: int) -> None:
    """A response to an INVITE, UPDATE or BYE is sent on without a transaction."""
    tracker = node.dialogs
    status = response.status
    method = response.cseq_method
    if tracker is None or status == 100 or method not in ("INVITE", "UPDATE", "BYE"):
        return
    dialog = set_up_by(tracker, response) if method == "INVITE" else None
    if dialog is None:
        within = tracker.find(response)
        if within is None or status < 200:
            return
        if method == "BYE":
            within.hung_up(response.cseq, status)
        elif status < 300:
            within.refreshed(None, response)
        return
    if status < 200:
        dialog.provisional(response, node.identity.listeners[listener].hostport, source.hostport)
    elif status < 300:
        dialog.answered(response, node.identity.listeners[listener].hostport, source.hostport)
    else:
        dialog.cancelled = status == 487  # who has seen the CANCEL is dead
        dialog.failed(status)


def set_up_by(tracker: Tracker, response: Message) -> Dialog | None:
    """The dialog that a response without a transaction belongs to, if to the INVITE of one."""
    below = parse_via(response.values(VIA)[1])
    found = tracker.of_invite(response, below.branch)
    if found is None:
        for value in response.values(RECORD_ROUTE):
            did = parse_uri(parse_name_addr(value).uri).param(b"did")
            if did and found is None:
                found = tracker.of_invite(response, NOTHING, did)
    return found


def leave_off(exchange: Exchange, status: int) -> None:
    """The policy itself has answered an INVITE that was to set up dialogs, or has dropped it."""
    dialog = exchange.tracked
    if dialog is None or exchange.message.to_tag:
        return
    if status >= 300:
        dialog.failed(status)
    else:
        dialog.end(GONE, FAILED, status)


def judge(exchange: Exchange) -> Validity:
    """Whether a request is what its sender may send in its dialog."""
    dialog = dialog_of(exchange)
    if dialog is None or not exchange.message.to_tag:
        return Validity.NO_DIALOG
    relay = exchange.relaying
    return validate(dialog, exchange.message, relay.request_uri, relay.routes())


def repair_route(exchange: Exchange) -> bool:
    """Give a request the Request-URI and Route that its dialog has stored; False without one."""
    dialog = dialog_of(exchange)
    if dialog is None or not exchange.message.to_tag:
        return False
    target, routes = other_side(dialog)
    if not target:
        return False
    relay = exchange.relaying
    relay.request_uri = target
    relay.left = routes
    relay.drop_last = True  # whatever stands there: it is written anew
    relay.loop = -1
    return True
