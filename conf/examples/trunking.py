"""Trunking: customers' exchanges by their addresses, a cap of calls for each, several gateways.

OpenSIPS' trunking script step by step. What is wrong in it is right here:

- The number of calls was read, compared and then raised: callers at the same time all saw room.
  Here joining the profile is the check, one step for all workers.
- A caller who was refused for a full trunk got 486, as if the callee were busy, and some exchanges
  try again at once. Here it is 503 with Retry-After.
- Any 6xx went on to the next gateway: who declined a call was rung a second time, and so was who
  just did not answer. Here the next gateway gets what the one before could not carry: no answer of
  any kind, 500, 502, 503 or 504, and never a call that has rung.
- The trunk's own idea of who calls (P-Asserted-Identity) was passed on unseen. It still is: a trunk
  is trusted. Its other customers' names are not: X-Trunk is written here.
- Every answer was taken for a call that is up while the gateway still could fail. The core knows.

Wants [dialog] with the profile `trunk`, trunks in group 1 of the table `address` with their cap in
`context_info`, gateways in group 2: see trunking.toml.
"""

from proxy.registrar.lookup import target_for
from proxy.routing.reply import Reply
from proxy.routing.request import Request

TRUNKS = 1
GATEWAY_GROUP = 2
GATEWAYS = (b"192.0.2.50:5060", b"192.0.2.51:5060", b"192.0.2.52:5060")
DEFAULT_CAP = 10  # of a trunk whose context_info is no number
TRY_NEXT = {408, 500, 502, 503, 504}
PATIENCE = 6.0  # seconds for a gateway's first sign of life


async def on_request(request: Request) -> None:
    """Decide what becomes of a new request."""
    if request.last_hop:
        request.reply(483, "Too Many Hops")
        return

    # Nobody else is talked to, inside calls neither.
    trunk = request.check_source_address(TRUNKS)
    if trunk is None and request.check_source_address(GATEWAY_GROUP) is None:
        request.reply(403, "Forbidden")
        return
    if request.in_dialog:
        if request.came_by_our_route:
            request.relay()
        else:
            request.reply(404, "Not here")
        return
    if request.method == "OPTIONS" and request.is_for_us and not request.uri.user:
        request.reply(200)
        return
    if trunk is None:
        request.reply(403, "Not from trunk")
        return
    if request.method != "INVITE":
        request.reply(405, headers=b"Allow: INVITE, ACK, CANCEL, BYE, OPTIONS\r\n")
        return
    if not request.uri.user:
        request.reply(484, "Address Incomplete")
        return
    if request.has_route:
        request.reply(403, "Preload Route denied")
        return

    request.record_route()
    name = request.source.host.decode()
    cap = int(trunk.context_info) if trunk.context_info.isdecimal() else DEFAULT_CAP
    if not request.join_profile("trunk", name, limit=cap):
        request.reply(503, "Trunk Full", headers=b"Retry-After: 5\r\n")
        return
    request.replace_header(b"X-Trunk", name.encode())
    await to_gateways(request)


async def to_gateways(request: Request) -> None:
    """One gateway after the other, until one carries the call."""
    for gateway in GATEWAYS:
        target = target_for(b"sip:%b@%b" % (request.uri.user, gateway))
        outcome = await request.relay([target], silence=PATIENCE)
        if outcome.status not in TRY_NEXT or "rang" in request.values or request.cancelled:
            return
    request.reply(500, "All gateways are down")


def on_reply(request: Request, reply: Reply) -> None:
    """Notes that a call has rung: it is not for the next gateway any more."""
    if 180 <= reply.status <= 189:
        request.values["rang"] = True
