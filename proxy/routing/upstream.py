"""What a fork sends to the caller (RFC 3261 §16.7 steps 3 to 9): answers passed on, and our own."""

from __future__ import annotations

import cython

from proxy.constants import reason_phrase
from proxy.dialog.dialog import Dialog
from proxy.dialog.due import REINVITE_PING
from proxy.dialog.layout import AT_FLAGS
from proxy.dialog.nat import reached_at, sender_reached_at
from proxy.dialog.route_set import names_host, target_of
from proxy.limits.counters import (
    FWD_REPLIES,
    TM_LOCAL_REPLIES,
    TM_RELAYED_REPLIES,
)
from proxy.registrar.lookup import Target
from proxy.routing.best_response import best, merged_challenges
from proxy.routing.descriptions import keep_descriptions
from proxy.routing.header_changes import contact_given
from proxy.routing.node import Node
from proxy.routing.relay import Relay
from proxy.routing.reply import Revision
from proxy.sip.address import Address
from proxy.sip.header_ids import CONTACT
from proxy.sip.headers import contact_uri
from proxy.sip.message import Message, parse
from proxy.sip.patching import cancel_for, forwarded_response, response
from proxy.transaction.layer import Transaction, TransactionUser
from proxy.transaction.timers import Timed

if not cython.compiled:
    from proxy.shm.words import get_u32

CANCEL_PATIENCE = 1  # §9.1: 64*T1 after a CANCEL the branch counts as cancelled, answer or not
NOBODY = TransactionUser()
NOTHING = b""


def where_is(response: Message, target: Target, seen: Address) -> bytes:
    """Where whoever answers is in truth; nothing where its Contact says it."""
    value = response.header(CONTACT)
    if value is None or target.path or (not target.received and names_host(value, seen.host)):
        return NOTHING
    return reached_at(contact_uri(value), target.uri if target.received else NOTHING, seen)


class Attempt(TransactionUser):
    """A target that is being tried, and what has come of it."""

    def aim_at(self, target: Target) -> None:
        """What `__init__` of a subclass calls: `super()` is slow, compiled."""
        self.target = target
        self.status = 0
        self.response: Message | None = None  # a failure, until one has been chosen
        self.datagram = b""  # the response as it goes upstream


