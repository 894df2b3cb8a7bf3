"""What a policy may do to a request and to the replies, seen on the wire."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from proxy.errors import ConfigError
from proxy.limits import bounds
from workers.policy_kit import PolicyKit, as_datagram
from workers.rehearsal import Sent

INVITE = """
    INVITE sip:bob:secret@Example.com;user=phone SIP/2.0
    Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1
    f: "Alice \\"A\\" B" <sip:alice@example.com>;tag=a1;x=y
    To: <sip:bob@example.com>;p=q
    Call-ID: one
    CSeq: 1 INVITE
    X-Odd:  spaced \t
    x-odd: again
    m: <sip:alice@192.0.2.1>
    Content-Length: 0
    """
Make = Callable[[str], PolicyKit]


@pytest.fixture
def kit(tmp_path: Path) -> Make:
    def made(body: str, extra: str = "") -> PolicyKit:
        script = tmp_path / "routing.py"
        imports = "from proxy.registrar.lookup import target_for\n"
        handler = "async def on_request(request):\n" + textwrap.indent(
            textwrap.dedent(body), "    "
        )
        script.write_text(imports + handler + textwrap.dedent(extra))
        return PolicyKit(script)

    return made


def one(sent: list[Sent], what: str) -> Sent:
    (found,) = [each for each in sent if each.line.startswith(what)]
    return found


def relayed(kit: PolicyKit) -> bytes:
    return one(kit.receive(INVITE), "INVITE").data


TO_BOB = "request.relay([target_for(b'sip:bob@192.0.2.2')])\n"


def test_nothing_changed_is_nothing_changed(kit: Make) -> None:
    sent = relayed(kit(TO_BOB))
    ours = sent.split(b"\r\n")[2:]
    theirs = as_datagram(INVITE).split(b"\r\n")[1:]
    left = [line for line in ours if not line.startswith((b"Max-Forwards", b"Max-Breadth"))]
    assert left == theirs


def test_headers_are_added_removed_and_replaced(kit: Make) -> None:
    sent = relayed(
        kit(
            "request.add_header(b'X-New', b'one')\n"
            "request.add_header(b'X-Gone', b'two')\n"
            "assert request.remove_header(b'x-ODD') == 2\n"
            "assert request.remove_header(b'x-odd') == 0\n"
            "assert request.remove_header(b'X-gone') == 1\n"
            "request.replace_header(b'Contact', b'<sip:bob@192.0.2.7>')\n"
            "request.replace_header(b'P-Asserted-Identity', b'<sip:alice@example.com>')\n" + TO_BOB
        )
    )
    assert b"X-New: one\r\n" in sent
    assert b"odd" not in sent.lower()
    assert b"X-Gone" not in sent
    assert b"\r\nm: <sip:bob@192.0.2.7>\r\n" in sent
    assert b"\r\nP-Asserted-Identity: <sip:alice@example.com>\r\n" in sent


def test_a_replaced_header_is_there_once(kit: Make) -> None:
    sent = relayed(
        kit(
            "request.replace_header(b'X-Odd', b'first')\n"
            "request.replace_header(b'X-Odd', b'last')\n" + TO_BOB
        )
    )
    assert sent.lower().count(b"x-odd") == 1
    assert b"\r\nX-Odd:  last" in sent, "where it stood, spelt as it was"


HOSTILE = [b"a\r\nVia: x", b"a\nb", b"a\rb", b"a\0b", b"\x7f"]


@pytest.mark.parametrize("value", HOSTILE)
@pytest.mark.parametrize(
    "call",
    [
        "request.add_header(b'X', {})",
        "request.replace_header(b'X-Odd', {})",
        "request.add_header({}, b'x')",
        "request.remove_header({})",
        "request.change_uri(user={})",
        "request.change_uri(host={})",
        "request.change_from(display={})",
        "request.change_from(uri=b'sip:' + {})",
        "request.change_to(uri=b'sip:' + {})",
        "request.reply(200, {}.decode())",
        "request.reply(200, headers={})",
    ],
)
def test_what_would_break_a_message_is_refused(kit: Make, call: str, value: bytes) -> None:
    office = kit(
        f"try:\n    {call.format(repr(value))}\nexcept ValueError:\n    request.reply(299)\n"
    )
    assert one(office.receive(INVITE), "299")


@pytest.mark.parametrize(
    "name", ["Via", "v", "From", "to", "Call-ID", "i", "CSeq", "Max-Forwards", "Route", "l"]
)
def test_what_the_core_owns_is_not_changed_as_a_header(kit: Make, name: str) -> None:
    for verb in (f"add_header(b'{name}', b'x')", f"remove_header(b'{name}')"):
        assert one(kit(f"request.{verb}").receive(INVITE), "500")


def test_added_headers_are_bounded(kit: Make) -> None:
    many = f"for n in range({bounds.CHANGED_LINES + 1}):\n    request.add_header(b'X', b'y')\n"
    assert one(kit(many).receive(INVITE), "500")
    large = f"request.add_header(b'X', b'y' * {bounds.CHANGED_BYTES})\n"
    assert one(kit(large).receive(INVITE), "500")


@pytest.mark.parametrize(
    ("change", "uri"),
    [
        ("user=b'carol'", "sip:carol@Example.com;user=phone"),
        ("user=b''", "sip:Example.com;user=phone"),
        ("host=b'192.0.2.9'", "sip:bob:secret@192.0.2.9;user=phone"),
        ("host=b'[2001:db8::1]', port=5070", "sip:bob:secret@[2001:db8::1]:5070;user=phone"),
        ("port=5070", "sip:bob:secret@example.com:5070;user=phone"),
    ],
)
def test_parts_of_the_request_uri_change(kit: Make, change: str, uri: str) -> None:
    office = kit(f"request.change_uri({change})\nrequest.reply(299, request.uri.raw.decode())\n")
    assert one(office.receive(INVITE), "299").line == f"299 {uri}"


@pytest.mark.parametrize("user", [b"a@evil.example", b"a;b?c@d", b"a b", b"%zz", b"a:b"])
def test_a_user_that_would_be_read_as_something_else_is_refused(kit: Make, user: bytes) -> None:
    office = kit(f"request.change_uri(user={user!r})\nrequest.reply(299)\n")
    assert one(office.receive(INVITE), "500")


def test_a_changed_request_uri_is_looked_up_and_relayed(kit: Make) -> None:
    office = kit("request.change_uri(user=b'carol')\nrequest.relay(request.lookup() or None)\n")
    office.register("sip:carol@example.com", "sip:carol@192.0.2.3:5060")
    sent = one(office.receive(INVITE), "INVITE")
    assert str(sent) == "192.0.2.3:5060 INVITE sip:carol@192.0.2.3:5060"


def test_another_address_can_be_looked_up(kit: Make) -> None:
    office = kit("request.relay(request.lookup(b'sip:carol@example.com'))\n")
    office.register("sip:carol@example.com", "sip:carol@192.0.2.3:5060")
    assert one(office.receive(INVITE), "INVITE").line == "INVITE sip:carol@192.0.2.3:5060"


RENAMED = (
    "request.change_from(display=b'Sales \"north\"', uri=b'sip:+4930@example.com')\n"
    "request.change_to(uri=b'sip:bob@intern.example.com')\n" + TO_BOB
)


def test_from_and_to_change_downstream_and_are_themselves_again_upstream(kit: Make) -> None:
    office = kit(RENAMED)
    invite = one(office.receive(INVITE), "INVITE")
    assert b'\r\nf: "Sales \\"north\\"" <sip:+4930@example.com>;tag=a1;x=y\r\n' in invite.data
    assert b"\r\nTo: <sip:bob@intern.example.com>;p=q\r\n" in invite.data
    for status, times in ((180, 1), (200, 2)):
        for _ in range(times):  # a 2xx that is repeated as well
            up = one(office.answer(invite, status), str(status))
            assert up.header("From") == '"Alice \\"A\\" B" <sip:alice@example.com>;tag=a1;x=y'
            assert up.header("To") == "<sip:bob@example.com>;p=q;tag=callee-5060"


def test_a_failure_has_the_callers_from_too(kit: Make) -> None:
    office = kit(RENAMED)
    invite = one(office.receive(INVITE), "INVITE")
    up = office.answer(invite, 486)
    assert one(up, "ACK").header("From") == '"Sales \\"north\\"" <sip:+4930@example.com>;tag=a1;x=y'
    assert one(up, "486").header("To") == "<sip:bob@example.com>;p=q;tag=callee-5060"


def test_the_display_name_alone_changes(kit: Make) -> None:
    sent = relayed(kit("request.change_from(display=b'')\n" + TO_BOB))
    assert b"\r\nf: <sip:alice@example.com>;tag=a1;x=y\r\n" in sent
    sent = relayed(kit("request.change_from(uri=b'sip:a@example.org')\n" + TO_BOB))
    assert b'\r\nf: "Alice \\"A\\" B" <sip:a@example.org>;tag=a1;x=y\r\n' in sent


def test_from_and_to_of_a_dialog_stay(kit: Make) -> None:
    office = kit("request.change_from(display=b'x')\n")
    text = INVITE.replace(";p=q", ";tag=there")
    assert one(office.receive(text), "500")


# -- time -----------------------------------------------------------------------------------------

PATIENT = (
    "outcome = await request.relay([target_for(b'sip:bob@192.0.2.2')], timeout=20)\n"
    "if outcome.status == 408:\n"
    "    await request.relay([target_for(b'sip:voicemail@192.0.2.20')])\n"
)


def lines(sent: list[Sent]) -> list[str]:
    return [str(each) for each in sent]


def test_what_rings_too_long_is_cancelled(kit: Make) -> None:
    office = kit(PATIENT)
    invite = one(office.receive(INVITE), "INVITE")
    office.answer(invite, 180)
    assert office.advance(19.9) == []
    assert lines(office.advance(0.2)) == [
        "192.0.2.2:5060 CANCEL sip:bob@192.0.2.2",
        "192.0.2.20:5060 INVITE sip:voicemail@192.0.2.20",
    ]
    assert lines(office.answer(invite, 487)) == ["192.0.2.2:5060 ACK sip:bob@192.0.2.2"]
    office.advance(400)
    assert office.world.left() == (0, 0, 0)


def test_a_dead_phone_does_not_hold_up_what_comes_after_it(kit: Make) -> None:
    office = kit(PATIENT)
    one(office.receive(INVITE), "INVITE")
    (voicemail,) = [each for each in office.advance(20.1) if "voicemail" in each.line]
    assert one(office.answer(voicemail, 480), "480")
    office.advance(400)
    assert office.world.left() == (0, 0, 0)


def test_a_cancelled_phone_that_answers_all_the_same_gets_the_call(kit: Make) -> None:
    office = kit(PATIENT)
    invite = one(office.receive(INVITE), "INVITE")
    office.answer(invite, 180)
    voicemail = one(office.advance(20.1), "INVITE")
    office.answer(voicemail, 180)
    assert lines(office.answer(invite, 200)) == [
        "192.0.2.1:5060 200 Answer",
        "192.0.2.20:5060 CANCEL sip:voicemail@192.0.2.20",
    ]


def test_a_phone_that_says_nothing_is_cancelled_when_it_does(kit: Make) -> None:
    office = kit(PATIENT)
    invite = one(office.receive(INVITE), "INVITE")
    office.advance(20.1)
    assert lines(office.answer(invite, 180)) == ["192.0.2.2:5060 CANCEL sip:bob@192.0.2.2"]


def test_nobody_answers_and_the_policy_gives_up(kit: Make) -> None:
    office = kit("await request.relay([target_for(b'sip:bob@192.0.2.2')], timeout=5)\n")
    one(office.receive(INVITE), "INVITE")
    assert one(office.advance(5.1), "408")


def test_the_outcome_has_the_response(kit: Make) -> None:
    office = kit(
        "outcome = await request.relay([target_for(b'sip:bob@192.0.2.2')])\n"
        "contact = outcome.response.named(b'contact')[0]\n"
        "await request.relay([target_for(contact.strip(b'<>'))])\n"
    )
    invite = one(office.receive(INVITE), "INVITE")
    sent = office.answer(invite, 302, headers={"Contact": "<sip:bob@192.0.2.30>"})
    assert "192.0.2.30:5060 INVITE sip:bob@192.0.2.30" in lines(sent)


def test_the_first_gateway_that_answers_wins(kit: Make) -> None:
    office = kit(
        "await request.relay([target_for(b'sip:1@192.0.2.%d' % n) for n in (50, 51, 52)])\n"
    )
    first, second, third = office.receive(INVITE)[1:]
    for each in (first, second):
        office.answer(each, 180)
    office.answer(third, 503)
    assert lines(office.answer(second, 200)) == [
        "192.0.2.1:5060 200 Answer",
        "192.0.2.50:5060 CANCEL sip:1@192.0.2.50",
    ]


def test_a_policy_sleeps(kit: Make) -> None:
    office = kit("await request.sleep(3)\nrequest.reply(480)\n")
    assert lines(office.receive(INVITE)) == ["192.0.2.1:5060 100 Trying"]
    assert office.advance(2.9) == []
    assert lines(office.advance(0.2)) == ["192.0.2.1:5060 480 Temporarily Unavailable"]


def test_who_hangs_up_on_a_sleeping_policy_is_told_at_once(kit: Make) -> None:
    office = kit("await request.sleep(3)\nrequest.relay()\n")
    office.receive(INVITE)
    assert [each.message.status for each in office.hang_up()] == [200, 487]
    assert not [each for each in office.advance(4) if each.message.is_request]


def test_values_last_as_long_as_the_request(kit: Make) -> None:
    office = kit(
        "assert request.values == {}\n"
        "request.values['tries'] = 1\n"
        "await request.sleep(1)\n"
        "request.reply(200 + request.values['tries'])\n"
    )
    office.receive(INVITE)
    assert one(office.advance(1), "201")


def test_a_policy_that_never_comes_to_an_end_is_ended(kit: Make) -> None:
    office = kit(
        "while True:\n    await request.relay([target_for(b'sip:bob@192.0.2.2')], timeout=0.1)\n"
    )
    office.receive(INVITE)
    sent = office.advance(60)
    assert "192.0.2.1:5060 500 Server Internal Error" in lines(sent)
    assert office.count("sipherd:policy_errors") == 1
    assert sum(each.line.startswith("INVITE") for each in sent) < 10 * bounds.POLICY_TURNS


# -- replies --------------------------------------------------------------------------------------

RECORDED = "await request.relay([target_for(b'sip:bob@192.0.2.2')])\n"


def replying(body: str) -> str:
    return "\ndef on_reply(request, reply):\n" + textwrap.indent(textwrap.dedent(body), "    ")


def test_replies_are_changed_on_their_way_up(kit: Make) -> None:
    office = kit(
        RECORDED,
        replying(
            """
            if reply.status == 183:
                reply.drop()
            reply.add_header(b"X-Via", request.uri.host)
            reply.remove_header(b"Server")
            reply.replace_header(b"Contact", b"<sip:bob@192.0.2.99>")
            """
        ),
    )
    invite = one(office.receive(INVITE), "INVITE")
    assert office.answer(invite, 183) == []
    for status in (180, 200, 200):
        up = one(office.answer(invite, status, headers={"Server": "x"}), str(status))
        assert (up.header("X-Via"), up.header("Server")) == ("example.com", None)
        assert up.header("Contact") == "<sip:bob@192.0.2.99>"


def test_a_failure_is_seen_when_it_goes_up_and_cannot_be_dropped(kit: Make) -> None:
    office = kit(RECORDED, replying("reply.add_header(b'X-Seen', b'1')\nreply.drop()"))
    invite = one(office.receive(INVITE), "INVITE")
    up = one(office.answer(invite, 486), "486")
    assert up.header("X-Seen") is None, "a handler that fails changes nothing"
    assert office.count("sipherd:policy_errors") == 1


def test_on_reply_is_a_plain_function(kit: Make) -> None:
    with pytest.raises(ConfigError, match="plain `def`"):
        kit("pass\n", "\nasync def on_reply(request, reply):\n    pass\n")


# -- mistakes -------------------------------------------------------------------------------------


def test_a_mistake_is_explained_once_and_counted_each_time(kit: Make) -> None:
    office = kit(
        "if request.method == 'OPTIONS':\n    1 / 0\nraise KeyError(request.message.cseq)\n"
    )
    for _ in range(25):
        assert one(office.request("MESSAGE", "sip:bob@example.com"), "500")
    assert one(office.request("OPTIONS", "sip:bob@example.com"), "500")
    told = [fields for _, event, fields in office.world.log.events if event == "policy failed"]
    assert [(fields["times"], bool(fields["trace"])) for fields in told] == [
        (1, True),
        (10, False),
        (1, True),
    ]
    assert "routing.py" in str(told[0]["trace"])
    assert office.count("sipherd:policy_errors") == 26


FAILOVER = """
for number in (50, 51):
    target = target_for(b"sip:1@192.0.2.%d" % number)
    outcome = await request.relay([target], silence=5)
    if outcome.status != 408:
        return
