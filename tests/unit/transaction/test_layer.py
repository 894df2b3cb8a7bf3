"""The four machines at work: what they send, when to the millisecond, and that they end."""

from __future__ import annotations

import pytest

from proxy.sip.address import Address
from proxy.sip.message import Message, parse
from proxy.sip.patching import response
from proxy.transaction.layer import Transaction, TransactionLayer, TransactionUser
from proxy.transaction.states import Found, State, Stimulus, Tally
from proxy.transaction.timers import TimerConfig

CALLER = Address.parse(b"192.0.2.1", 5060)
CALLEE = Address.parse(b"192.0.2.2", 5060)
TRANSPORT_ERROR = int(Stimulus.TRANSPORT_ERROR)


class Witness(TransactionUser):
    """Notes what is reported, and when."""

    def __init__(self) -> None:
        self.notes: list[tuple[str, float]] = []
        self.releases = 0

    def response_received(self, client: Transaction, response: Message, now: float) -> None:
        self.notes.append((str(response.status), now))

    def timed_out(self, transaction: Transaction, now: float) -> None:
        self.notes.append(("timeout", now))

    def transport_failed(self, transaction: Transaction, now: float) -> None:
        self.notes.append(("transport", now))

    def lagging(self, client: Transaction, now: float) -> None:
        self.notes.append(("lagging", now))

    def released(self, transaction: Transaction) -> None:
        self.releases += 1


class Bench:
    """A layer, its clock, and one transaction under test."""

    def __init__(self, capacity: int = 100) -> None:
        self.layer = TransactionLayer(TimerConfig(), capacity)
        self.now = 0.0
        self.user = Witness()
        self.server: Transaction | None = None
        self.sent_at: list[float] = []
        self.sent: list[bytes] = []

    def note_sent(self) -> None:
        for datagram, *_ in self.layer.outbox:
            self.sent.append(datagram)
            self.sent_at.append(self.now)
        self.layer.outbox = []

    def to(self, moment: float) -> list[float]:
        """Let time pass up to `moment`; when something was sent meanwhile."""
        self.note_sent()
        self.sent_at.clear()
        while True:
            deadline = self.layer.timers.next_deadline()
            if deadline is None or deadline > moment:
                break
            self.now = deadline
            self.layer.timers.fire_due(deadline)
            self.note_sent()
        self.now = moment
        return self.sent_at

    def call(self, method: str = "INVITE") -> Transaction:
        datagram = request(method).data
        return self.layer.send_request(
            b"z9hG4bKa", method, datagram, CALLEE, 0, self.user, self.now
        )

    def serve(self, method: str = "INVITE") -> Transaction:
        self.server = self.layer.serve(request(method), CALLER, 0, self.user)
        return self.server

    def respond(self, status: int, method: str = "INVITE") -> bool:
        assert self.server is not None
        return self.server.respond(status, answer(status, method).data, self.now)

    def hear(self, message: Message) -> int:
        return self.layer.receive(message, self.now)

    @property
    def empty(self) -> bool:
        layer = self.layer
        return not layer.servers and not layer.clients


def request(method: str = "INVITE", branch: str = "z9hG4bKa", host: str = "192.0.2.1") -> Message:
    number = 1
    return parse(
        f"{method} sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP {host};branch={branch}\r\n"
        f"From: <sip:alice@example.com>;tag=a\r\nTo: <sip:bob@example.com>\r\n"
        f"Call-ID: c1\r\nCSeq: {number} {method}\r\nMax-Forwards: 70\r\n"
        "Content-Length: 0\r\n\r\n".encode()
    )


def answer(status: int, method: str = "INVITE") -> Message:
    return parse(response(request(method), status, b"Answer", b"b" if status > 100 else b""))


def tallies(bench: Bench) -> dict[int, int]:
    """What has been counted at all."""
    return {column: n for column, n in enumerate(bench.layer.tallies()) if n}


A = [0.5, 1.5, 3.5, 7.5, 15.5, 31.5]  # after 0.5, 1, 2, 4, 8, 16
E = [0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]  # capped at T2


