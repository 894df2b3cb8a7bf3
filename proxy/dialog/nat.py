"""Where a side of a call is in truth, when its Contact names a place inside its own network.

A phone behind a NAT that does not know of it says in Contact where it is inside. Then what is sent
to it by RFC 3261 §12.2.1.1 would go nowhere, and it is sent to where its messages come from.
"""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from proxy.constants import SIP_PORT
from proxy.errors import BadMessage
from proxy.sip.address import Address
from proxy.sip.message import Message
from proxy.sip.uri import parse_uri

INSIDE = tuple(
    ip_network(network)
    for network in (
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "100.64.0.0/10",  # RFC 6598
        "169.254.0.0/16",
        "127.0.0.0/8",
        "fc00::/7",
        "fe80::/10",
        "::1/128",
    )
)


def reached_at(contact: bytes, told: bytes, seen: Address) -> bytes:
    """The address at which whoever says `contact` is reached; nothing if that is at its contact.

    It is at `seen` if `told`, the URI by which it called itself where we knew better, names the
    same place; and if only its contact is an address of a private network.
    """
    try:
        here = parse_uri(contact)
        port = here.port or SIP_PORT
        if not contact or (here.host, port) == (seen.host, seen.port):
            return b""
        if told:
            before = parse_uri(told)
            same_port = port == (before.port or SIP_PORT)
            if here.host == before.host and (here.host != seen.host or same_port):
                return seen.hostport
        hidden = is_inside(here.host) and not is_inside(seen.host)
    except BadMessage:
        return b""
    return seen.hostport if hidden else b""


def sender_reached_at(contact: bytes, request: Message, seen: Address) -> bytes:
    """The same for the sender of a request that came straight from it, by what its Via says."""
    if request.via_count > 1:
        return b""
    via = request.via
    port = request.sent_by_port() or SIP_PORT
    elsewhere = via.host != seen.host or (request.wants_rport() and port != seen.port)
    told = b"sip:%b:%d" % (b"[%b]" % via.host if b":" in via.host else via.host, port)
    return reached_at(contact, told if elsewhere else b"", seen)


def is_inside(host: bytes) -> bool:
    """Whether a host is an address that means nothing outside its own network."""
    try:
        address = ip_address(host.decode("ascii").strip("[]"))
    except ValueError:  # a name, or not ASCII
        return False
    return any(address in network for network in INSIDE)
