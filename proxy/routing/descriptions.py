"""The last session description of each side, for the re-INVITEs that ask whether it is there."""

from __future__ import annotations

from proxy.dialog.decoded import DialogRecord
from proxy.dialog.dialog import Dialog
from proxy.limits.bounds import DIALOG_SDP_BYTES
from proxy.sip.header_ids import CONTENT_TYPE
from proxy.sip.message import Message


def keep_descriptions(dialog: Dialog, tag: bytes, caller: Message | None, callee: Message) -> None:
    """Remember what the sides have said in a dialog whose sides get re-INVITEs."""
    of_caller = b"" if caller is None else sdp_of(caller)
    of_callee = sdp_of(callee)

    def edit(record: DialogRecord) -> bool:
        leg = record.callee(tag)
        if leg is None or not (of_caller or of_callee):
            return False
        record.caller.sdp = of_caller or record.caller.sdp
        leg.sdp = of_callee or leg.sdp
        return True

    dialog.change(edit)


def sdp_of(message: Message) -> bytes:
    """The session description in a message, unless there is none or it is too long to be kept."""
    kind = message.header(CONTENT_TYPE) or b""
    size = message.body_end - message.body_start
    if kind.partition(b";")[0].strip().lower() != b"application/sdp" or size > DIALOG_SDP_BYTES:
        return b""
    return message.data[message.body_start : message.body_end]
