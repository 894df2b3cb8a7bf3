"""Where requests and responses meet the dialogs they belong to.

Whatever carries a call says so here: an INVITE that is sent on, a request inside a dialog, and what
comes by without a transaction after a worker's death (R4).
"""

from __future__ import annotations

from proxy.constants import SIP_PORT
from proxy.dialog.dialog import Dialog
from proxy.dialog.layout import LEG_REACHED, REACHED
from proxy.dialog.nat import reached_at, sender_reached_at
from proxy.dialog.record import leg_string, string
from proxy.dialog.route_set import names_host, target_of
from proxy.dialog.states import EndReason, Event
from proxy.dialog.tracker import Tracker
from proxy.dialog.validation import Validity, other_side, same_place, validate
from proxy.registrar.lookup import Target, target_for
from proxy.routing.exchange import Exchange
from proxy.routing.header_changes import HeaderChanges, contact_given
from proxy.routing.node import Node
from proxy.routing.renumbering import renumber
from proxy.sip.address import Address
from proxy.sip.header_ids import CONTACT, FROM, RECORD_ROUTE, TO, VIA
from proxy.sip.headers import contact_uri, parse_name_addr, parse_via
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
    if begin(exchange, 0, 0):
        if exchange.relaying.changes is not None:
            tell_changes(exchange, exchange.relaying.changes)
        return True
    if not rules.refuse_when_full:
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
    listener: Address = exchange.node.identity.listeners[exchange.listener]
    socket = listener.hostport
    if message.via_count > 1:
        # a spiral: who saw the INVITE first tracks it, and what happens out here is part of that
        came_with = relay.branch_before()
        outer = tracker.of_invite(message, came_with) if came_with else None
        if outer is not None and outer.is_live:
            relay.did = outer.did
            return True
    source = exchange.source
    reached = caller_reached_at(message, source)
    dialog = tracker.create(message, socket, flags, lifetime, source.hostport, reached, tag)
    if dialog is None:
        return False
    relay.did = dialog.did
    dialog.cancelled = exchange.cancelled
    exchange.tracked = dialog
    return True


def caller_reached_at(invite: Message, source: Address) -> bytes:
    """Where a caller next to us is in truth; nothing where its Contact says it."""
    value = invite.header(CONTACT)
    if value is None or invite.via_count > 1 or invite.has(RECORD_ROUTE):
        return NOTHING
    port = invite.sent_by_port() or SIP_PORT
    if port == source.port and names_host(value, source.host):
        return NOTHING
    return sender_reached_at(contact_uri(value), invite, source)


def tell_changes(exchange: Exchange, changes: HeaderChanges) -> None:
    """What the policy has changed in an INVITE of what the callee takes for the caller's own."""
    relay = exchange.relaying
    dialog = exchange.tracked
    contact = contact_given(changes, exchange.node.identity)
    uris = [
        parse_name_addr(changes.given(header)).uri if header in relay.originals else NOTHING
        for header in (FROM, TO)
    ]
    if dialog is not None and (contact or uris[0] or uris[1]):
        dialog.sent_as(contact, uris[0], uris[1])


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


def target_within(exchange: Exchange) -> Target:
    """Where a request goes that the policy sends along its way: to its Request-URI (§16.5).

    When that is the Contact of one behind a NAT, next to us, to where that is reached (nat.py).
    """
    relay = exchange.relaying
    target = target_for(relay.request_uri)
    dialog = exchange.tracked
    if dialog is None or dialog.leg < 0:
        return target
    if dialog.from_caller:
        reached = leg_string(dialog.payload, dialog.leg, LEG_REACHED)
    else:
        reached = string(dialog.payload, REACHED)
    if reached and not relay.routes() and same_place(other_side(dialog)[0], target.uri):
        target.received = reached
    return target


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
            contact = target_of(response)
            before = told_before(within)
            within.refreshed(NOTHING, NOTHING, contact, reached_at(contact, before, source))
        return
    hostport = node.identity.listeners[listener].hostport
    reached = reached_at(target_of(response), NOTHING, source)
    if status < 200:
        dialog.provisional(response, hostport, source.hostport, NOTHING, reached)
    elif status < 300:
        dialog.answered(response, hostport, source.hostport, NOTHING, reached)
    else:
        dialog.cancelled = status == 487  # who has seen the CANCEL is dead
        dialog.failed(status)


def told_before(dialog: Dialog) -> bytes:
    """The Contact that the other side had until now, if it is not to be reached there."""
    if dialog.from_caller:
        hidden = leg_string(dialog.payload, dialog.leg, LEG_REACHED)
    else:
        hidden = string(dialog.payload, REACHED)
    return other_side(dialog)[0] if hidden else NOTHING


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
