"""What a peer may send, as bytes to mutate: one good frame of each kind."""

from __future__ import annotations

from hypothesis import strategies as st

from proxy.cluster.digests import Digests
from proxy.cluster.frames import Frame, encode, encode_records
from proxy.cluster.merge import make, tombstone
from proxy.cluster.messages import (
    DATA_HEAD,
    SNAPSHOT_HEAD,
    Ack,
    Beat,
    CountsTold,
    Hello,
    Kind,
    SnapshotEnd,
    SyncAck,
    SyncAsk,
    Welcome,
)
from proxy.dialog.decoded import DialogRecord, Leg
from proxy.dialog.decoded import encode as encode_dialog
from proxy.dialog.layout import END_WANTED, PING_CALLEE, REINVITE_PING_CALLER
from proxy.dialog.states import EndReason, State
from proxy.registrar.binding import Binding
from proxy.registrar.binding import encode as encode_bindings
from proxy.registrar.layout import REMOVED

WALL = 1_700_000_000_000


def location() -> bytes:
    """A record with a binding and a tombstone."""
    live, gone = Binding(b"sip:a@192.0.2.1", b"call", 7), Binding(b"sip:b@192.0.2.1")
    live.version, live.origin, live.instance, live.reg_id = WALL << 16, 1, b"<urn:uuid:1>", 1
    gone.version, gone.origin, gone.flags, gone.expires = WALL << 16 | 1, 1, REMOVED, 1
    return encode_bindings([live, gone])


def dialog() -> bytes:
    """The record of a call that is up, with another callee that had rung."""
    return encode_dialog(
        DialogRecord(
            b"call\0tag",
            node=1,
            state=State.CONFIRMED,
            version=WALL << 16,
            owner=1,
            created_ms=WALL,
            answered_ms=WALL + 1,
            timeout_at=WALL // 1000 + 99,
            flags=REINVITE_PING_CALLER | PING_CALLEE | END_WANTED,
            end_reason=EndReason.MI_TERMINATION,
            variables={b"account": b"4711"},
            profiles=[(b"caller", b"alice")],
            caller=Leg(b"tag", b"sip:a@192.0.2.1", b"<sip:p;lr>", b"192.0.2.9:5060", sdp=b"v=0"),
            callees=[
                Leg(b"x", b"sip:x@192.0.2.2", b"", b"192.0.2.9:5060", State.DELETED),
                Leg(b"to", b"sip:b@192.0.2.2", b"<sip:q;lr>", b"192.0.2.9:5060", State.CONFIRMED),
            ],
        )
    )


RECORDS = [
    (1, b"alice@example.com", location()),
    (3, b"1 192.0.2.1:5060", make(WALL << 16, 1, b"payload", WALL // 1000 + 99)),
    (3, b"1 192.0.2.2:5060", tombstone(WALL << 16, 1)),
]
BODIES = {
    Kind.HELLO: Hello(1, 0, 0, WALL, (1, 2, 3)).encode(),
    Kind.WELCOME: Welcome(1, 0, False).encode(),
    Kind.DATA: encode_records(DATA_HEAD.pack(0), RECORDS),
    Kind.ACK: Ack(1, 32, False, True).encode(),
    Kind.SYNC_ASK: SyncAsk(1, Digests().sums).encode(),
    Kind.SYNC_LATER: SNAPSHOT_HEAD.pack(1),
    Kind.SNAPSHOT: encode_records(SNAPSHOT_HEAD.pack(1), RECORDS),
    Kind.SNAPSHOT_END: SnapshotEnd(1, 3, 0).encode(),
    Kind.SYNC_ACK: SyncAck(1, False).encode(),
    Kind.BEAT: Beat(
        WALL, 0, 0, 1, True, False, 0, True, ((1, True),), (("vip", WALL << 16 | 2, 2),)
    ).encode(),
    Kind.COUNTS: CountsTold(((1, b"trunk", 3),)).encode(),
    Kind.BYE: b"",
}


def sealed(kind: int, body: bytes, sequence: int = 1, epoch: int = 1) -> bytes:
    """A frame of node 2 to node 1 whose checksums are right, whatever its body is."""
    return encode(Frame(kind, 1, 2, 1, epoch, sequence, body))


SEEDS = [sealed(kind, body) for kind, body in BODIES.items()]


@st.composite
def mutated(draw: st.DrawFn) -> tuple[int, bytes]:
    """A kind and a body of it, with a few bytes changed, cut out or put in."""
    kind = draw(st.sampled_from(sorted(BODIES)))
    body = bytearray(BODIES[kind])
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, max(0, min(len(body), 600) - 1)))
        how = draw(st.integers(0, 3))
        if how == 0 and body:
            body[at] = draw(st.sampled_from([0, 1, 0x7F, 0x80, 0xFF]))
        elif how == 1:
            del body[at : at + draw(st.integers(1, 8))]
        elif how == 2:
            body[at:at] = draw(st.binary(max_size=8))
        else:
            del body[at:]
    return kind, bytes(body)
