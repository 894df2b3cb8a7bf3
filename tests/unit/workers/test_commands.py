"""Management commands: parameters, results in OpenSIPS' shapes, refusals."""

from __future__ import annotations

import time
from typing import Any

import orjson
import pytest

from proxy.limits import counters
from workers import control
from workers.child import Child
from workers.commands import Commands
from workers.commands.command import CommandError
from workers.control import ControlEndpoint

ADD = {"table_name": "location", "aor": "alice@example.com", "contact": "sip:a@192.0.2.1:5070"}


@pytest.fixture
def commands(child: Child) -> Commands:
    return Commands(child)


def refusal(commands: Commands, name: str, params: Any) -> tuple[int, str]:
    with pytest.raises(CommandError) as caught:
        commands.call(name, params)
    return caught.value.code, str(caught.value)


def test_a_contact_added_is_shown(commands: Commands) -> None:
    assert commands.call("ul_add", {**ADD, "expires": "600", "q": "0.7", "methods": 5951}) == "OK"
    shown = commands.call("ul_show_contact", ["location", "alice@example.com"])
    (contact,) = shown["Contacts"]
    assert shown["AOR"] == "alice@example.com"
    assert list(contact) == [
        "Contact",
        "ContactID",
        "Expires",
        "Q",
        "Callid",
        "Cseq",
        "User-agent",
        "State",
        "Flags",
        "Cflags",
        "Socket",
        "Methods",
    ]
    assert contact["Contact"] == "sip:a@192.0.2.1:5070"
    assert contact["Q"] == "0.7"
    assert contact["Methods"] == 5951
    assert 598 <= contact["Expires"] <= 600
    assert contact["ContactID"].isdigit()


def test_no_expiry_is_permanent(commands: Commands) -> None:
    commands.call("ul_add", {**ADD, "expires": 0})
    shown = commands.call("ul_show_contact", ["location", "alice@example.com"])
    assert shown["Contacts"][0]["Expires"] == "permanent"


@pytest.mark.parametrize(
    "aor",
    [
        "alice",
        "alice@example.com",
        "alice@EXAMPLE.com",
        "sip:alice@example.com",
        "%61lice",
        "SIP:alice",
    ],
)
def test_ways_to_write_an_aor(commands: Commands, aor: str) -> None:
    commands.call("ul_add", {**ADD, "expires": 600})
    assert commands.call("ul_show_contact", ["location", aor])["AOR"] == "alice@example.com"


def test_a_contact_in_angle_brackets(commands: Commands) -> None:
    commands.call("ul_add", {**ADD, "contact": "<sip:b@192.0.2.9;x=y>;q=1", "expires": 600})
    shown = commands.call("ul_show_contact", ["location", "alice"])
    assert shown["Contacts"][0]["Contact"] == "sip:b@192.0.2.9;x=y"


def test_removing(commands: Commands) -> None:
    commands.call("ul_add", {**ADD, "expires": 600})
    commands.call("ul_add", {**ADD, "contact": "sip:b@192.0.2.2", "expires": 600})
    assert commands.call("ul_rm_contact", ["location", "alice", "sip:b@192.0.2.2"]) == "OK"
    again = refusal(commands, "ul_rm_contact", ["location", "alice", "sip:b@192.0.2.2"])
    assert again == (404, "Contact not found")
    assert commands.call("ul_rm", ["location", "alice"]) == "OK"
    assert refusal(commands, "ul_rm", ["location", "alice"]) == (404, "AOR not found")
    assert refusal(commands, "ul_show_contact", ["location", "alice"]) == (404, "AOR not found")


def test_dump_in_pages(commands: Commands) -> None:
    for number in range(25):
        commands.call("ul_add", {**ADD, "aor": f"u{number}", "expires": 600})
    seen: list[str] = []
    for index in range(0, 30, 10):
        page = commands.call("ul_dump", {"brief": "1", "index": str(index), "counter": "10"})
        assert page["count"] == 25
        assert all(set(entry) == {"AOR"} for entry in page["Domains"][0]["AORs"])
        seen += [entry["AOR"] for entry in page["Domains"][0]["AORs"]]
    assert sorted(seen) == sorted(f"u{number}@example.com" for number in range(25))
    whole = commands.call("ul_dump", {})
    assert list(whole) == ["Domains"]
    assert len(whole["Domains"][0]["AORs"]) == 25
    assert whole["Domains"][0]["name"] == "location"


