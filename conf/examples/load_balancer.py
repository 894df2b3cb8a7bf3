"""A load balancer in front of servers that can carry so many calls each.

OpenSIPS' load balancer script step by step. What is wrong in it is right here:

- Choosing a server and counting the call were two steps, so a burst went past a server's capacity.
  Here a call joins the server's profile or is refused by it, one step for all workers.
- Any 6xx, and a call that had rung, went on to the next server. Here the next one gets only what
  the one before could not carry: no answer of any kind, 500, 502, 503 or 504.
- A call that went on to the next server kept its place on the first. Here it leaves it.
- When all were full the caller got 500, as if something were broken. Here it is 503 with
  Retry-After.
- In-dialog requests of strangers were relayed along any Route they brought. Here the route has to
  be ours and of that call.

Wants [dialog] with the profile `server`: see load_balancer.toml.
"""

from proxy.registrar.lookup import target_for
from proxy.routing.reply import Reply
from proxy.routing.request import Request

SERVERS = {  # address, and how many calls it carries
    "192.0.2.60:5060": 100,
    "192.0.2.61:5060": 100,
    "192.0.2.62:5060": 50,
}
TRY_NEXT = {408, 500, 502, 503, 504}
PATIENCE = 4.0  # seconds for a server's first sign of life


async def on_request(request: Request) -> None:
    """Decide what becomes of a new request."""
    if request.last_hop:
        request.reply(483, "Too Many Hops")
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
    if request.method != "INVITE":
        request.reply(405, headers=b"Allow: INVITE, ACK, CANCEL, BYE, OPTIONS\r\n")
        return
    if not request.is_for_us:
        request.reply(403, "Relay Forbidden")
        return
    if not request.uri.user:
        request.reply(484, "Address Incomplete")
        return
    if request.has_route:
        request.reply(403, "Preload Route denied")
        return

    request.record_route()
    if not request.create_dialog():
        request.reply(503, headers=b"Retry-After: 5\r\n")
        return
    tried = False
    for server in least_loaded_first(request):
        if not request.join_profile("server", server, limit=SERVERS[server]):
            continue  # full, this very moment
        tried = True
        target = target_for(b"sip:%b@%b" % (request.uri.user, server.encode()))
        outcome = await request.relay([target], silence=PATIENCE)
        if outcome.status not in TRY_NEXT or "rang" in request.values or request.cancelled:
            return
        request.leave_profile("server", server)
    if tried:
        request.reply(500, "All servers failed")
    else:
        request.reply(503, "All servers are full", headers=b"Retry-After: 5\r\n")


def least_loaded_first(request: Request) -> list[str]:
    """The servers by the share of their capacity that is taken."""

    def load(server: str) -> float:
        return request.profile_size("server", server) / SERVERS[server]

    return sorted(SERVERS, key=load)


def on_reply(request: Request, reply: Reply) -> None:
    """Notes that a call has rung: it is not for another server any more."""
    if 180 <= reply.status <= 189:
        request.values["rang"] = True
