"""dlg_* and profile_*: OpenSIPS' names and shapes, over real tables."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.cluster.hlc import HybridClock
from proxy.constants import INTERNAL_LISTENER
from proxy.dialog import layout as at
from proxy.dialog.decoded import DialogRecord, Leg, decode, encode
from proxy.dialog.record import key_of, units_of
from proxy.dialog.states import EndReason, Event, State
from workers.child import Child
from workers.commands import Commands
from workers.commands.command import CommandError
from workers.edition import Area
from workers.errands import Errand
from workers.logs import Log
from workers.settings import Config, Node
from workers.shared_page import SharedPage
from workers.tables import open_tables
from workers.tracking import StateLog, tracker_of

ANSWERED = 1_700_000_000


@pytest.fixture
def child(tmp_path: Path, log: Log) -> Iterator[Child]:
    config = Config.model_validate(
        {
            "node": Node(id=7, runtime_dir=tmp_path),
            "location": {"capacity": 100},
            "dialog": {
                "enabled": True,
                "capacity": 100,
                "profiles": ["caller"],
                "profiles_no_value": ["all"],
            },
        }
    )
    tables = open_tables(config, log)
    tables.slots.claim(0, os.getpid(), "supervisor", 1_000)
    eventfds = [os.eventfd(0, os.EFD_NONBLOCK) for _ in tables.inboxes]
    yield Child(
        ready=lambda: None,
        config=config,
        role="control",
        index=0,
        first=True,
        predecessors=[],
        slot=2,
        sockets=[],
        neighbours=[],
        listeners=[],
        inbox_eventfds=eventfds,
        tables=tables,
        stop_fd=-1,
        parent_fd=-1,
        secret=b"s" * 32,
        log=log,
        page=SharedPage(),
        area=Area(),
        beaten_at=0.0,
        script=b"",
    )
    for fd in eventfds:
        os.close(fd)
    tables.close(clean=True)


class Desk:
    """Commands over a table with a call for each name."""

    def __init__(self, child: Child) -> None:
        self.child = child
        self.table = child.tables.dialogs
        self.commands = Commands(child)
        for number, name in enumerate(("anna", "ben", "carl"), 1):
            self.add(name.encode(), number)

    def add(self, name: bytes, number: int, state: State = State.CONFIRMED, owner: int = 7) -> None:
        assert self.table is not None
        record = DialogRecord(
            key=key_of(b"call-" + name, b"tag-" + name),
            node=7,
            owner=owner,
            epoch=16,
            counter=number,
            state=state,
            created_ms=ANSWERED * 1000 - 5,
            answered_ms=ANSWERED * 1000,
            timeout_at=ANSWERED + 60,
            from_uri=b"sip:%b@example.com" % name,
            to_uri=b"sip:bob@example.com",
            caller=Leg(b"", b"sip:a@192.0.2.1", b"", b"192.0.2.100:5060"),
            callees=[
                Leg(b"bob", b"sip:b@192.0.2.2", b"<sip:p;lr>", b"192.0.2.100:5060", state, 0, 5, 2)
            ],
        )
        payload = encode(record)
        assert self.table.commit(record.key, 0, payload, 2**31, units_of(state))

    def ask(self, name: str, **params: object) -> object:
        return self.commands.call(name, params)

    def refused(self, name: str, **params: object) -> tuple[int, str]:
        with pytest.raises(CommandError) as refusal:
            self.commands.call(name, params)
        return refusal.value.code, str(refusal.value)

    def record(self, name: bytes) -> DialogRecord:
        assert self.table is not None
        key = key_of(b"call-" + name, b"tag-" + name)
        payload, _ = self.table.snapshot(key)
        assert payload is not None
        return decode(key, payload)

    def errands(self) -> list[bytes]:
        return [
            data
            for place in self.child.tables.places.at_work()
            for listener, _, _, data in self.child.tables.inbox(place).pop(100)
            if listener == INTERNAL_LISTENER
        ]


@pytest.fixture
def desk(child: Child) -> Desk:
    return Desk(child)


def test_dlg_list_shows_calls_by_opensips_names(desk: Desk) -> None:
    shown = desk.ask("dlg_list", callid="call-ben", from_tag="tag-ben")
    assert isinstance(shown, dict)
    call = shown["Dialog"]
    assert list(call) == [
        *("ID", "db_id", "state", "user_flags", "timestart", "datestart", "timeout", "dateout"),
        *("callid", "from_uri", "to_uri", "caller_tag", "caller_contact", "callee_cseq"),
        *("caller_route_set", "caller_bind_addr", "caller_sdp", "caller_sent_sdp", "CALLEES"),
    ]
    assert (call["ID"], call["state"], call["callee_cseq"]) == ("7.10.2", 4, "5")
    assert (call["timestart"], call["timeout"]) == (ANSWERED, ANSWERED + 60)
    assert call["caller_bind_addr"] == "udp:192.0.2.100:5060"
    assert call["CALLEES"] == [
        {
            "callee_tag": "bob",
            "callee_contact": "sip:b@192.0.2.2",
            "caller_cseq": "2",
            "callee_route_set": "<sip:p;lr>",
            "callee_bind_addr": "udp:192.0.2.100:5060",
            "callee_sdp": "",
            "callee_sent_sdp": "",
        }
    ]
    assert desk.refused("dlg_list", callid="nobody") == (404, "No such dialog")
    assert desk.refused("dlg_list", callid="call-ben", from_tag="x") == (404, "No such dialog")


def test_dlg_list_in_pages(desk: Desk) -> None:
    whole = desk.ask("dlg_list")
    assert isinstance(whole, dict)
    assert whole["count"] == 3
    pages = [desk.ask("dlg_list", index=number, counter=1) for number in range(4)]
    found = [page["Dialogs"] for page in pages if isinstance(page, dict)]
    assert [each for page in found for each in page] == whole["Dialogs"]
    assert found[3] == []
    for page in ({"index": -1}, {"counter": -1}):
        code, message = desk.refused("dlg_list", **page)
        assert (code, "from 0 on" in message) == (-32602, True)


def test_an_ended_call_is_not_listed(desk: Desk) -> None:
    desk.add(b"dora", 9, State.DELETED)
    assert desk.refused("dlg_list", callid="call-dora") == (404, "No such dialog")
    assert desk.refused("dlg_end_dlg", dialog_id="7.10.9") == (404, "Requested Dialog not found")


@pytest.mark.parametrize("name", ["7.10.1", "call-anna", "db_id"])
def test_dlg_end_dlg_notes_it_and_tells_the_worker(desk: Desk, name: str) -> None:
    if name == "db_id":
        shown = desk.ask("dlg_list", callid="call-anna")
        assert isinstance(shown, dict)
        name = shown["Dialog"]["db_id"]
    assert desk.ask("dlg_end_dlg", dialog_id=name, extra_hdrs="Reason: Q.850\\r\\n") == "OK"
    record = desk.record(b"anna")
    assert record.flags & at.END_WANTED
    assert record.end_reason == EndReason.MI_TERMINATION
    assert record.variables == {b"end_headers": b"Reason: Q.850\r\n"}
    assert desk.errands() == [bytes([Errand.DIALOG]) + record.key]


def test_a_call_that_rings_is_ended_by_the_node_that_has_its_invite(desk: Desk) -> None:
    desk.add(b"dora", 4, State.EARLY, owner=9)
    desk.add(b"emil", 5, State.CONFIRMED, owner=9)
    for name in ("dora", "emil"):
        assert desk.ask("dlg_end_dlg", dialog_id=f"call-{name}") == "OK"
        assert desk.record(name.encode()).flags & at.END_WANTED
    assert desk.record(b"dora").owner == 9
    assert desk.record(b"dora").version > 0
    assert desk.record(b"emil").owner == 7
    assert desk.errands() == [bytes([Errand.DIALOG]) + desk.record(b"emil").key]


def test_headers_that_are_none_are_refused(desk: Desk) -> None:
    code, _ = desk.refused("dlg_end_dlg", dialog_id="7.10.1", extra_hdrs="no header")
    assert code == -32_602
    assert not desk.record(b"anna").flags & at.END_WANTED


def test_profiles(desk: Desk) -> None:
    assert desk.ask("list_all_profiles") == {
        "Profiles": [{"name": "caller", "has value": True}, {"name": "all", "has value": False}]
    }
    for name in ("anna", "ben"):
        assert desk.ask("dlg_set_profile", dlg_id=f"call-{name}", profile="caller", value="x")
        assert desk.ask("dlg_set_profile", dlg_id=f"call-{name}", profile="all") == "OK"
    assert desk.ask("dlg_set_profile", dlg_id="call-carl", profile="caller", value="y") == "OK"
    assert desk.ask("profile_get_size", profile="caller", value="x") == {
        "Profile": {
            "name": "caller",
            "value": "x",
            "count": 2,
            "shared": "no",
            "replicated": "no",
        }
    }
    total = desk.ask("profile_get_size", profile="caller")
    assert isinstance(total, dict)
    assert (total["Profile"]["value"], total["Profile"]["count"]) == (None, 3)
    values = desk.ask("profile_get_values", profile="caller")
    assert isinstance(values, list)
    assert sorted((each["value"], each["count"]) for each in values) == [("x", 2), ("y", 1)]
    assert desk.ask("profile_get_values", profile="all") == [{"value": None, "count": 2}]
    listed = desk.ask("profile_list_dlgs", profile="caller", value="x")
    assert isinstance(listed, dict)
    assert sorted(each["callid"] for each in listed["Dialogs"]) == ["call-anna", "call-ben"]
    assert desk.ask("dlg_unset_profile", dlg_id="7.10.1", profile="caller", value="x") == "OK"
    assert desk.refused("dlg_unset_profile", dlg_id="7.10.1", profile="caller", value="x")[0] == 404
    assert desk.refused("profile_get_size", profile="nothing")[0] == 404
    assert desk.ask("profile_end_dlgs", profile="caller") == "OK"
    ended = [name for name in (b"anna", b"ben", b"carl") if desk.record(name).end_reason]
    assert ended == [b"ben", b"carl"]


def test_another_value_may_take_the_place_of_the_old(desk: Desk) -> None:
    desk.ask("dlg_set_profile", dlg_id="call-anna", profile="caller", value="x")
    desk.ask(
        "dlg_set_profile", dlg_id="call-anna", profile="caller", value="y", clear_values="true"
    )
    assert desk.record(b"anna").profiles == [(b"caller", b"y")]


def test_variables_and_the_context(desk: Desk) -> None:
    desk.ask("dlg_push_var", dlg_val_name="account", dlg_val_value="17", DID="7.10.1,call-ben")
    desk.ask("dlg_set_profile", dlg_id="call-ben", profile="all")
    shown = desk.ask("dlg_list_ctx", callid="call-ben")
    assert isinstance(shown, dict)
    assert shown["Dialog"]["context"] == {"values": [{"account": "17"}], "profiles": [{"all": ""}]}
    assert desk.record(b"anna").variables == {b"account": b"17"}
    assert desk.refused("dlg_push_var", dlg_val_name="a", dlg_val_value="b", DID="x")[0] == 404


def test_without_dialogs_commands_say_so(child: Child) -> None:
    child.tables.dialogs = None
    assert tracker_of(child, HybridClock()) is None
    with pytest.raises(CommandError, match="enabled is false"):
        Commands(child).call("dlg_list", {})


def test_steps_of_a_call_are_in_the_log_at_level_debug(child: Child, lines: list[str]) -> None:
    desk = Desk(child)
    tracker = tracker_of(child, HybridClock())
    assert tracker is not None
    StateLog(child.log).attend(tracker)
    dialog = tracker.open(key_of(b"call-anna", b"tag-anna"))
    assert dialog is not None
    dialog.set_variable(b"a", b"b")
    dialog.end(Event.TERMINATE, EndReason.MI_TERMINATION, 0)
    told = [line for line in lines if "dialog state changed" in line]
    assert len(told) == 1
    assert "id=7.10.1" in told[0]
    assert "callid=call-anna from_tag=tag-anna to_tag=bob old_state=4 new_state=5" in told[0]
    assert desk.record(b"anna").state == State.DELETED