def test_timer_a_doubles_without_bound_and_timer_b_ends_it() -> None:
    bench = Bench()
    bench.call()
    assert bench.to(100) == A
    assert set(bench.sent) == {request().data}
    assert bench.user.notes == [("timeout", 32.0)]
    assert bench.user.releases == 1
    assert bench.empty
    assert len(bench.layer.timers) == 0
    assert tallies(bench) == {7: 1, 8: 1, 9: 1, 10: 3, Tally.UNANSWERED: 1}


def test_a_provisional_ends_timers_a_and_b() -> None:
    bench = Bench()
    client = bench.call()
    bench.to(1)
    bench.hear(answer(180))
    assert bench.to(500) == []
    assert client.state == State.PROCEEDING
    assert bench.user.notes == [("180", 1.0)]


def test_timer_d_lets_each_repetition_be_acknowledged() -> None:
    bench = Bench()
    client = bench.call()
    bench.hear(answer(486))
    assert client.state == State.COMPLETED
    assert bench.user.releases == 1
    for moment in (1, 20, 31.9):
        bench.to(moment)
        assert bench.hear(answer(486)) == Found.ABSORBED
    assert bench.to(31.99) == []
    acks = [data for data in bench.sent if data.startswith(b"ACK ")]
    assert len(acks) == 4
    assert len(set(acks)) == 1
    assert b"\r\nTo: <sip:bob@example.com>;tag=b\r\n" in acks[0]
    assert bench.user.notes == [("486", 0.0)]
    bench.to(32)
    assert bench.empty
    assert bench.hear(answer(486)) == Found.STRAY_RESPONSE


def test_timer_m_lets_every_2xx_through() -> None:
    bench = Bench()
    client = bench.call()
    for moment in (0, 3, 31.9):
        bench.to(moment)
        bench.hear(answer(200))
    assert client.state == State.ACCEPTED
    assert bench.user.notes == [("200", 0.0), ("200", 3.0), ("200", 31.9)]
    assert bench.hear(answer(486)) == Found.ABSORBED  # a failure after a 2xx is nobody's
    bench.to(32)
    assert bench.empty
    assert bench.user.releases == 1
    assert not any(data.startswith(b"ACK") for data in bench.sent)


def test_timer_e_is_capped_at_t2_and_timer_f_ends_it() -> None:
    bench = Bench()
    bench.call("MESSAGE")
    assert bench.to(100) == E
    assert bench.user.notes[-1] == ("timeout", 32.0)
    assert bench.user.notes[0] == ("lagging", 3.5)  # RFC 4320 §4.1
    assert bench.empty
    assert len(bench.layer.timers) == 0


def test_timer_e_in_proceeding_is_t2() -> None:
    bench = Bench()
    bench.call("MESSAGE")
    bench.to(1)
    bench.hear(answer(100, "MESSAGE"))
    assert bench.to(100) == [1.5, 5.5, 9.5, 13.5, 17.5, 21.5, 25.5, 29.5]
    assert ("timeout", 32.0) in bench.user.notes
    assert ("lagging", 5.5) in bench.user.notes
    assert min(now for note, now in bench.user.notes if note == "lagging") >= 3.5


@pytest.mark.parametrize("status", [200, 404])
def test_timer_k_absorbs_what_comes_late(status: int) -> None:
    bench = Bench()
    client = bench.call("MESSAGE")
    bench.hear(answer(status, "MESSAGE"))
    assert client.state == State.COMPLETED
    bench.to(4.9)
    assert bench.hear(answer(status, "MESSAGE")) == Found.ABSORBED
    bench.to(5)
    assert bench.empty
    assert bench.user.notes == [(str(status), 0.0)]


def test_timer_g_repeats_a_failure_and_timer_h_ends_it() -> None:
    bench = Bench()
    bench.serve()
    bench.respond(486)
    assert bench.user.releases == 1
    assert bench.to(100) == E
    assert bench.empty
    assert tallies(bench) == {Tally.ENDED + 4: 1, Tally.REPEATED: len(E)}
    assert len(bench.layer.timers) == 0


