"""CSeq numbers of what goes through a dialog into which we have put requests of our own.

What a side sends goes on with a number shifted as proxy/dialog/numbering.py says, RAck of a PRACK
(RFC 3262 §7.2) included; the answers go back with the number that the side has used.
"""

from __future__ import annotations

from proxy.dialog.dialog import Dialog
from proxy.dialog.numbering import came_as, sent_as
from proxy.dialog.tracker import Tracker
from proxy.routing.relay import Relay
from proxy.sip.header_ids import CSEQ
from proxy.sip.message import Message, parse


def renumber(relay: Relay, dialog: Dialog) -> None:
    """Let a request of a dialog go on with the number that its receiver has to see."""
    message = relay.message
    number = sent_as(dialog.payload, dialog.leg, not dialog.from_caller, message.cseq)
    if number == message.cseq or relay.number:
        return
    relay.number = message.cseq
    changes = relay.amended()
    changes.edit(message.first_of(CSEQ), b"%d %b" % (number, message.method.encode()))
    if message.method == "PRACK":
        for index in message.lines_named(b"RAck"):
            words = message.value(index).split()
            if len(words) == 3 and words[1].isdigit():
                meant = sent_as(dialog.payload, dialog.leg, not dialog.from_caller, int(words[1]))
                changes.edit(index, b"%b %d %b" % (words[0], meant, words[2]))


def answered_as(message: Message, number: int) -> Message:
    """The response as its request's sender has to see it."""
    index = message.first_of(CSEQ)
    start, end = message.value_start[index], message.value_end[index]
    value = b"%d %b" % (number, message.cseq_method.encode())
    return parse(message.data[:start] + value + message.data[end:])


def unshifted(tracker: Tracker, response: Message) -> Message:
    """A response without a transaction, with the number that its request came with."""
    dialog = tracker.find(response)
    if dialog is None:
        return response
    number = came_as(dialog.payload, dialog.leg, not dialog.from_caller, response.cseq)
    return response if number == response.cseq else answered_as(response, number)
