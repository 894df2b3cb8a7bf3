"""Which response of a fork goes upstream (RFC 3261 §16.7 steps 6 and 7). Pure."""

from __future__ import annotations

from collections.abc import Sequence

from proxy.sip.header_ids import PROXY_AUTHENTICATE, WWW_AUTHENTICATE
from proxy.sip.message import Message

# Within 4xx those come first that tell the caller how to do better (§16.7 step 6).
HELPFUL = (401, 407, 415, 420, 484)
CHALLENGES = (401, 407)


def rank(status: int) -> tuple[int, int]:
    """The order of choice, lowest first: 2xx, 6xx, then the lowest class; 503 and 408 last."""
    if status < 300:
        return (0, status)
    if status >= 600:
        return (1, status)
    if status in HELPFUL:
        return (status // 100 + 1, HELPFUL.index(status) - len(HELPFUL))
    if status == 408:
        return (5, 999)  # says only that nobody answered: any other 4xx says more
    if status == 503:
        return (6, 999)
    return (status // 100 + 1, status)


def best(statuses: Sequence[int]) -> int:
    """The index of the response to forward; the first among equals."""
    return min(range(len(statuses)), key=lambda index: rank(statuses[index]))


def merged_challenges(chosen: Message, others: Sequence[Message]) -> bytes:
    """Header lines with the challenges of the other 401s and 407s (§16.7 step 7)."""
    if chosen.status not in CHALLENGES:
        return b""
    lines: list[bytes] = []
    for response in others:
        if response is chosen or response.status not in CHALLENGES:
            continue
        for value in response.headers(WWW_AUTHENTICATE):
            lines.append(b"WWW-Authenticate: " + value + b"\r\n")
        for value in response.headers(PROXY_AUTHENTICATE):
            lines.append(b"Proxy-Authenticate: " + value + b"\r\n")
    return b"".join(lines)
