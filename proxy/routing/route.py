"""Route pre-processing (RFC 3261 §16.4): what of the Route is ours, and may it be used."""

from __future__ import annotations

import cython

from proxy.constants import SIP_PORT
from proxy.routing.identity import Identity
from proxy.routing.relay import Relay
from proxy.sip.header_ids import ROUTE
from proxy.sip.headers import NameAddr, parse_routes
from proxy.sip.uri import Uri, parse_uri

if not cython.compiled:
    from proxy.sip.grammar import cut, holds, same_text

COOKIE_BYTES = 16


def prepare_routes(relay: Relay) -> bool:
    """Undo a strict router's rewriting, then take our own entries off the Route.

    True when one of ours carried the cookie of this dialog.
    """
    if took_our_own(relay):
        return True
    cookie_seen = False
    routes: list[NameAddr] = parse_routes(relay.message.values(ROUTE))
    identity = relay.node.identity
    request_uri = parse_uri(relay.request_uri)
    if routes and is_own_record_route(identity, request_uri):
        # a strict router put our Record-Route into the Request-URI and the target last
        cookie_seen = has_cookie(relay, request_uri)
        relay.request_uri = routes.pop().uri
        relay.drop_last = True
    for route in routes:
        uri = parse_uri(route.uri)
        if uri.user or not identity.is_ours(uri):
            break
        relay.drop_routes += 1
        # of two Record-Routes of ours the second names the side the request leaves by (RFC 5658)
        relay.leave_by = identity.hosts.get((uri.host, uri.port or SIP_PORT), relay.leave_by)
        if not cookie_seen:
            cookie_seen = has_cookie(relay, uri)
    return cookie_seen


def took_our_own(relay: Relay) -> bool:
    """The usual case, without a parser: one Route, ours to the letter, for this dialog."""
    message = relay.message
    index = message.first_of(ROUTE)
    if message.next_of(index) >= 0 or holds(relay.request_uri, b";k="):
        return False
    data = message.data
    route = relay.node.identity.routes[relay.listener]
    start = message.value_start[index]
    own_end = start + len(route)
    end = message.value_end[index]
    at = end - 20  # ;k=, sixteen digits, >
    if at < own_end or not same_text(data, start, own_end, route):
        return False
    if not same_text(data, at, at + 3, b";k=") or data[end - 1] != ord(">"):
        return False
    did = b""
    if at > own_end:
        if at < own_end + 5 or not same_text(data, own_end, own_end + 5, b";did="):
            return False
        did = cut(data, own_end + 5, at)
        if holds(did, b";") or holds(did, b">"):
            return False
    if not is_cookie(relay, data, at + 3, did):
        return False
    relay.take_whole_route(did)
    return True


def is_own_record_route(identity: Identity, uri: Uri) -> bool:
    """Whether a Request-URI is one that we put into a Record-Route."""
    return (
        not uri.user and uri.params != b"" and uri.param(b"k") is not None and identity.is_ours(uri)
    )


def has_cookie(relay: Relay, uri: Uri) -> bool:
    """Whether our Route entry was made for this dialog, seen from either end."""
    cookie = uri.param(b"k")
    if cookie is None or len(cookie) != COOKIE_BYTES:
        return False
    did = uri.param(b"did") or b""
    if not is_cookie(relay, cookie, 0, did):
        return False
    relay.did = did
    return True


def is_cookie(relay: Relay, data: bytes, at: int, did: bytes) -> bool:
    """Whether the cookie at `at` was made for this dialog and this did, seen from either end."""
    message = relay.message
    signer = relay.node.signer
    call_id = message.call_id
    if signer.is_cookie(data, at, call_id, message.from_tag, did):
        return True
    return signer.is_cookie(data, at, call_id, message.to_tag, did)
