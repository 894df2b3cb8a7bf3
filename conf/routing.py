"""The default policy: OpenSIPS' default script, step by step.

`on_request` sees every new request once: retransmissions, CANCEL, ACK and responses are the
core's business. What it does not decide, the core does by RFC 3261 §16. Change it, or copy it and
name your copy in `[routing] script`.
"""

from proxy.routing.request import Request


async def on_request(request: Request) -> None:
    """Decide what becomes of a new request."""
    method = request.method
    # What may travel no further is for ourselves or for nobody.
    if request.last_hop and not (method in ("REGISTER", "OPTIONS") and request.is_for_us):
        request.reply(483, "Too Many Hops")
        return

    # Later requests of a dialog go along its route if it is ours; with [dialog] also through NATs.
    if request.in_dialog:
        if request.came_by_our_route:
            request.relay()
        else:
            request.reply(404, "Not here")
        return

    # Somebody else's calls are none of our business.
    for_us = method == "REGISTER" or request.is_for_us
    if not for_us and not request.is_from_us:
        request.reply(403, "Relay Forbidden")
        return

    # A new request must not bring a route of its own, except to ourselves (outbound proxy).
    if request.has_route:
        request.reply(403, "Preload Route denied")
        return

    # With [auth], our own users show who they are; those who do not have got their answer.
    if request.must_authenticate and await request.authorize() is None:
        return

    if method == "REGISTER":
        request.save()
        return

    if method != "MESSAGE":
        request.record_route()
    # From one of our users to the rest of the world.
    if not for_us:
        request.add_header(b"P-hint", b"outbound")
        request.relay()
        return

    if method in ("PUBLISH", "SUBSCRIBE"):
        request.reply(503, "Service Unavailable")
        return

    # To ourselves: a keep-alive, or a number that somebody forgot to dial.
    if not request.uri.user:
        if method == "OPTIONS":
            request.reply(200)
        else:
            request.reply(484, "Address Incomplete")
        return

    targets = request.lookup()
    if targets:
        request.relay(targets)
    else:
        request.reply(404, "Not Found")
