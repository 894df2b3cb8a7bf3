"""Byte-exact call flows over real sockets: what SIPp cannot time or check."""

from __future__ import annotations

from collections.abc import Callable

from tests.e2e.phone import SDP, Phone, Received

MakePhone = Callable[..., Phone]


def registered_pair(phone: MakePhone, local: str = "127.0.0.1") -> tuple[Phone, Phone]:
    """A caller, and a callee whose binding is there."""
    alice, bob = phone("alice", local), phone("bob", local)
    bob.register(0, contact="*")
    bob.register()
    return alice, bob


def establish(alice: Phone, bob: Phone) -> tuple[str, Received, Received]:
    """A call up to its ACK: the INVITE sent, the one received, the 200 received."""
    invite = alice.invite("bob")
    alice.send(invite)
    received = bob.expect(method="INVITE")
    bob.respond(received, 180, "Ringing")
    alice.expect(180, "INVITE")
    bob.respond(received, 200, "OK", body=SDP)
    answer = alice.expect(200, "INVITE")
    alice.send(alice.in_dialog("ACK", invite, answer, 1))
    bob.expect(method="ACK")
    return invite, received, answer


def hang_up(alice: Phone, bob: Phone, invite: str, answer: Received) -> None:
    alice.send(alice.in_dialog("BYE", invite, answer, 2))
    bob.respond(bob.expect(method="BYE"), 200, "OK")
    alice.expect(200, "BYE")


def test_call_is_record_routed_and_forwarded_faithfully(phone: MakePhone) -> None:
    alice, bob = registered_pair(phone)
    odd = "x-UnKnown:  kept   as it is \r\nSupported: 100rel,  timer\r\n"
    invite = alice.invite("bob", odd)
    alice.send(invite)
    received = bob.expect(method="INVITE")
    assert received.uri == f"sip:bob@{bob.address}"
    assert b"x-UnKnown:  kept   as it is \r\nSupported: 100rel,  timer\r\n" in received.data
    assert received.body == SDP.encode()
    assert len(received.all("Via")) == 2
    assert received.get("Max-Forwards") == "69"
    assert ";lr" in received.get("Record-Route")
    bob.respond(received, 200, "OK", body=SDP)
    answer = alice.expect(200, "INVITE")
    assert len(answer.all("Via")) == 1
    assert answer.body == SDP.encode()
    alice.send(alice.in_dialog("ACK", invite, answer, 1))
    ack = bob.expect(method="ACK")
    assert not ack.all("Route")
    hang_up(alice, bob, invite, answer)


def test_call_over_ipv6(phone: MakePhone) -> None:
    alice, bob = registered_pair(phone, "::1")
    invite, received, answer = establish(alice, bob)
    assert "[::1]" in received.get("Via")
    hang_up(alice, bob, invite, answer)


def test_retransmitted_invite_is_absorbed(phone: MakePhone) -> None:
    alice, bob = registered_pair(phone)
    invite = alice.invite("bob")
    alice.send(invite)
    received = bob.expect(method="INVITE")
    bob.respond(received, 180, "Ringing")
    alice.expect(180, "INVITE")
    bob.forget_the_rest()  # timer A, where this took long
    for _ in range(3):
        alice.send(invite)
        alice.expect(180, "INVITE")  # the last provisional, again (§17.2.1)
    bob.expect_nothing(0.3)
    bob.respond(received, 486, "Busy Here")
    final = alice.expect(486, "INVITE")
    bob.expect(method="ACK")
    alice.ack_failure(invite, final)
    bob.forget_the_rest()
    alice.send(invite)  # late duplicate: the transaction still absorbs it
    bob.expect_nothing(0.3)


def test_silent_callee_gets_the_invite_again(phone: MakePhone) -> None:
    """Timer A of the client transaction, until something comes back; when: tests/scenarios."""
    alice, bob = registered_pair(phone)
    invite = alice.invite("bob")
    alice.send(invite)
    alice.expect(100, skip=())
    first = bob.expect(method="INVITE")
    second, third = bob.expect(method="INVITE"), bob.expect(method="INVITE")
    assert first.data == second.data == third.data
    bob.respond(third, 180, "Ringing")
    alice.expect(180, "INVITE")
    alice.cancel(invite)
    alice.expect(200, "CANCEL")
    bob.respond(bob.expect(method="CANCEL"), 200, "OK")
    bob.respond(third, 487, "Request Terminated")
    alice.ack_failure(invite, alice.expect(487, "INVITE"))
    bob.expect(method="ACK")


def test_answer_is_forwarded_each_time_until_the_ack(phone: MakePhone) -> None:
    """2xx retransmissions are the endpoints' business: each one passes (RFC 6026)."""
    alice, bob = registered_pair(phone)
    invite = alice.invite("bob")
    alice.send(invite)
    received = bob.expect(method="INVITE")
    for _ in range(3):
        bob.respond(received, 200, "OK", body=SDP)
        answer = alice.expect(200, "INVITE")
    alice.send(alice.in_dialog("ACK", invite, answer, 1))
    bob.expect(method="ACK")
    hang_up(alice, bob, invite, answer)


def test_cancel_before_ringing_waits_for_a_provisional(phone: MakePhone) -> None:
    alice, bob = registered_pair(phone)
    invite = alice.invite("bob")
    alice.send(invite)
    received = bob.expect(method="INVITE")
    alice.cancel(invite)
    alice.expect(200, "CANCEL")
    bob.respond(received, 180, "Ringing")
    cancel = next(m for m in iter(lambda: bob.expect(method="CANCEL"), None))
    assert cancel.branch == received.branch
    bob.respond(cancel, 200, "OK")
    bob.respond(received, 487, "Request Terminated")
    alice.ack_failure(invite, alice.expect(487, "INVITE", skip=(100, 180)))


def test_two_contacts_ring_and_the_loser_is_cancelled(phone: MakePhone) -> None:
    alice, desk = registered_pair(phone)
    mobile = phone("bob")
    mobile.register(call_id="the-mobile")
    invite = alice.invite("bob")
    alice.send(invite)
    at_desk, at_mobile = desk.expect(method="INVITE"), mobile.expect(method="INVITE")
    assert at_desk.branch != at_mobile.branch
    desk.respond(at_desk, 180, "Ringing", tag="desk")
    alice.expect(180, "INVITE")
    mobile.respond(at_mobile, 180, "Ringing", tag="mobile")
    alice.expect(180, "INVITE")
    mobile.respond(at_mobile, 200, "OK", tag="mobile", body=SDP)
    answer = alice.expect(200, "INVITE")
    assert answer.tag("To") == "mobile"
    desk.respond(desk.expect(method="CANCEL"), 200, "OK")
    desk.respond(at_desk, 487, "Request Terminated", tag="desk")
    desk.expect(method="ACK")
    alice.send(alice.in_dialog("ACK", invite, answer, 1))
    mobile.expect(method="ACK")
    hang_up(alice, mobile, invite, answer)
    mobile.register(0, call_id="the-mobile")


def test_too_many_hops(phone: MakePhone) -> None:
    alice = phone("alice")
    alice.send(alice.request("OPTIONS", "sip:bob@example.com", max_forwards=0))
    alice.expect(483, "OPTIONS")


def test_unregister_takes_the_binding_away(phone: MakePhone) -> None:
    alice, bob = registered_pair(phone)
    bob.register(0)
    invite = alice.invite("bob")
    alice.send(invite)
    alice.ack_failure(invite, alice.expect(404, "INVITE"))
    bob.expect_nothing(0.2)