@pytest.mark.parametrize(
    ("name", "params", "code", "text"),
    [
        ("nope", {}, -32_601, "Method not found: nope"),
        ("call", {}, -32_601, "Method not found: call"),
        ("_records", {}, -32_601, "Method not found: _records"),
        ("ul_rm", {}, -32_602, "Invalid params: missing a required argument: 'table_name'"),
        ("ul_rm", ["location", "a", "b"], -32_602, "Invalid params: too many positional"),
        ("ul_rm", {"x": 1}, -32_602, "Invalid params"),
        ("ul_rm", ["nowhere", "a"], 404, "Table not found"),
        ("ul_rm", ["location", "a b@c"], -32_602, "Invalid params: aor"),
        ("ul_add", {**ADD, "expires": "soon"}, -32_602, "Invalid params: expires must be a number"),
        ("ul_add", {**ADD, "expires": -1}, -32_602, "Invalid params: expires"),
        ("ul_add", {**ADD, "expires": 2**40}, -32_602, "Invalid params: expires"),
        ("ul_add", {**ADD, "expires": 1, "q": "2"}, -32_602, "Invalid params: q must be 0 to 1"),
        ("ul_add", {**ADD, "expires": 1, "contact": "x"}, -32_602, "Invalid params: contact"),
        ("ul_add", {**ADD, "expires": 1, "contact": "*"}, -32_602, "Invalid params: contact"),
        ("help", ["nope"], 404, "unknown MI command"),
        ("get_statistics", ["nope:"], 404, "Statistics Not Found"),
        ("log_level", ["loud"], -32_602, "Invalid params: no log level loud"),
        ("log_level", ["debug", 99], 404, "Unknown process"),
    ],
)
def test_refusals(commands: Commands, name: str, params: Any, code: int, text: str) -> None:
    given = refusal(commands, name, params)
    assert given[0] == code
    assert given[1].startswith(text)


def test_statistics(commands: Commands, child: Child) -> None:
    child.tables.slots.counters(3).add(counters.RCV_REQUESTS, 5)
    child.tables.slots.counters(4).add(counters.RCV_REQUESTS, 2)
    assert commands.call("get_statistics", ["core:rcv_requests"]) == {"core:rcv_requests": 7}
    assert commands.call("get_statistics", ["rcv_requests"]) == {"core:rcv_requests": 7}
    assert commands.call("reset_statistics", {"statistics": "core:"}) == "OK"
    assert commands.call("get_statistics", ["rcv_requests"]) == {"core:rcv_requests": 0}
    child.tables.slots.counters(3).add(counters.RCV_REQUESTS)
    assert commands.call("get_statistics", ["rcv_requests"]) == {"core:rcv_requests": 1}


def test_groups_of_statistics(commands: Commands) -> None:
    commands.call("ul_add", {**ADD, "expires": 600})
    assert commands.call("get_statistics", {"statistics": "usrloc:"}) == {
        "usrloc:location-expires": 0,
        "usrloc:registered_users": 1,
        "usrloc:location-users": 1,
        "usrloc:location-contacts": 1,
    }
    both = commands.call("get_statistics", {"statistics": ["sl:", "tm:"]})
    assert {name.partition(":")[0] for name in both} == {"sl", "tm"}
    assert commands.call("get_statistics", ["sl:", "tm:"]) == both
    assert commands.call("get_statistics", ["sl:,tm:", "sl:"]) == both
    everything = commands.call("get_statistics", ["all"])
    assert set(counters.NAMES) < set(everything)
    assert all(type(value) is int for value in everything.values())
    kinds = commands.call("list_statistics", [])
    assert set(kinds) == set(everything)
    assert kinds["core:rcv_requests"] == "incremental"
    assert kinds["tm:inuse_transactions"] == "non-incremental"


def test_processes(commands: Commands) -> None:
    processes = commands.call("ps", {})["Processes"]
    assert [(row["ID"], row["Type"]) for row in processes] == [
        (0, "supervisor"),
        (3, "udp worker 1"),
    ]
    assert processes[1]["PID"] == 4_242


def test_uptime_and_version(commands: Commands) -> None:
    now = time.time()
    words = commands.call("uptime", {})["Up time"].split()
    assert words[1] == "[sec]"
    assert abs(int(words[0]) - (now - 1_000)) < 2
    assert commands.call("version", {})["Server"].startswith("sipherd (")


