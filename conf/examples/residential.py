"""Residential service: phones with accounts, voicemail, numbers of the telephone network.

OpenSIPS' residential script step by step. What is wrong in it is right here:

- A stranger could call the telephone network by way of us: only the domain of the called address
  was looked at. Here numbers are for users who have shown who they are.
- A call from the gateway to a number that is none of ours went back to the gateway, and round and
  round. Here the gateway reaches our users and nobody else.
- Requests inside a call whose CSeq does not fit it were logged and sent on. Here they are refused.
  (Their target is not judged: phones are careless about it, and the server knows where they are.)
- P-Asserted-Identity of a phone was passed on as if we had checked it. Here we write it.
- A user without a registered phone got 420 "Bad Extension" or 404, which tells a stranger who
  exists. Here both are 404, or voicemail.
- Contacts behind NAT were marked for pings by a flag that nothing ever read. Here a registered
  contact is always called where it registered from, and Contact is made public in calls.

Wants [auth], [dialog] and the gateway's addresses in group 1 of the table `address`:
see residential.toml.
"""

from ipaddress import ip_address

from proxy.dialog.validation import Validity
from proxy.registrar.lookup import target_for
from proxy.routing.reply import Reply
from proxy.routing.request import Request
from proxy.sip.header_ids import CONTACT
from proxy.sip.headers import parse_contacts
from proxy.sip.message import Message
from proxy.sip.uri import parse_uri, uri_with

GATEWAYS = 1  # the group of the gateway's addresses
GATEWAY = b"192.0.2.50:5060"
VOICEMAIL = b"192.0.2.20:5060"
RING_SECONDS = 25
NO_ANSWER = {408, 480, 486}
EMERGENCY = {b"110", b"112"}


async def on_request(request: Request) -> None:
    """Decide what becomes of a new request."""
    method = request.method
    if request.last_hop and not (method in ("REGISTER", "OPTIONS") and request.is_for_us):
        request.reply(483, "Too Many Hops")
        return
    if request.in_dialog:
        inside_a_call(request)
        return

    # Who is it? A user of ours, the gateway, or a stranger who calls one of our users.
    from_gateway = request.check_source_address(GATEWAYS) is not None
    user = None
    if method == "REGISTER":
        if await request.authorize() is not None:
            request.save()
        return
    if not from_gateway and request.is_from_us:
        user = await request.authorize()
        if user is None:
            return
    if user is None and not request.is_for_us:
        request.reply(403, "Relay Forbidden")
        return
    if request.has_route:
        request.reply(403, "Preload Route denied")
        return

    # What only we may say, we say.
    if not from_gateway:
        request.remove_header(b"P-Asserted-Identity")
        publish_contact(request)
    if user is not None:
        request.add_header(b"P-Asserted-Identity", b"<sip:%b@%b>" % (user.name, user.realm))
    if method != "MESSAGE":
        request.record_route()
    if method == "INVITE" and not request.create_dialog("B"):
        request.reply(503, headers=b"Retry-After: 5\r\n")
        return

    if not request.is_for_us:
        request.relay()  # one of our users calls somebody elsewhere
        return
    if method in ("PUBLISH", "SUBSCRIBE"):
        request.reply(503, "Service Unavailable")
        return
    if not request.uri.user:
        request.reply(200 if method == "OPTIONS" else 484)
        return

    await request.alias_lookup()
    if is_number(request.uri.user):
        if user is None:
            request.reply(404)
        else:
            request.relay([target_for(b"sip:%b@%b" % (request.uri.user, GATEWAY))])
        return
    await to_phones(request)


def inside_a_call(request: Request) -> None:
    """Later requests go along the route of their call, if they can belong to it."""
    if not request.came_by_our_route:
        request.reply(404, "Not here")
    elif request.dialog is not None and request.validate_dialog() == Validity.BAD_CSEQ:
        request.reply(403, "Out of order")
    else:
        if request.source_group != GATEWAYS:
            publish_contact(request)
        request.relay()


async def to_phones(request: Request) -> None:
    """The phones of a user for a while, then the voicemail."""
    targets = request.lookup()
    if request.method != "INVITE":
        if targets:
            request.relay(targets)
        else:
            request.reply(404)
        return
    status = 480
    if targets:
        status = (await request.relay(targets, timeout=RING_SECONDS)).status
    if status in NO_ANSWER:
        reason = b"user-busy" if status == 486 else b"no-answer"
        request.add_header(b"Diversion", b"<%b>;reason=%b" % (request.message.request_uri, reason))
        request.relay([target_for(b"sip:%b@%b" % (request.uri.user, VOICEMAIL))])


def on_reply(request: Request, reply: Reply) -> None:
    """A phone behind NAT says where it is in its own network: the caller needs to know better."""
    if reply.target.received:
        contact = public_contact(reply.message, reply.target.received)
        if contact:
            reply.replace_header(b"Contact", contact)


def publish_contact(request: Request) -> None:
    """The Contact of a caller behind NAT, as it can be reached from here."""
    contact = public_contact(request.message, request.source.hostport)
    if contact:
        request.replace_header(b"Contact", contact)


def public_contact(message: Message, hostport: bytes) -> bytes | None:
    """A private Contact with the address it came from; None for any other."""
    contacts = parse_contacts(message.headers(CONTACT))
    if len(contacts) != 1 or contacts[0].star:
        return None
    uri = parse_uri(contacts[0].uri)
    try:
        private = uri.is_sip and ip_address(uri.host.decode()).is_private
    except ValueError:  # a name
        return None
    host, _, port = hostport.rpartition(b":")
    if not private or uri.host == host.strip(b"[]"):
        return None
    return b"<" + uri_with(uri, None, host, int(port)) + b">"


def is_number(user: bytes) -> bool:
    """Whether a user part is a number of the telephone network."""
    return user in EMERGENCY or (user.startswith(b"+") and user[1:].isdigit() and len(user) > 7)
