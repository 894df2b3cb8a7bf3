"""Which new requests an overloaded worker turns away, and what it says to them (RFC 3261 §21.5.4).

Asked after the transactions were: what is sent again of something under way is not new. The 503
is stateless and names a time to come back at, another one for each.
"""

from __future__ import annotations

from proxy.errors import BadMessage
from proxy.limits import overload
from proxy.limits.counters import (
    SHED_ANSWERED,
    SHED_INVITES,
    SHED_LATE,
    SHED_OPTIONS,
    SHED_OTHERS,
    SHED_REFRESHES,
    SHED_REGISTERS,
)
from proxy.limits.overload import Shedder, draw
from proxy.routing.node import Node
from proxy.routing.request import request_from
from proxy.sip.address import Address
from proxy.sip.credentials import parse_credentials
from proxy.sip.header_ids import AUTHORIZATION
from proxy.sip.message import Message
from proxy.sip.uri import aor_key, parse_uri

ADMIT = overload.ADMIT
REFUSE = overload.REFUSE
ESTABLISHED = overload.ESTABLISHED
REGISTER = overload.REGISTER
REFRESH = overload.REFRESH
OTHER = overload.OTHER
LOWER = 0xFFFF  # half of a draw; the other half decided

# BYE and its kin without a To tag are nobody's new work: the policy refuses them.
KINDS = {
    "ACK": overload.ESTABLISHED,
    "BYE": overload.ESTABLISHED,
    "CANCEL": overload.ESTABLISHED,
    "INVITE": overload.INVITE,
    "OPTIONS": overload.OPTIONS,
    "PRACK": overload.ESTABLISHED,
    "REGISTER": overload.REGISTER,
    "UPDATE": overload.ESTABLISHED,
}
COUNTED = {
    overload.INVITE: SHED_INVITES,
    overload.OPTIONS: SHED_OPTIONS,
    overload.OTHER: SHED_OTHERS,
    overload.REFRESH: SHED_REFRESHES,
    overload.REGISTER: SHED_REGISTERS,
}


def turns_away(node: Node, message: Message, source: Address, listener: int) -> bool:
    """Whether a new request ends here; then it has been counted, and answered if there is time."""
    shedder = node.shedder
    kind = kind_of(node, message, source)
    drawn = draw(message.data, shedder.salt)
    verdict = shedder.verdict(kind, drawn)
    if verdict == ADMIT:
        return False
    node.counters.add(SHED_LATE if shedder.late else COUNTED[kind], 1)
    if verdict == REFUSE:
        node.counters.add(SHED_ANSWERED, 1)
        request_from(node, message, source, listener).refuse(503, come_back(shedder, drawn))
    return True


def come_back(shedder: Shedder, drawn: int) -> bytes:
    """When a client may try again: up to twice as late as it need be, that not all come at once."""
    earliest = shedder.retry_after
    return b"Retry-After: %d\r\n" % (earliest + (drawn & LOWER) % (earliest + 1))


def kind_of(node: Node, message: Message, source: Address) -> int:
    """What a request is to the shedder; for a REGISTER the table is asked."""
    kind: int = KINDS.get(message.method, OTHER)
    if kind == REGISTER:
        return REFRESH if is_known(node, message, source) else REGISTER
    return ESTABLISHED if message.to_tag else kind


def is_known(node: Node, message: Message, source: Address) -> bool:
    """Whether a REGISTER comes for a phone that is registered, or answers a challenge of ours."""
    try:
        if node.location.expires_at(aor_key(parse_uri(message.to_addr.uri))):
            return True
        return node.authentication is not None and was_challenged(node, message, source)
    except BadMessage:
        return False


def was_challenged(node: Node, message: Message, source: Address) -> bool:
    """Whether the first credentials bear a nonce that we made, and not too long ago.

    Their realm is taken as they name it: the nonce was made for it, or is none of ours.
    """
    index = message.first_of(AUTHORIZATION)
    given = parse_credentials(message.value(index)) if index >= 0 else None
    if given is None:
        return False
    nonces = node.authentication.nonces
    made_ms = nonces.issued_ms(given.nonce, given.realm, given.algorithm, source.host)
    return made_ms > 0 and bool(nonces.is_fresh(made_ms, node.wall_ms))