class Upstream:
    """The server transaction of a forwarded request, and the attempts to get it an answer."""

    def begin(self, node: Node, relay: Relay, server: Transaction) -> None:
        """What `__init__` of a subclass calls: `super()` is slow, compiled."""
        self.node = node
        self.relay = relay
        self.server = server
        self.branches: list[Attempt] = []
        self.final_status = 0  # what went upstream
        self.cancelled = False
        self.number = relay.number  # the CSeq of answers, if the request went on with another
        self.invite = relay.invite
        self.dialog: Dialog | None = None  # of a tracked call, or the one a re-INVITE may change
        self.dialog_key = self.did = b""  # of that, once its first 2xx has gone
        self.revision: Revision | None = None  # what responses go through, if anything

    def tried_before(self, attempt: Attempt) -> int:
        """How often the target of an attempt was tried before: each try has its own branch."""
        times = 0
        target = attempt.target
        for other in self.branches:
            if other is attempt:
                break
            earlier = other.target
            if (
                earlier.uri == target.uri
                and earlier.received == target.received
                and earlier.path == target.path
            ):
                times += 1
        return times

    def assure(self, now: float) -> None:
        """100 upstream, once, for a request other than INVITE that has waited long enough."""
        if not self.final_status and not self.server.datagram:
            relay = self.relay
            trying = response(relay.message, 100, b"Trying", b"", b"", b"", relay.top_via, False)
            self.server.respond(100, trying, now)

    def forward(self, message: Message, attempt: Attempt, now: float) -> None:
        """Send a branch's response upstream with our Via taken off (§16.7 steps 3 and 9)."""
        datagram = attempt.datagram
        attempt.datagram = b""
        status = message.status
        if self.revision is not None:
            datagram = self.revision.revised(message, attempt.target, b"")
            if not datagram:
                return
        if status >= 200:
            self.final_status = status
        sent = self.server.respond(status, datagram, now)
        if not sent and 200 <= status < 300:
            # §16.7 step 5: a 2xx to an INVITE goes up even after another final response
            self.node.layer.send(datagram, self.server.address, self.server.listener)
        self.node.counters.add(FWD_REPLIES, 1)
        self.node.counters.add(TM_RELAYED_REPLIES, 1)

    def send_best(self, now: float) -> None:
        """Send the best of the failures upstream (§16.7 steps 6 to 9)."""
        self.send_failure(self.chosen(), now)
        self.fall_through()
        self.forget_failures()

    def tell_dialog(self, message: Message, attempt: Attempt, client: Transaction | None) -> None:
        """A response goes upstream that a tracked dialog, or one to come, learns from."""
        dialog = self.dialog
        if dialog is None and self.dialog_key:
            dialog = self.reopened()
        if dialog is None or client is None:
            return
        if message.cseq_method == "BYE":
            dialog.hung_up(message.cseq, message.status)
            return
        seen = client.address
        contact = NOTHING if self.revision is None else self.revision.contact
        if dialog.leg < 0:
            listener = self.node.identity.listeners[client.listener]
            socket = listener.hostport
            reached = where_is(message, attempt.target, seen)
            if message.status < 200:
                dialog.provisional(message, socket, seen.hostport, contact, reached)
            else:
                dialog.answered(message, socket, seen.hostport, contact, reached)
        relay = self.relay
        if message.status < 200 or relay is None:  # None: its first 2xx went before
            return
        if dialog.leg >= 0:
            self.refresh(dialog, message, contact or target_of(message), attempt, seen)
        if not get_u32(dialog.payload, AT_FLAGS) & REINVITE_PING:
            return
        if dialog.from_caller:
            keep_descriptions(dialog, message.to_tag, relay.message, message)
        else:
            keep_descriptions(dialog, message.from_tag, message, relay.message)

    def refresh(
        self, dialog: Dialog, answer: Message, contact: bytes, attempt: Attempt, seen: Address
    ) -> None:
        """In a dialog that is up, offer and answer have met: both sides may have moved."""
        relay = self.relay
        asking = target_of(relay.message)
        reached = NOTHING
        if relay.source is not None:
            reached = sender_reached_at(asking, relay.message, relay.source)
        asking = contact_given(relay.changes, self.node.identity) or asking
        dialog.refreshed(asking, reached, contact, where_is(answer, attempt.target, seen))

    def close_dialog(self) -> None:
        """The first 2xx has gone: what is kept for 64*T1, in case of others, is but a name."""
        dialog = self.dialog
        self.dialog = None
        if dialog is not None and dialog.leg < 0:
            self.dialog_key, self.did = dialog.key, dialog.did

    def reopened(self) -> Dialog | None:
        """The dialog of another 2xx, if its record is still that."""
        tracker = self.node.dialogs
        found = None if tracker is None else tracker.open(self.dialog_key)
        if found is None or found.did != self.did:
            return None
        found.cancelled = self.cancelled
        return found

    def keep_dialog(self) -> None:
        """The INVITE of a dialog to come is still being worked on."""
        dialog = self.dialog
        if dialog is not None and dialog.leg < 0:
            dialog.keep()

    def fall_through(self) -> None:
        """What the INVITE was to set up will not come about; or a BYE has failed."""
        dialog = self.dialog
        if dialog is None:
            return
        if dialog.leg < 0:
            dialog.failed(self.final_status)
        elif self.relay.message.method == "BYE" and self.branches:
            chosen = self.chosen()
            unanswered = chosen.response is None
            dialog.hung_up(self.relay.message.cseq, 408 if unanswered else chosen.status)

    def send_failure(self, chosen: Attempt, now: float) -> None:
        """Send the failure of one branch upstream, or what it becomes there."""
        message = chosen.response
        if message is None or message.status == 503 or (message.status == 408 and not self.invite):
            # a 503 of one target is not ours to pass on (§16.7 step 6)
            self.refuse(self.local_status(chosen.status), now)
            return
        others = [one.response for one in self.branches if one.response is not None]
        challenges = merged_challenges(message, others) if len(others) > 1 else b""
        if not challenges:
            self.forward(message, chosen, now)
            return
        self.final_status = message.status
        if self.revision is not None:
            datagram = self.revision.revised(message, chosen.target, challenges)
        else:
            datagram = forwarded_response(message, (), challenges)
        self.server.respond(message.status, datagram, now)
        self.node.counters.add(FWD_REPLIES, 1)

    def forget_failures(self) -> None:
        """Timer C holds branches for minutes: not their messages as well."""
        for attempt in self.branches:
            attempt.response = None
            attempt.datagram = b""

    def chosen(self) -> Attempt:
        """The branch whose failure is the best to pass on; 487 to a caller who has hung up."""
        if len(self.branches) == 1:
            return self.branches[0]
        if self.cancelled:
            for attempt in self.branches:
                if attempt.status == 487:
                    return attempt
        return self.branches[best([one.status for one in self.branches])]

    def best_status(self) -> int:
        """The status that `send_best` would send."""
        chosen = self.chosen()
        if chosen.response is None or chosen.status == 503:
            return self.local_status(chosen.status)
        return chosen.status

    def local_status(self, status: int) -> int:
        """What a failure found here becomes upstream."""
        if self.cancelled:
            return 487
        return 500 if status == 503 else status

    def send_cancel(self, client: Transaction, owner: Timed, now: float) -> None:
        """CANCEL a request that was sent (§9.1), once; the owner is told when patience is over."""
        layer = self.node.layer
        datagram = cancel_for(parse(client.datagram))
        branch = client.key
        if layer.client_of(branch, "CANCEL") is None:
            address, listener = client.address, client.listener
            layer.send_request(
                branch, "CANCEL", datagram, address, listener, NOBODY, now, client.call
            )
            layer.timers.start(now, layer.patience, owner, CANCEL_PATIENCE)

    def refuse(self, status: int, now: float) -> None:
        """Answer upstream ourselves."""
        self.final_status = status
        if status == 408 and not self.invite:
            # RFC 4320 §4.2: too late to be of use, and it would set off a storm of them
            self.node.layer.abandon(self.server)
            return
        relay = self.relay
        tag = self.node.signer.own_tag(relay.message)
        datagram = response(
            relay.message, status, reason_phrase(status), tag, b"", b"", relay.top_via, False
        )
        self.server.respond(status, datagram, now)
        self.node.counters.add(TM_LOCAL_REPLIES, 1)