def test_an_ack_ends_timer_g_and_timer_i_the_transaction() -> None:
    bench = Bench()
    server = bench.serve()
    bench.respond(486)
    bench.to(1)
    assert bench.hear(request("ACK")) == Found.ABSORBED
    assert server.state == State.CONFIRMED
    assert bench.to(5.9) == []
    assert bench.hear(request("ACK")) == Found.ABSORBED
    assert bench.hear(request()) == Found.ABSORBED
    bench.to(6)
    assert bench.empty
    assert bench.hear(request("ACK")) == Found.STRAY_ACK
    assert bench.hear(request()) == Found.NEW_REQUEST


def test_an_invite_is_answered_again_with_the_last_response() -> None:
    bench = Bench()
    bench.serve()
    bench.hear(request())
    bench.note_sent()
    assert bench.sent == []  # nothing said yet
    for status in (100, 180, 486):
        bench.respond(status)
        bench.hear(request())
        bench.note_sent()
        assert bench.sent[-2:] == [answer(status).data] * 2


def test_timer_l_absorbs_the_invite_and_passes_2xx_and_ack() -> None:
    bench = Bench()
    server = bench.serve()
    bench.respond(200)
    assert server.state == State.ACCEPTED
    bench.note_sent()
    bench.hear(request())
    bench.note_sent()
    assert len(bench.sent) == 1
    assert bench.respond(200)
    assert not bench.respond(486)
    assert not bench.respond(180)
    # RFC 6026: end to end, whatever its branch
    assert bench.hear(request("ACK")) == Found.STRAY_ACK
    assert bench.to(31.9) == []
    bench.to(32)
    assert bench.empty
    assert bench.user.releases == 1


def test_timer_j_repeats_the_final_response() -> None:
    bench = Bench()
    server = bench.serve("MESSAGE")
    bench.hear(request("MESSAGE"))
    assert server.state == State.TRYING
    bench.respond(404, "MESSAGE")
    assert not bench.respond(200, "MESSAGE")
    for moment in (1, 31.9):
        bench.to(moment)
        bench.hear(request("MESSAGE"))
    bench.note_sent()
    assert bench.sent == [answer(404, "MESSAGE").data] * 3
    bench.to(32)
    assert bench.empty


def test_a_terminated_transaction_does_nothing_more() -> None:
    bench = Bench()
    server = bench.serve()
    bench.layer.abandon(server)
    assert bench.empty
    assert bench.user.releases == 1
    assert not bench.respond(200)
    assert not bench.layer.drive(server, TRANSPORT_ERROR, None, 0.0)
    client = bench.call()
    bench.layer.abandon(client)
    bench.note_sent()
    assert bench.to(100) == []
    assert bench.empty


@pytest.mark.parametrize("method", ["INVITE", "MESSAGE"])
def test_a_transport_failure_is_reported_once(method: str) -> None:
    bench = Bench()
    client = bench.call(method)
    bench.layer.drive(client, TRANSPORT_ERROR, None, 0.0)
    bench.layer.drive(client, TRANSPORT_ERROR, None, 0.0)
    assert bench.user.notes == [("transport", 0.0)]
    assert bench.empty
    assert bench.to(100) == []


def test_a_user_that_raises_leaves_a_transaction_that_ends() -> None:
    class Raising(Witness):
        def response_received(self, client: Transaction, response: Message, now: float) -> None:
            raise ValueError("a mistake above")

    bench = Bench()
    bench.user = Raising()
    bench.call()
    with pytest.raises(ValueError, match="a mistake above"):
        bench.hear(answer(200))
    bench.to(32)
    assert bench.empty


