"""Three nodes carry one caller's calls, in any order and hearing of each other at any time."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.dialog.decoded import decode
from proxy.dialog.layout import WRITTEN
from proxy.dialog.states import EndReason, Event, State
from proxy.dialog.sweep import Sweep
from tests.unit.dialog.calling import invite, response, within
from tests.unit.workers.test_dialog_adapter import ALL, KEY, Node

NODES = 3
ACTIONS = ("invite", "again", "rings", "answered", "ack", "bye", "fails", "info", "ends", "sweep")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(ACTIONS), st.integers(0, NODES - 1), st.just(0)),
        st.tuples(st.just("hears"), st.integers(0, NODES - 1), st.integers(0, NODES - 1)),
        st.tuples(st.just("time"), st.integers(0, NODES - 1), st.integers(0, 20_000)),
    ),
    max_size=30,
)
BEGINNING = [
    ("invite", 0, 0),
    ("hears", 1, 0),
    ("answered", 1, 0),
    ("hears", 0, 1),
    ("hears", 2, 1),
    ("time", 1, 20_000),
    ("ends", 0, 0),
    ("time", 0, 9_000),
    ("sweep", 0, 0),
]


class Calls:
    """What happens at one of the nodes."""

    def __init__(self, folder: Path) -> None:
        self.nodes = [Node(folder, number) for number in range(1, NODES + 1)]
        self.cseq = 1
        self.written: set[str] = set()  # dids of calls whose record was written
        self.answered: set[bytes] = set()

    def act(self, action: str, number: int, other: int) -> None:
        node = self.nodes[number]
        node.pass_time(1)
        if action == "hears":
            node.hears_all_of(self.nodes[other])
        elif action == "time":
            node.pass_time(other)
        elif action == "sweep":
            self.sweep(node)
        elif action in ("invite", "again"):
            self.cseq += action == "invite"
            dialog = node.tracker.create(
                invite(cseq=self.cseq, branch=b"z9hG4bK%d" % self.cseq), b""
            )
            if dialog is not None:
                dialog.join(b"all", b"", 0)
        elif action in ("rings", "answered", "fails"):
            self.respond(node, action)
        elif action == "ends":
            dialog = node.tracker.open(KEY)
            if dialog is not None:
                dialog.end(Event.TERMINATE, EndReason.MI_TERMINATION, 0)
        else:
            self.within(node, action)

    def respond(self, node: Node, action: str) -> None:
        branch = b"z9hG4bK%d" % self.cseq
        found = node.tracker.of_invite(response(200, cseq=self.cseq), branch)
        if found is not None and action == "rings":
            found.provisional(response(180, cseq=self.cseq), b"s", b"d")
        elif found is not None and action == "answered":
            found.answered(response(200, cseq=self.cseq), b"s", b"d")
            if found.is_live:
                self.answered.add(found.did)
        elif found is not None:
            found.failed(486)

    def within(self, node: Node, action: str) -> None:
        found = node.tracker.find(within(b"INFO", 50))
        if found is not None and action == "ack":
            found.acknowledged()
        elif found is not None and action == "bye":
            found.hung_up(50, 200)
        elif found is not None:
            found.requested(within(b"INFO", 40))

    def sweep(self, node: Node) -> None:
        """What is ended is buried; whoever does it has written its record."""
        Sweep(node.tracker).sweep()
        for key, payload in node.table.scan(0, 1_000)[0]:
            record = decode(key, payload)
            if record.flags & WRITTEN:
                self.written.add(record.did)

    def settle(self) -> None:
        """Everybody hears of everybody."""
        for _ in range(2):
            for node in self.nodes:
                for other in self.nodes:
                    node.hears_all_of(other)


@settings(max_examples=120, deadline=None)
@given(st.integers(0, len(BEGINNING)), STEPS)
def test_all_nodes_end_up_with_the_same(known: int, steps: list[tuple[str, int, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        calls = Calls(Path(folder))
        for first in BEGINNING[:known]:
            calls.act(*first)
        for step in steps:
            calls.act(*step)
        calls.settle()
        views = [sorted(node.table.scan(0, 1_000)[0]) for node in calls.nodes]
        assert views[0] == views[1] == views[2]
        live = 0
        for key, payload in views[0]:
            record = decode(key, payload)
            live += record.state != State.DELETED and bool(record.profiles)
            assert record.did not in calls.written or record.flags & WRITTEN
            assert record.did.encode() not in calls.answered or record.answered_ms
        assert [node.members.size(ALL, 0) for node in calls.nodes] == [live] * NODES
