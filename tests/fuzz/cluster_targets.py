"""A node of a cluster under whatever a peer with a valid key may send."""

from __future__ import annotations

import json

from proxy.cluster import frames
from proxy.cluster.cluster import Cluster
from proxy.cluster.hlc import HybridClock
from proxy.cluster.messages import Kind
from proxy.cluster.settings import Settings
from proxy.dialog.call_detail import call_detail
from proxy.dialog.decoded import decode, encode
from proxy.dialog.due import Intervals, end_due, next_due, pings_due
from proxy.dialog.replica import DialogForm
from proxy.dialog.states import EndReason
from proxy.dialog.within import request_within, way_to
from proxy.errors import BadFrame, BadMessage
from proxy.registrar.binding import Binding
from proxy.registrar.binding import encode as encode_bindings
from proxy.registrar.layout import BRIEF
from proxy.registrar.replica import BindingsForm
from proxy.routing.dialog_agent import plan_byes
from tests.fuzz.frames import BODIES, WALL, sealed
from tests.simulation.store import MemoryStore

KNOWN = encode_bindings([Binding(b"sip:a@192.0.2.1", b"c", 1)])
# A beat, a question and an answer: the link is up, and changes are taken.
EACH = [sealed(kind, BODIES[kind]) for kind in (Kind.BEAT, Kind.HELLO, Kind.WELCOME)]


def frame(data: bytes) -> None:
    """A frame is refused, or says the same when it is written again."""
    try:
        read = frames.decode(data)
    except BadFrame:
        return
    again = frames.decode(frames.encode(read))
    assert (again.kind, again.sequence, again.body) == (read.kind, read.sequence, read.body)
    try:
        records = frames.decode_records(read.body, 8)
    except BadFrame:
        return
    assert frames.decode_records(frames.encode_records(read.body[:8], records), 8) == records


def location_records(data: bytes) -> None:
    """Bytes are no record, or one that merges with itself and prunes to something sound."""
    form = BindingsForm()
    if not form.sound(data):
        return
    if data[0] == BRIEF:
        assert form.newest(data) > 0
        assert form.restored(data, KNOWN) is None
        return
    assert form.restored(form.brief(data, form.rest(data)), data) == data
    assert form.merge(data, bytes(bytearray(data))) is data
    pruned = form.prune(data, 1, 10**9, 5, 10**18)
    assert pruned is None or form.sound(pruned)


def dialog_records(data: bytes) -> None:
    """Bytes are no record, or one that everything can be done with that is done with calls."""
    form = DialogForm()
    if not form.sound(data):
        return
    assert form.merge(data, bytes(bytearray(data))) is data
    assert form.prune(data, 1, 10**9, 5, 2**64 - 1) in (None, data)
    record = decode(b"call\0tag", data)
    json.dumps(call_detail(record, record.variables))
    for now in (0, record.due, 2**32 - 1):
        end_due(record, now, Intervals())
        pings_due(record, now, Intervals())
        record.due = min(next_due(record, now, Intervals()), 2**32 - 1)
    plan_byes(record, EndReason.LIFETIME_TIMEOUT, 0)
    assert decode(record.key, encode(record)) == record
    for leg in record.callees:
        for to_caller in (False, True):
            try:
                way = way_to(record.caller if to_caller else leg)
            except BadMessage:
                continue
            bye = request_within(record, leg, to_caller, "BYE", leg.cseq, way, b"Via: x\r\n")
            assert bye.count(b"\n") == bye.count(b"\r\n") == 9 + bool(way.routes), bye


def node() -> Cluster:
    """Node 1 of two, which node 2 has just greeted."""
    settings = Settings(node=1, peers=(2,), tables=(1, 2, 3), tags=("vip",))
    brain = Cluster(settings, MemoryStore(100), HybridClock(), 1)
    for data in EACH:
        brain.step(data, 0, WALL)
        brain.tick(0, WALL)
        brain.ready()
    return brain


def peer(data: bytes) -> None:
    """The first byte is a kind, the rest its body: the node goes on, and what it holds is sound."""
    brain = node()
    kind, body = data[0] if data else 0, data[1:]
    for sequence, epoch in ((0, 1), (1, 1), (2**64 - 1, 1), (1, 2)):
        brain.step(sealed(kind, body, sequence, epoch), 10, WALL + 10)
        brain.tick(20, WALL + 20)
        for _, _, answer in brain.ready():
            frames.decode(answer)
    check(brain)
    for each in EACH:
        brain.step(each, 30, WALL + 30)
    brain.tick(40, WALL + 40)


def check(brain: Cluster) -> None:
    """What a node holds and says of itself is sound."""
    store = brain.replication.store
    assert isinstance(store, MemoryStore)
    for (table, _), body in store.records.items():
        assert store.forms[table].sound(body)
    assert brain.replication.backlog.head == 0, "what came from a peer is never sent on"
    assert not brain.tags.acts("vip")
    assert not brain.comparison.baseline
    assert set(brain.links) == {2}


TARGETS = {
    "frame": frame,
    "location": location_records,
    "dialogs": dialog_records,
    "peer": peer,
}