def test_matching_is_by_branch_sent_by_and_method() -> None:
    bench = Bench()
    bench.serve()
    assert bench.hear(request(branch="z9hG4bKb")) == Found.NEW_REQUEST
    assert bench.hear(request(host="192.0.2.9")) == Found.NEW_REQUEST
    assert bench.hear(request(host="192.0.2.1:5070")) == Found.NEW_REQUEST
    assert bench.hear(request("CANCEL")) == Found.NEW_REQUEST
    assert bench.hear(request()) == Found.ABSORBED
    assert bench.layer.invite_of(request("CANCEL")) is bench.server
    assert bench.layer.invite_of(request("CANCEL", branch="z9hG4bKb")) is None


def test_without_the_cookie_everything_else_identifies_a_request() -> None:
    bench = Bench()
    old = parse(request().data.replace(b"z9hG4bKa", b"1"))
    bench.layer.serve(old, CALLER, 0, bench.user)
    assert bench.hear(old) == Found.ABSORBED
    for part, other in ((b"tag=a", b"tag=x"), (b"c1", b"c2"), (b"CSeq: 1", b"CSeq: 2")):
        assert bench.hear(parse(old.data.replace(part, other))) == Found.NEW_REQUEST


def test_a_response_is_matched_by_branch_and_method() -> None:
    bench = Bench()
    bench.call()
    assert bench.hear(answer(200, "CANCEL")) == Found.STRAY_RESPONSE
    assert bench.hear(answer(200)) == Found.ABSORBED


def test_capacity_counts_both_kinds() -> None:
    bench = Bench(capacity=3)
    assert not bench.layer.crowded()
    bench.serve()
    assert not bench.layer.crowded()
    bench.call()
    assert bench.layer.crowded()  # no room for a request and a branch
    assert not bench.layer.full()
    bench.call("MESSAGE")
    assert bench.layer.full()
    bench.to(100)
    assert not bench.layer.full()


def test_large_messages_take_more_of_the_capacity() -> None:
    bench = Bench(capacity=100)
    large = request().data + b"x" * 60_000
    for number in range(4):
        bench.layer.send_request(b"z9hG4bK%d" % number, "INVITE", large, CALLEE, 0, bench.user, 0)
    assert bench.layer.full()
    bench.to(100)
    assert bench.layer.taken == 0


def test_large_answers_take_more_of_the_capacity() -> None:
    bench = Bench()
    server = bench.serve("MESSAGE")
    client = bench.call("MESSAGE")
    assert bench.layer.taken == 2
    bench.hear(parse(answer(200, "MESSAGE").data.replace(b"Answer", b"A" * 7_000)))
    server.respond(200, b"x" * 50_000, bench.now)
    assert (client.places, server.places) == (4, 25)
    bench.to(100)
    assert bench.layer.taken == 0


def test_what_cannot_be_parsed_again_is_not_acknowledged_but_ends() -> None:
    bench = Bench()
    lines = b"".join(b"X-%d: 1\r\n" % number for number in range(200))
    datagram = request().data.replace(b"Content-Length", lines + b"Content-Length")
    bench.layer.send_request(b"z9hG4bKa", "INVITE", datagram, CALLEE, 0, bench.user, 0.0)
    bench.hear(answer(486))
    assert bench.user.notes == [("486", 0.0)]
    bench.to(32)
    assert bench.empty


def test_a_server_transaction_is_tallied_once_by_what_it_sent() -> None:
    bench = Bench()
    bench.serve()
    for status in (180, 200, 200):
        bench.respond(status)
    assert tallies(bench) == {Tally.ENDED + 2: 1}


def test_a_repeated_request_is_no_timer_of_ours() -> None:
    bench = Bench()
    bench.serve("MESSAGE")
    bench.respond(404, "MESSAGE")
    bench.hear(request("MESSAGE"))
    assert tallies(bench) == {Tally.ENDED + 4: 1}


def test_after_t2_every_repetition_counts_alike() -> None:
    bench = Bench()
    bench.call("MESSAGE")
    assert bench.to(100) == E
    assert tallies(bench) == {7: 1, 8: 1, 9: 1, 10: len(E) - 3, Tally.UNANSWERED: 1}
