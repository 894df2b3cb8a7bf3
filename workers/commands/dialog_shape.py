"""A dialog as OpenSIPS' `dlg_list` prints it."""

from __future__ import annotations

import time
from typing import Any

from proxy.dialog.decoded import DialogRecord, Leg
from workers.commands.command import text


def dialog_shape(record: DialogRecord) -> dict[str, Any]:
    """One entry of `dlg_list`."""
    start, timeout = record.answered_ms // 1000, record.timeout_at
    caller = record.caller
    callees = record.callees
    return {
        "ID": record.did,
        "db_id": str(record.db_id),
        "state": record.state,
        "user_flags": f"{record.user_flags:x}" if record.user_flags else "",
        "timestart": start,
        "datestart": _date(start),
        "timeout": timeout,
        "dateout": _date(timeout),
        "callid": text(record.call_id),
        "from_uri": text(record.from_uri),
        "to_uri": text(record.to_uri),
        "caller_tag": text(caller.tag),
        "caller_contact": text(caller.contact),
        "callee_cseq": str(max((leg.cseq for leg in callees), default=0)),
        "caller_route_set": text(caller.routes),
        "caller_bind_addr": _socket(caller),
        "caller_sdp": text(caller.sdp),
        "caller_sent_sdp": text(caller.sdp),
        "CALLEES": [_callee(leg) for leg in callees],
    }


def context_shape(record: DialogRecord) -> dict[str, Any]:
    """One entry of `dlg_list_ctx`."""
    return {
        **dialog_shape(record),
        "context": {
            "values": [{text(name): text(value)} for name, value in record.variables.items()],
            "profiles": [{text(name): text(value)} for name, value in record.profiles],
        },
    }


def _callee(leg: Leg) -> dict[str, Any]:
    return {
        "callee_tag": text(leg.tag),
        "callee_contact": text(leg.contact),
        "caller_cseq": str(leg.caller_cseq),
        "callee_route_set": text(leg.routes),
        "callee_bind_addr": _socket(leg),
        "callee_sdp": text(leg.sdp),
        "callee_sent_sdp": text(leg.sdp),
    }


def _socket(side: Leg) -> str:
    return f"udp:{text(side.socket)}" if side.socket else ""


def _date(seconds: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds)) if seconds else ""
