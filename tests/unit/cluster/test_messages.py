"""What frames say besides records comes back, may grow a tail, and is refused when short."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.cluster.digests import BUCKETS
from proxy.cluster.messages import (
    Ack,
    Beat,
    CountsTold,
    Hello,
    SnapshotEnd,
    SyncAck,
    SyncAsk,
    Welcome,
    question_of,
)
from proxy.errors import BadFrame
from proxy.limits import bounds

BEAT = Beat(
    17, 11, 2**64 - 1, 5, True, False, 2, True, ((2, True), (3, False)), (("vip", 1 << 60, 3),)
)
MESSAGES: list[Any] = [
    Hello(1, 2, 3, 4, (1, 2), b"mark of a secret"),
    Welcome(9, 10, True),
    Ack(7, 32, True, False),
    SyncAsk(4, bytes(range(256)) * (8 * BUCKETS // 256)),
    SnapshotEnd(1, 2, 2**64 - 1),
    SyncAck(1, True),
    BEAT,
    CountsTold(((1, b"trunk", 3), (2, b"", 2**40))),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda m: type(m).__name__)
def test_a_message_comes_back(message: Any) -> None:
    body = message.encode()
    assert type(message).decode(body) == message
    assert type(message).decode(body + b"fields of a later version") == message


@pytest.mark.parametrize("message", MESSAGES, ids=lambda m: type(m).__name__)
def test_a_short_one_is_refused(message: Any) -> None:
    body = message.encode()
    for end in range(0, len(body), 1 + len(body) // 200):
        if isinstance(message, Hello) and end == len(body) - len(message.mark):
            continue  # as an earlier version has it
        with pytest.raises(BadFrame):
            type(message).decode(body[:end])


def test_an_earlier_version_tells_no_mark() -> None:
    told = Hello(1, 2, 3, 4, (1, 2))
    assert Hello.decode(told.encode()) == told


def test_sums_of_other_buckets_are_refused() -> None:
    body = bytearray(MESSAGES[3].encode())
    body[8] ^= 1
    with pytest.raises(BadFrame, match="buckets"):
        SyncAsk.decode(bytes(body))


def test_bounds_of_a_beat() -> None:
    neighbours = tuple((number, True) for number in range(1, bounds.CLUSTER_NODES + 1))
    tags = tuple((f"tag{number}", number, 0) for number in range(bounds.CLUSTER_TAGS))
    full = BEAT._replace(neighbours=neighbours, tags=tags)
    assert Beat.decode(full.encode()) == full
    for wrong in (
        full._replace(neighbours=(*neighbours, (99, True))),
        full._replace(tags=(*tags, ("one more", 1, 0))),
        BEAT._replace(tags=(("", 1, 0),)),
        BEAT._replace(tags=(("x" * (bounds.TAG_NAME_BYTES + 1), 1, 0),)),
    ):
        with pytest.raises(BadFrame):
            Beat.decode(wrong.encode())


def test_a_tag_that_is_no_text_is_refused() -> None:
    body = BEAT.encode().replace(b"vip", b"v\xffp")
    with pytest.raises(BadFrame, match="no text"):
        Beat.decode(body)


def test_bounds_of_counts() -> None:
    most = tuple((1, b"%d" % number, 1) for number in range(bounds.COUNTS_PER_FRAME))
    assert CountsTold.decode(CountsTold(most).encode()).counts == most
    with pytest.raises(BadFrame):
        CountsTold.decode(CountsTold((*most, (1, b"one more", 1))).encode())


def test_the_question_of_a_snapshot() -> None:
    assert question_of(b"\x07" + bytes(7) + b"records") == 7
    with pytest.raises(BadFrame):
        question_of(b"short")
