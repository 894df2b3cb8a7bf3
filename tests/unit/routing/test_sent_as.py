"""What a policy changes in an INVITE and its answers is what both sides go by from then on."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.dialog.decoded import DialogRecord
from proxy.dialog.states import EndReason
from proxy.dialog.validation import Validity
from proxy.registrar.lookup import target_for
from proxy.routing.dialog_agent import DialogAgent
from proxy.routing.reply import Reply
from proxy.routing.request import Request
from tests.scenarios.telephone import Telephone
from tests.scenarios.world import Sent, World, address
from workers.policy import Script
from workers.settings import Dialog

ALICE, BOB = address("192.0.2.1:5060"), address("192.0.2.2:5060")
SHOWN = b"sip:alice@198.51.100.1:4444"
SHOWN_BOB = b"sip:bob@198.51.100.2:5555"


class Call:
    """Alice calls bob through a policy that changes names and contacts."""

    def __init__(self, folder: Path, contact: bytes = SHOWN) -> None:
        self.contact = contact
        self.judged: list[Validity] = []
        self.fixed: list[bytes] = []
        script = Script(self.on_request, self.on_reply)
        self.world = World(folder, script, dialogs=Dialog(enabled=True))
        self.alice, self.bob = Telephone("alice", ALICE), Telephone("bob", BOB)

    async def on_request(self, request: Request) -> None:
        if request.in_dialog:
            self.judged.append(request.validate_dialog())
            assert request.fix_route()
            self.fixed.append(request.uri.raw)
            request.relay()
            return
        request.create_dialog()
        request.change_from(uri=b"sip:+4930123456@example.com")
        request.change_to(uri=b"sip:555@gateway.example.com")
        request.replace_header(b"m", b"<%b>" % self.contact)
        request.relay([target_for(b"sip:bob@192.0.2.2:5060")])

    def on_reply(self, request: Request, reply: Reply) -> None:
        if reply.method == "INVITE":
            reply.replace_header(b"Contact", b"<%b>" % SHOWN_BOB)

    def deliver(self, data: bytes, source: Telephone) -> list[Sent]:
        sent = self.world.deliver(data, source.at)
        for phone in (self.alice, self.bob):
            phone.received += [one.message for one in sent if one.to == phone.at]
        return sent

    def set_up(self) -> Call:
        self.deliver(self.alice.request("INVITE", "sip:bob@example.com"), self.alice)
        self.deliver(self.bob.reply(180, "INVITE"), self.bob)
        self.deliver(self.bob.reply(200, "INVITE"), self.bob)
        self.deliver(self.alice.ack(self.alice.final_response()), self.alice)
        return self

    def record(self) -> DialogRecord:
        tracker = self.world.node.dialogs
        assert tracker is not None
        ((key, _),) = self.world.dialog_table.scan(0, 1000)[0]
        dialog = tracker.open(key)
        assert dialog is not None
        return dialog.record()


def test_the_record_has_what_was_sent(tmp_path: Path) -> None:
    record = Call(tmp_path).set_up().record()
    assert (record.caller.contact, record.callees[0].contact) == (SHOWN, SHOWN_BOB)
    assert (record.from_uri, record.to_uri) == (b"sip:alice@example.com", b"sip:bob@example.com")
    assert record.mangled_from_uri == b"sip:+4930123456@example.com"
    assert record.mangled_to_uri == b"sip:555@gateway.example.com"


def test_requests_to_what_was_shown_are_valid(tmp_path: Path) -> None:
    call = Call(tmp_path).set_up()
    assert call.alice.peer.encode() == SHOWN_BOB
    call.deliver(call.alice.in_dialog("INFO"), call.alice)
    call.deliver(call.bob.in_dialog("INFO", cseq="7"), call.bob)
    call.deliver(call.bob.in_dialog("INFO", cseq="8", uri="sip:alice@192.0.2.1:5060"), call.bob)
    assert call.judged == [Validity.VALID, Validity.VALID, Validity.BAD_TARGET]
    assert call.fixed == [SHOWN_BOB, SHOWN, SHOWN]


def test_a_bye_of_ours_has_the_names_that_each_side_knows(tmp_path: Path) -> None:
    call = Call(tmp_path).set_up()
    tracker = call.world.node.dialogs
    assert tracker is not None
    dialog = tracker.open(call.record().key)
    assert dialog is not None
    DialogAgent(call.world.node, tracker).end(dialog, EndReason.MI_TERMINATION)
    to_bob, to_alice = (one.message for one in call.world.collect())
    assert to_bob.from_addr.uri == b"sip:+4930123456@example.com"
    assert to_bob.to_addr.uri == b"sip:555@gateway.example.com"
    assert (to_bob.request_uri, to_alice.request_uri) == (SHOWN_BOB, SHOWN)
    assert to_alice.from_addr.uri == b"sip:bob@example.com"
    assert to_alice.to_addr.uri == b"sip:alice@example.com"


@pytest.mark.parametrize(
    "contact",
    [b"sip:token-17@192.0.2.100:5060", b"sip:alice@example.com", b"sip:%b@h" % (b"x" * 600)],
)
def test_a_contact_that_leads_to_ourselves_is_for_the_policy_to_know(
    tmp_path: Path, contact: bytes
) -> None:
    record = Call(tmp_path, contact).set_up().record()
    assert record.caller.contact == b"sip:alice@192.0.2.1:5060"
