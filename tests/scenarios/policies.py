"""Policies for scenarios that want another than conf/routing.py."""

from proxy.registrar.lookup import target_for
from proxy.routing.policy_run import Outcome
from proxy.routing.request import Policy, Request

ELSEWHERE = b"sip:voicemail@192.0.2.9:5060"


def with_registrar(policy: Policy) -> Policy:
    """The policy with a registrar in front of it."""

    async def on_request(request: Request) -> None:
        if request.method == "REGISTER":
            request.save()
        else:
            await policy(request)

    return on_request


async def relay_all(request: Request) -> None:
    """Relay to the registered contacts, else to the Request-URI; nothing is refused."""
    targets = request.lookup() if request.is_for_us and not request.in_dialog else []
    if targets:
        request.relay(targets)
    else:
        request.relay()


async def record_all(request: Request) -> None:
    """As relay_all, with Record-Route in every request."""
    request.record_route()
    await relay_all(request)


async def raising(request: Request) -> None:
    """A mistake in the script."""
    raise KeyError(request.method)


async def raising_while_ringing(request: Request) -> None:
    """A mistake behind a relay."""
    request.relay(request.lookup())
    raise KeyError(request.method)


async def mute(request: Request) -> None:
    """Forgets to answer."""


async def silent(request: Request) -> None:
    """Drops on purpose."""
    request.drop()


async def voicemail(request: Request) -> None:
    """Busy and unanswered calls go to voicemail."""
    if request.in_dialog:
        await relay_all(request)
        return
    outcome = await request.relay(request.lookup())
    if outcome.status in (408, 480, 486, 487):
        await request.relay([target_for(ELSEWHERE)])


async def excuse(request: Request) -> None:
    """Answers by itself after a failure."""
    outcome = await request.relay(request.lookup())
    if outcome.status >= 300:
        request.reply(480, f"Sorry, {outcome.status}")


async def twice_at_once(request: Request) -> None:
    """Two relays without waiting for the first: one fork."""
    request.relay(request.lookup())
    request.relay([target_for(ELSEWHERE)])


async def same_again(request: Request) -> None:
    """After a failure, the same target once more."""
    targets = request.lookup()
    outcome = await request.relay(targets)
    if outcome.status == 486:
        await request.relay(targets)


async def reply_while_ringing(request: Request) -> None:
    """Rings somebody and answers by itself without waiting."""
    request.relay(request.lookup())
    request.reply(480)


async def greedy(request: Request) -> None:
    """Goes on after a success as if there had been none."""
    outcome = await request.relay(request.lookup())
    request.reply(480, f"After {outcome.status}")
    again = await request.relay(request.lookup())
    request.node.log.debug("second relay", status=again.status)


async def drop_after_failure(request: Request) -> None:
    """Does not want to answer after a failure."""
    await request.relay(request.lookup())
    request.drop()


class Never:
    """Something that is no outcome of a relay."""

    def __await__(self):  # type: ignore[no-untyped-def]
        yield 7


async def waits_for_nothing(request: Request) -> None:
    """Awaits what the core does not know."""
    await Never()  # type: ignore[no-untyped-call]


async def waits_for_another(request: Request) -> None:
    """Awaits an outcome that nobody will ever set."""
    await Outcome()


async def impatient(request: Request) -> None:
    """Waits for nobody for long, and hides who calls."""
    if request.in_dialog:
        await relay_all(request)
        return
    request.change_from(display=b"", uri=b"sip:anonymous@example.com")
    request.record_route()
    outcome = await request.relay(request.lookup(), timeout=4, silence=1)
    if outcome.status >= 300:
        await request.sleep(0.5)
        await request.relay([target_for(ELSEWHERE)], timeout=4)


async def limits_told(request: Request) -> None:
    """Says which failure a relay ended with."""
    outcome = await request.relay(request.lookup())
    request.reply(599, f"Relay ended with {outcome.status}")


async def capped(request: Request) -> None:
    """Two calls for each caller at a time; the third is busy."""
    if request.in_dialog:
        request.relay()
        return
    request.record_route()
    caller = request.message.from_uri.decode()
    if request.method == "INVITE" and not request.join_profile("caller", caller, limit=2):
        request.reply(486, "Too many calls")
        return
    request.relay(request.lookup())


async def watched(request: Request) -> None:
    """Calls whose sides are pinged both ways, and that end when a CANCEL crosses their answer."""
    if request.method == "INVITE" and not request.in_dialog:
        request.create_dialog("PpRrE", timeout=1_000)
    await relay_all(request)


async def validating(request: Request) -> None:
    """Says what is wrong with a request inside a dialog, and mends its route."""
    if request.in_dialog:
        if request.dialog is None:
            request.reply(481)
        elif request.method == "INFO":
            request.reply(599, request.validate_dialog().name)
        else:
            request.fix_route()
            request.relay()
        return
    request.record_route()
    request.relay(request.lookup())
