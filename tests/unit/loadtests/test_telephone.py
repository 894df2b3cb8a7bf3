"""The telephone of the load tests: what it says, and when it says it again."""

from __future__ import annotations

import pytest

from loadtests.telephone import RINGING_S, Credentials, Dialog, Telephone, Timers
from loadtests.wire import GIVE_UP, SDP, Packet
from proxy.sip.message import parse

HOST = "192.0.2.1:5070"


@pytest.fixture
def phone() -> Telephone:
    made = Telephone("a", "example.com", HOST, "run", Credentials("a", "p"), Credentials("a", "p"))
    made.begin_registration()
    return made


def parsed(text: str) -> Packet:
    """A message that the server does not refuse."""
    assert parse(text.encode()).is_request
    return Packet(text.encode())


def target(packet: Packet) -> str:
    return packet.first.split(" ")[1]


def sent_at(timers: Timers) -> list[float]:
    """When a message that nobody answers is repeated."""
    times = []
    while not timers.is_over(timers.next()):
        times.append(timers.next())
        assert timers.fire(times[-1])
    return times


def test_an_invite_is_repeated_by_timer_a_until_timer_b() -> None:
    assert sent_at(Timers(10.0, invite=True)) == [10.5, 11.5, 13.5, 17.5, 25.5, 41.5]
    assert Timers(10.0, invite=True).deadline == 10.0 + GIVE_UP


def test_any_other_request_is_repeated_by_timer_e_until_timer_f() -> None:
    assert sent_at(Timers(0.0)) == [0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]


def test_nothing_is_repeated_before_it_is_due() -> None:
    timers = Timers(0.0)
    assert not timers.fire(0.49)
    assert timers.fire(0.5)
    assert not timers.fire(0.6)
    assert timers.repeated == 1


def test_an_invite_that_is_heard_of_is_not_repeated_and_may_ring() -> None:
    timers = Timers(0.0, invite=True)
    timers.provisional(1.0)
    assert timers.next() == 1.0 + RINGING_S
    assert not timers.fire(40.0)
    assert not timers.is_over(40.0)


def test_another_request_that_is_heard_of_is_repeated_every_t2() -> None:
    timers = Timers(0.0)
    timers.provisional(0.1)
    assert sent_at(timers)[:3] == [0.5, 4.5, 8.5]
    assert timers.deadline == GIVE_UP


def test_a_register(phone: Telephone) -> None:
    first, second = parsed(phone.register(60)), parsed(phone.register(0))
    assert first.method == "REGISTER"
    assert target(first) == "sip:example.com"
    assert first.get("contact") == "<sip:a@192.0.2.1:5070>"
    assert (first.get("expires"), second.get("expires")) == ("60", "0")
    assert first.get("call-id") == second.get("call-id")
    assert (first.get("cseq"), second.get("cseq")) == ("1 REGISTER", "2 REGISTER")
    assert first.get("via") != second.get("via")
    phone.begin_registration()
    assert parsed(phone.register(60)).get("call-id") != first.get("call-id")


RESPONSES = {
    "MD5": "8ca523f5e9506fed4657c9700eebdbec",
    "SHA-256": "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
}


@pytest.mark.parametrize("algorithm", RESPONSES)
def test_digest_as_in_rfc_7616(algorithm: str) -> None:
    credentials = Credentials("Mufasa", "Circle of Life")
    nonce = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v"
    challenge = f'realm="http-auth@example.org", qop="auth, auth-int", nonce="{nonce}"'
    answer = Packet(
        "SIP/2.0 401 Unauthorized\r\n"
        f"WWW-Authenticate: Digest algorithm=SHA-512-256, {challenge}\r\n"
        f'WWW-Authenticate: Digest algorithm={algorithm}, {challenge}, opaque="op"\r\n\r\n'.encode()
    )
    assert credentials.line("GET", "/dir/index.html", "x") == ""
    assert credentials.learn(answer)
    cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
    line = credentials.line("GET", "/dir/index.html", cnonce)
    assert line.startswith('Authorization: Digest username="Mufasa", ')
    assert f'response="{RESPONSES[algorithm]}"' in line
    assert 'opaque="op"' in line
    assert "nc=00000002" in credentials.line("GET", "/dir/index.html", cnonce)


