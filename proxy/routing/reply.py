"""A response on its way up, as `on_reply` of a policy sees it; and what is undone in it.

A policy may change From and To of what goes on (`change_from`, `change_to`); whoever sent the
request gets back what it wrote (RFC 3261 §8.2.6.2), so every response of such a request is put
right here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.registrar.lookup import Target
from proxy.routing.header_changes import HeaderChanges, contact_given
from proxy.routing.node import ReplyHandler
from proxy.sip.header_ids import FROM, TO
from proxy.sip.message import Message
from proxy.sip.patching import forwarded_response

if TYPE_CHECKING:
    from proxy.routing.policy_run import PolicyRun


class Reply:
    """One response of one branch, before it goes upstream."""

    def __init__(self, message: Message, target: Target) -> None:
        self.message = message
        self.target = target
        self.changes = HeaderChanges(message)
        self.dropped = False

    @property
    def status(self) -> int:
        """The status code."""
        return self.message.status

    @property
    def reason(self) -> bytes:
        """The reason phrase."""
        return self.message.reason

    @property
    def method(self) -> str:
        """The method of the request that it answers."""
        return self.message.cseq_method

    def add_header(self, name: bytes, value: bytes) -> None:
        """Add a header line."""
        self.changes.add(name, value)

    def remove_header(self, name: bytes) -> int:
        """Take away every line of a header; how many there were."""
        return self.changes.remove(name)

    def replace_header(self, name: bytes, value: bytes) -> None:
        """Leave one line of a header, with this value."""
        self.changes.replace(name, value)

    def drop(self) -> None:
        """Keep a provisional response back; a final one has to reach the caller."""
        if self.message.status >= 200:
            raise ValueError("only a provisional response can be dropped")
        self.dropped = True


class Revision:
    """What all responses of one request go through on their way up."""

    def __init__(self, request: PolicyRun, handler: ReplyHandler | None) -> None:
        self.request = request
        self.handler = handler
        self.contact = b""  # what the policy has put into the last one's Contact

    def revised(self, message: Message, target: Target, lines: bytes) -> bytes:
        """The datagram to send upstream, with `lines` added; b"" for a response that is dropped."""
        reply = Reply(message, target)
        if self.handler is not None:
            try:
                self.handler(self.request, reply)
            except BaseException as error:  # noqa: BLE001 - as in PolicyRun.step
                self.request.report_mistake(error)
                reply = Reply(message, target)
        changes = reply.changes
        self.contact = contact_given(changes, self.request.node.identity)
        if reply.dropped:
            return b""
        self.restore(reply)
        return forwarded_response(message, changes.edits, changes.insert() + lines)

    def restore(self, reply: Reply) -> None:
        """From and To as the caller wrote them; the callee's tag stays."""
        message = reply.message
        originals = self.request.relaying.originals
        if FROM in originals:
            reply.changes.edit(message.first_of(FROM), originals[FROM])
        if TO in originals:
            tag = b";tag=" + message.to_tag if message.to_tag else b""
            reply.changes.edit(message.first_of(TO), originals[TO] + tag)