def test_log_levels(commands: Commands, child: Child) -> None:
    assert commands.call("log_level", ["debug"]) == {"New global log level": 4}
    assert commands.call("log_level", {"level": "-1", "pid": 4_242}) == {
        "Log level": -1,
        "PID": 4_242,
    }
    assert [row["Log level"] for row in commands.call("log_level", [])["Processes"]] == [4, -1]
    assert child.page.level(3) == -1
    assert commands.call("log_level", ["2"]) == {"New global log level": 2}


def test_every_command_has_help(commands: Commands) -> None:
    for name in commands.call("which", []):
        assert commands.call("help", [name])["Help"].endswith(".")


REQUEST = {"jsonrpc": "2.0", "id": 1, "method": "which"}


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"{", -32_700),
        (b"[]", -32_600),
        (b"3", -32_600),
        (b"{}", -32_600),
        (orjson.dumps([REQUEST] * 101), -32_600),
        (orjson.dumps({**REQUEST, "jsonrpc": "1.0"}), -32_600),
        (orjson.dumps({**REQUEST, "params": 3}), -32_600),
        (orjson.dumps({**REQUEST, "id": [1]}), -32_600),
        (orjson.dumps({**REQUEST, "method": "nope"}), -32_601),
        (orjson.dumps({**REQUEST, "method": "help"}), -32_602),
    ],
)
def test_json_rpc_errors(child: Child, line: bytes, code: int) -> None:
    answer = ControlEndpoint(child).answer(line)
    assert answer.endswith(b"\n")
    assert orjson.loads(answer)["error"]["code"] == code


def test_json_rpc(child: Child) -> None:
    endpoint = ControlEndpoint(child)
    answer = orjson.loads(endpoint.answer(orjson.dumps(REQUEST)))
    assert (answer["jsonrpc"], answer["id"]) == ("2.0", 1)
    assert "ul_dump" in answer["result"]
    assert endpoint.answer(b"\n") == b""
    assert endpoint.answer(b'{"jsonrpc":"2.0","method":"which"}') == b""
    batch = endpoint.answer(orjson.dumps([REQUEST, 3, {"jsonrpc": "2.0", "method": "which"}]))
    assert [("result" in each, each["id"]) for each in orjson.loads(batch)] == [
        (True, 1),
        (False, None),
    ]


def test_a_batch_whose_answer_is_too_long(child: Child, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "ANSWER_BYTES", 1_000)
    answer = orjson.loads(ControlEndpoint(child).answer(orjson.dumps([REQUEST] * 20)))
    assert answer["error"]["message"] == "Answer too long: ask one by one"


def test_a_command_that_breaks_is_an_answer(child: Child, lines: list[str]) -> None:
    endpoint = ControlEndpoint(child)
    endpoint._commands._commands["ps"] = lambda: 1 / 0
    answer = orjson.loads(endpoint.answer(b'{"jsonrpc":"2.0","id":"x","method":"ps"}'))
    assert answer["error"]["code"] == -32_603
    assert answer["id"] == "x"
    assert "command failed" in lines[-1]


def test_a_full_table_is_said_and_counted(child: Child) -> None:
    commands, endpoint = Commands(child), ControlEndpoint(child)
    for number in range(child.tables.location.capacity):
        commands.call("ul_add", {**ADD, "aor": f"u{number}@example.com", "expires": 600})
    request = {"jsonrpc": "2.0", "id": 1, "method": "ul_add", "params": {**ADD, "expires": 600}}
    answer = orjson.loads(endpoint.answer(orjson.dumps(request)))
    assert "holds its 1000 records" in answer["error"]["message"]
    assert child.tables.slots.total(counters.TABLE_FULL) == 1


def test_values_beyond_the_last_parameter_are_refused(commands: Commands) -> None:
    code, text = refusal(commands, "ul_show_contact", ["location", "a@b", "c"])
    assert (code, text) == (-32_602, "Invalid params: too many positional arguments")


def test_flags_are_kept_and_shown(commands: Commands) -> None:
    params = {**ADD, "expires": 600, "flags": "3", "cflags": "NAT"}
    assert commands.call("ul_add", params) == "OK"
    (contact,) = commands.call("ul_show_contact", ["location", "alice@example.com"])["Contacts"]
    assert (contact["Flags"], contact["Cflags"]) == (3, "NAT")


@pytest.mark.parametrize("wrong", [{"flags": -1}, {"flags": 32_768}, {"cflags": "LAN"}])
def test_flags_that_cannot_be_kept_are_refused(commands: Commands, wrong: dict[str, Any]) -> None:
    code, text = refusal(commands, "ul_add", {**ADD, "expires": 600, **wrong})
    assert code == -32_602
    assert "flag" in text