def test_a_challenge_nobody_can_answer() -> None:
    answer = (
        b'SIP/2.0 407 No\r\nProxy-Authenticate: Digest realm="x", nonce="y", algorithm=X\r\n\r\n'
    )
    assert not Credentials("a", "b").learn(Packet(answer))


def called(phone: Telephone, text: str, status: str = "200 OK") -> Packet:
    """What a callee at another address answers, by way of two proxies."""
    routes = "Record-Route: <sip:p2;lr>, <sip:p1;lr>\r\n"
    invite = Packet(text.replace("Max-Forwards", f"{routes}Max-Forwards", 1).encode())
    other = Telephone("b", "example.com", "192.0.2.2:5080", "o", phone.calling, phone.calling)
    return Packet(other.respond(invite, status, "totag", SDP).encode())


def test_a_call_goes_along_its_route(phone: Telephone) -> None:
    dialog = phone.dial("b")
    invite = phone.request("INVITE", dialog, SDP)
    assert target(parsed(invite)) == "sip:b@example.com"
    assert parsed(invite).get("content-type") == "application/sdp"
    dialog.confirm(called(phone, invite))
    ack, bye = phone.ack(dialog), phone.request("BYE", dialog)
    for text, cseq in ((ack, "1 ACK"), (bye, "2 BYE")):
        packet = Packet(text.encode())
        assert packet.first.split(" ")[1] == "sip:b@192.0.2.2:5080"
        assert packet.all("route") == ["<sip:p1;lr>", "<sip:p2;lr>"]
        assert packet.get("to").endswith(";tag=totag")
        assert packet.get("cseq") == cseq
        assert packet.branch != Packet(invite.encode()).branch
        parsed(text)


def test_a_re_invite_does_not_change_the_route(phone: Telephone) -> None:
    dialog = phone.dial("b")
    dialog.confirm(called(phone, phone.request("INVITE", dialog, SDP)))
    routes = dialog.routes
    again = Packet(phone.request("INVITE", dialog, SDP).encode())
    moved = Telephone("b", "example.com", "192.0.2.3:5090", "o", phone.calling, phone.calling)
    dialog.confirm(Packet(moved.respond(again, "200 OK", "totag", SDP).encode()))
    assert dialog.routes == routes
    assert dialog.target == "sip:b@192.0.2.3:5090"


def test_the_callees_side(phone: Telephone) -> None:
    text = phone.request("INVITE", phone.dial("b"), SDP)
    routes = "Record-Route: <sip:p2;lr>\r\nRecord-Route: <sip:p1;lr>\r\n"
    invite = Packet(text.replace("Max-Forwards", f"{routes}Max-Forwards", 1).encode())
    dialog = Dialog.of_callee(invite, "totag")
    bye = Packet(phone.request("BYE", dialog).encode())
    assert bye.first == "BYE sip:a@192.0.2.1:5070 SIP/2.0"
    assert bye.all("route") == ["<sip:p2;lr>", "<sip:p1;lr>"]
    assert bye.get("from") == f"{invite.get('to')};tag=totag"
    assert bye.get("to") == invite.get("from")


@pytest.mark.parametrize("method", ["ACK", "CANCEL"])
def test_hop_by_hop(phone: Telephone, method: str) -> None:
    invite = phone.request("INVITE", phone.dial("b"), SDP)
    sent, made = parsed(invite), parsed(phone.hop_by_hop(method, invite))
    for name in ("via", "from", "call-id", "to"):
        assert made.get(name) == sent.get(name)
    assert target(made) == target(sent)
    assert made.get("cseq") == f"1 {method}"