"""


def test_a_silent_gateway_is_left_for_the_next(kit: Make) -> None:
    office = kit(FAILOVER)
    first = one(office.receive(INVITE), "INVITE")
    second = next(each for each in office.advance(5.1) if "51" in str(each))
    assert str(second) == "192.0.2.51:5060 INVITE sip:1@192.0.2.51"
    office.answer(second, 100)
    assert [each for each in office.advance(20) if each.to != first.to] == [], "it may ring long"
    assert lines(office.answer(first, 180)) == ["192.0.2.50:5060 CANCEL sip:1@192.0.2.50"]
    assert lines(office.answer(second, 200)) == ["192.0.2.1:5060 200 Answer"]
    office.advance(400)
    assert office.world.left() == (0, 0, 0)


def test_silence_leaves_who_rings_alone_and_goes_on_to_the_next_group(kit: Make) -> None:
    office = kit("await request.relay(request.lookup(), silence=5)\n")
    for number, q in ((2, "1.0"), (3, "1.0"), (4, "0.5")):
        office.register("sip:bob@example.com", f"sip:bob@192.0.2.{number}:5060", q=q)
    ringing, silent = office.receive(INVITE)[1:]
    office.answer(ringing, 180)
    assert {str(each.to.host) for each in office.advance(10)} == {str(silent.to.host)}
    again = office.answer(ringing, 480)
    assert "192.0.2.4:5060 INVITE sip:bob@192.0.2.4:5060" in lines(again)
