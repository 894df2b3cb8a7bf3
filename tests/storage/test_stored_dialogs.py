"""Calls outlive everything by their rows, in OpenSIPS' own shape."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
from calling import POLICY, SETTINGS, Call, Side
from sqlalchemy import Engine, text

from loadtests.ports import free_port
from loadtests.registering import Node, wait_for

MakeNode = Callable[..., Node]
Rows = Callable[[str], list[dict[str, object]]]


@pytest.fixture
def sides() -> Iterator[Callable[[Node], tuple[Side, Side]]]:
    made: list[Side] = []

    def make(node: Node) -> tuple[Side, Side]:
        made.extend((Side(node), Side(node)))
        return made[-2], made[-1]

    yield make
    for side in made:
        side.socket.close()


MakeSides = Callable[[Node], tuple[Side, Side]]


def node_with(make_node: MakeNode, url: str, mode: str, more: str = "") -> Node:
    node = make_node(f'urls = ["{url}"]', SETTINGS.format(mode=mode, more=more))
    (node.folder / "policy.py").write_text(POLICY)
    return node.start()


def sizes(node: Node) -> list[int]:
    shown = [
        node.ctl("profile_get_size", profile="caller", value="alice"),
        node.ctl("profile_get_size", profile="all"),
    ]
    return [each["Profile"]["count"] for each in shown]


def lose_everything(node: Node) -> None:
    """kill -9 of all processes, and the disk with the table files."""
    node.kill()
    for file in (node.folder / "var").iterdir():
        if file.name != "secret":
            file.unlink()


def test_calls_come_back_from_the_database(
    url: str, rows: Rows, make_node: MakeNode, sides: MakeSides
) -> None:
    node = node_with(make_node, url, "realtime")
    caller, callee = sides(node)
    calls = [Call(caller, callee, number) for number in range(5)]
    assert sizes(node) == [5, 5]
    calls[4].hang_up(caller, 6)
    wait_for(lambda: len(rows("SELECT dlg_id FROM dialog WHERE state = 4")) == 4)
    row = rows(f"SELECT * FROM dialog WHERE callid = '{calls[0].call_id}'")[0]
    assert (row["from_tag"], row["to_tag"]) == ("c0", f"callee{callee.port}")
    assert (row["caller_contact"], row["callee_contact"]) == (
        f"sip:alice@127.0.0.1:{caller.port}",
        f"sip:bob@127.0.0.1:{callee.port}",
    )
    assert row["caller_sock"] == row["callee_sock"] == f"udp:127.0.0.1:{node.port}"
    assert (row["caller_cseq"], row["callee_cseq"]) == ("0", "5")
    assert (row["profiles"], row["flags"]) == ("caller#alice|all#|", 1 << 5)
    assert bytes(row["vars"]).endswith(b"|account#17\\#4\\|x|")  # type: ignore[arg-type]
    before = node.ctl("dlg_list_ctx")["Dialogs"]
    lose_everything(node)
    node.start()
    wait_for(lambda: node.ctl("db_status")["loaded"])
    assert sorted(map(str, node.ctl("dlg_list_ctx")["Dialogs"])) == sorted(map(str, before))
    assert sizes(node) == [4, 4]
    calls[0].hang_up(caller, 6)
    calls[1].hang_up(callee, 9)
    wait_for(lambda: sizes(node) == [2, 2])
    wait_for(lambda: len(rows("SELECT dlg_id FROM dialog")) == 2)
    assert node.ctl("dlg_end_dlg", dialog_id=calls[2].call_id) == "OK"
    for side in (caller, callee):
        side.answer(side.receive("BYE"), "200 OK")
    wait_for(lambda: [r["callid"] for r in rows("SELECT * FROM dialog")] == [calls[3].call_id])


def test_what_has_ended_does_not_come_back(
    url: str, rows: Rows, make_node: MakeNode, sides: MakeSides
) -> None:
    """Written late and killed before: the mapped table goes before the database."""
    node = node_with(make_node, url, "delayed", "db_update_period = 3600")
    wait_for(lambda: node.ctl("db_status")["loaded"])
    caller, callee = sides(node)
    calls = [Call(caller, callee, number) for number in range(3)]
    assert rows("SELECT * FROM dialog") == []
    assert node.ctl("ul_flush") == "OK"
    assert len(rows("SELECT * FROM dialog")) == 3
    calls[0].hang_up(caller, 6)
    later = Call(caller, callee, 9)
    wait_for(lambda: sizes(node) == [3, 3])
    time.sleep(2.2)  # the table says every second until when it knows everything
    node.kill()
    node.start()
    wait_for(lambda: node.ctl("db_status")["loaded"])
    wait_for(lambda: node.ctl("db_status")["databases"][0]["current"])
    found = {row["callid"] for row in rows("SELECT * FROM dialog")}
    assert found == {calls[1].call_id, calls[2].call_id, later.call_id}
    assert sizes(node) == [3, 3]
    assert node.stop() == 0


def test_shutdown_writes_on_stop_only(
    url: str, rows: Rows, make_node: MakeNode, sides: MakeSides
) -> None:
    node = node_with(make_node, url, "shutdown")
    wait_for(lambda: node.ctl("db_status")["loaded"])
    caller, callee = sides(node)
    calls = [Call(caller, callee, number) for number in range(2)]
    calls[0].hang_up(callee, 1)
    assert rows("SELECT * FROM dialog") == []
    assert node.stop() == 0
    assert [row["callid"] for row in rows("SELECT * FROM dialog")] == [calls[1].call_id]
    lose_everything(node)
    node.start()
    wait_for(lambda: sizes(node) == [1, 1])
    calls[1].hang_up(callee, 1)
    wait_for(lambda: sizes(node) == [0, 0])
    assert node.stop() == 0
    assert rows("SELECT * FROM dialog") == []


def opensips_row(number: int, port: int, **more: object) -> dict[str, object]:
    now = int(time.time())
    return {
        "dlg_id": (77 << 32) + number,
        "callid": f"theirs-{number}",
        "from_uri": "sip:alice@example.com",
        "from_tag": f"c{number}",
        "to_uri": "sip:bob@example.com",
        "to_tag": "b",
        "caller_cseq": "0",
        "callee_cseq": "3",
        "caller_ping_cseq": 0,
        "callee_ping_cseq": 7,
        "caller_route_set": None,
        "callee_route_set": None,
        "caller_contact": "sip:alice@127.0.0.1:5499",
        "callee_contact": "sip:bob@127.0.0.1:5499",
        "caller_sock": f"udp:127.0.0.1:{port}",
        "callee_sock": f"udp:127.0.0.1:{port}",
        "state": 4,
        "start_time": now - 60,
        "timeout": now + 3_600,
        "vars": b"account#4711|odd\\|name#a\\#b|",
        "profiles": "caller#alice|all/b#|unknown#x|",
        "flags": 1 << 3 | 1 << 6,
        **more,
    }


def insert(engine: Engine, row: dict[str, object]) -> None:
    names = ", ".join(row)
    marks = ", ".join(f":{name}" for name in row)
    with engine.begin() as connection:
        connection.execute(text(f"INSERT INTO dialog ({names}) VALUES ({marks})"), row)


def test_an_opensips_database_brings_its_calls(
    url: str, engine: Engine, rows: Rows, make_node: MakeNode, sides: MakeSides
) -> None:
    node = make_node(f'urls = ["{url}"]', SETTINGS.format(mode="realtime", more=""))
    (node.folder / "policy.py").write_text(POLICY)
    caller, callee = sides(node)
    contacts = {
        "caller_contact": f"sip:alice@127.0.0.1:{caller.port}",
        "callee_contact": f"sip:bob@127.0.0.1:{callee.port}",
    }
    insert(engine, opensips_row(1, node.port))
    insert(engine, opensips_row(2, node.port, state=5))
    insert(engine, opensips_row(3, node.port, timeout=int(time.time()) - 9, **contacts))
    hostile = {"callid": "x\r\nEvil: 1", "vars": b"\\", "profiles": "#|#"}
    insert(engine, opensips_row(4, node.port, **hostile))
    insert(engine, opensips_row(5, node.port, caller_contact="sip:a@b\r\nX: y"))
    insert(engine, opensips_row(6, node.port, vars=b"_v#zz|_sipherd#AAAA|", state=99))
    insert(engine, opensips_row(7, node.port, caller_sock="", callee_cseq="x", profiles="a" * 300))
    node.start()
    for side in (caller, callee):  # its lifetime was over: hung up as any other
        side.answer(side.receive("BYE sip:"), "200 OK")
    wait_for(lambda: node.ctl("db_status")["loaded"])
    shown = {each["callid"]: each for each in node.ctl("dlg_list_ctx")["Dialogs"]}
    assert {"theirs-1", "theirs-7"} <= set(shown) <= {"theirs-1", "theirs-3", "theirs-7"}
    assert shown["theirs-1"]["context"] == {
        "values": [{"account": "4711"}, {"odd|name": "a#b"}],
        "profiles": [{"caller": "alice"}, {"all": ""}, {"unknown": "x"}],
    }
    wait_for(lambda: sizes(node) == [1, 1])
    wait_for(lambda: {1, 4, 5, 6, 7} == {ends_with(row) for row in rows("SELECT * FROM dialog")})
    stored = {ends_with(row): row for row in rows("SELECT * FROM dialog")}
    assert stored[1]["dlg_id"] != (77 << 32) + 1, "it is ours now"
    assert stored[4]["dlg_id"] == (77 << 32) + 4, "what makes no sense is left alone"
    assert node.count("storage:rows_refused") == 3
    insert(engine, opensips_row(8, node.port))
    assert node.ctl("dlg_db_sync") == "OK"
    assert sizes(node) == [2, 2], "OK says that they are there"
    assert node.ctl("dlg_restore_db") == "OK"
    assert {ends_with(row) for row in rows("SELECT * FROM dialog")} == {1, 7, 8}


def ends_with(row: dict[str, object]) -> int:
    """The number in the tag of a row's caller."""
    return int(str(row["from_tag"])[1:])


def test_nodes_that_know_the_same_calls_load_each_others(
    url: str, rows: Rows, make_node: MakeNode, sides: MakeSides
) -> None:
    cluster = '[cluster]\nbind = "tcp://127.0.0.1:{}"\npeers = {{ {} = "tcp://127.0.0.1:9" }}\n'
    cluster += "insecure = true\n"
    node = node_with(make_node, url, "realtime")
    caller, callee = sides(node)
    call = Call(caller, callee, 1)
    wait_for(lambda: len(rows("SELECT dlg_id FROM dialog WHERE state = 4")) == 1)
    alone = node.file.read_text().replace("[node]\n", "[node]\nid = 2\n")
    together = alone.replace("[node]\n", '[node]\nsecret = "0123456789abcdef0123"\n')
    for settings, found in ((alone, 0), (together + cluster.format(free_port(2), 1), 1)):
        lose_everything(node)
        node.file.write_text(settings)
        node.start()
        wait_for(lambda: node.ctl("db_status")["loaded"])
        assert node.ctl("dlg_list")["count"] == found
    assert node.ctl("dlg_end_dlg", dialog_id=call.call_id) == "OK"
    wait_for(lambda: rows("SELECT * FROM dialog") == [])
