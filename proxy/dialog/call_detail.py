"""The call detail record of a dialog: what a line of the CDR file says (docs/dialogs.md)."""

from __future__ import annotations

from collections.abc import Iterable

from proxy.dialog.decoded import DialogRecord, Leg
from proxy.dialog.states import EndReason

Detail = dict[str, object]

HUNG_UP = {
    EndReason.DOWNSTREAM_BYE: "caller",  # OpenSIPS names the way that the BYE takes
    EndReason.UPSTREAM_BYE: "callee",
    EndReason.CANCELLED: "caller",
    EndReason.FAILED: "callee",
}
SUCCESS = 200


def call_detail(record: DialogRecord, variables: Iterable[bytes] = ()) -> Detail:
    """The record of one call; `variables` are the names of those that go into it."""
    leg = answering(record)
    answered_ms, ended_ms = record.answered_ms, record.ended_ms
    reason = EndReason(record.end_reason)
    detail: Detail = {
        "did": record.did,
        "node": record.node,
        "call_id": shown(record.call_id),
        "caller_tag": shown(record.caller.tag),
        "callee_tag": shown(leg.tag),
        "caller": shown(record.from_uri),
        "callee": shown(record.to_uri),
        "source": shown(record.source),
        "destination": shown(leg.destination),
        "start": seconds(record.created_ms),
        "answer": seconds(answered_ms) if answered_ms else None,
        "end": seconds(ended_ms),
        "setup_time": _between(record.created_ms, answered_ms or ended_ms),
        "duration": _between(answered_ms, ended_ms) if answered_ms else 0.0,
        "code": SUCCESS if answered_ms else record.end_code,
        "reason": record.end_words,
        "hung_up": HUNG_UP.get(reason, "proxy"),
        "profiles": [[shown(name), shown(value)] for name, value in record.profiles],
        "variables": {
            shown(name): shown(record.variables[name])
            for name in variables
            if name in record.variables
        },
    }
    others = [other for other in record.callees if other.answered_ms and other is not leg]
    if others:
        detail["forks"] = [_fork(other) for other in others]
    return detail


def answering(record: DialogRecord) -> Leg:
    """The callee that the call was with: who answered first, else who was last heard of."""
    answered = [leg for leg in record.callees if leg.answered_ms]
    if answered:
        return min(answered, key=lambda leg: leg.answered_ms)
    return record.callees[-1] if record.callees else Leg()


def _fork(leg: Leg) -> Detail:
    """Another callee that answered as well."""
    return {
        "callee_tag": shown(leg.tag),
        "destination": shown(leg.destination),
        "answer": seconds(leg.answered_ms),
        "end": seconds(leg.ended_ms) if leg.ended_ms else None,
    }


def _between(first_ms: int, last_ms: int) -> float:
    return max(0, last_ms - first_ms) / 1000


def seconds(milliseconds: int) -> float:
    """Seconds since 1970."""
    return milliseconds / 1000


def shown(text: bytes) -> str:
    """Bytes of a message as JSON can hold them."""
    return text.decode("utf-8", "backslashreplace")
