"""SIGHUP: all processes take over a new edition or none does, and nobody outside notices."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest
from process_harness import PATIENCE_S, SETTINGS, Server, wait_for
from sip_phone import phone_of

Make = Callable[..., Server]
RELOADS = 8  # twenty, with calls: tests/e2e/test_endurance.py

POLICY = """
async def on_request(request):
    if request.uri.user == b"slow":
        await request.sleep(1.0)
    request.reply(STATUS)
"""
TESTED = (
    POLICY
    + """

def self_test():
    assert STATUS != 299, "299 is not for us"
"""
)

# The real worker is compiled through and through.
pytestmark = pytest.mark.compiled


def policy_server(make_server: Make) -> Server:
    server = make_server(SETTINGS.replace("[log]", '[routing]\nscript = "policy.py"\n[log]'), "sip")
    write(server, 210)
    return server.start()


def write(server: Server, status: int, text: str = TESTED) -> None:
    (server.folder / "policy.py").write_text(text.replace("STATUS", str(status)))


def editions(server: Server) -> set[int]:
    return {row["Edition"] for row in server.ctl("ps")["Processes"][1:]}


def reload(server: Server) -> None:
    """Have the files read anew, and wait for what becomes of it."""
    before = outcomes(server)
    server.signal(signal.SIGHUP)
    wait_for(lambda: outcomes(server) > before)


def outcomes(server: Server) -> int:
    found = server.ctl("get_statistics", "reloads", "reloads_refused")
    return sum(found.values())


def status_of(phone: object, call_id: str, user: str = "any") -> bytes:
    phone.send(user, call_id)  # type: ignore[attr-defined]
    phone.client.settimeout(PATIENCE_S)  # type: ignore[attr-defined]
    return bytes(phone.client.recv(4_096).split(b" ", 2)[1])  # type: ignore[attr-defined]


def test_a_new_policy_and_new_settings_hold_for_everybody(make_server: Make) -> None:
    server = policy_server(make_server)
    assert editions(server) == {1}
    with phone_of(server) as phone:
        assert status_of(phone, "a") == b"210"
        write(server, 220)
        server.file.write_text(server.file.read_text() + "[registrar]\nmax_expires = 3600\n")
        reload(server)
        wait_for(lambda: editions(server) == {2})
        assert {status_of(phone, f"b{number}") for number in range(20)} == {b"220"}
    assert "reloaded edition=2 changed=registrar.max_expires" in server.log


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("not toml", "this is not TOML"),
        ("[node]\nid = 5\n", "[node] id cannot change while the server runs"),
        ("[registrar]\nmin_expires = 9999\n", "needs min_expires"),
    ],
)
def test_a_broken_file_changes_nothing_and_says_why(
    make_server: Make, what: str, said: str
) -> None:
    server = policy_server(make_server)
    good = server.file.read_text()
    server.file.write_text(good.replace('[node]\nruntime_dir = "var"\n', what) + "")
    if "[node]" in what:
        server.file.write_text(good.replace("[node]\n", what))
    elif "[registrar]" in what:
        server.file.write_text(good + what)
    reload(server)
    assert editions(server) == {1}
    assert said in server.log
    server.file.write_text(good)
    reload(server)
    wait_for(lambda: editions(server) == {2})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def on_request(", "no valid Python"),
        ("1 / 0", "ZeroDivisionError"),
        ("import sys\nsys.exit(3)", "SystemExit"),
        ("import os\nos._exit(3)", "exit status 3"),
        ("import os\nos.kill(os.getpid(), 9)", "SIGKILL"),
        (TESTED.replace("STATUS", "299"), "299 is not for us"),
        ("x = 1", "no `async def on_request"),
    ],
)
def test_a_broken_policy_changes_nothing_and_says_why(
    make_server: Make, text: str, said: str
) -> None:
    server = policy_server(make_server)
    write(server, 0, text)
    reload(server)
    assert said in server.log
    with phone_of(server) as phone:
        # Who replaces a dead worker now serves by the edition that holds, not by the broken file.
        for pid in server.workers():
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda: phone.is_answered("z", 0.2) or phone.send("any", "z"))
        assert {status_of(phone, f"c{number}") for number in range(20)} == {b"210"}
    assert editions(server) == {1}


def test_what_is_under_way_ends_by_the_policy_it_began_with(make_server: Make) -> None:
    server = policy_server(make_server)
    with phone_of(server) as phone, phone_of(server) as other:
        for number in range(10):
            phone.send("slow", f"s{number}")
        wait_for(lambda: server.ctl("get_statistics", "rcv_requests")["core:rcv_requests"] >= 10)
        write(server, 220)
        reload(server)
        wait_for(lambda: editions(server) == {2})
        assert status_of(other, "new") == b"220"
        phone.client.settimeout(PATIENCE_S)
        seen = {bytes(phone.client.recv(4_096).split(b" ", 2)[1]) for _ in range(10)}
        assert seen == {b"210"}


def test_reloads_under_load_lose_nothing(make_server: Make) -> None:
    server = policy_server(make_server)
    good = 0
    with phone_of(server) as phone:
        for number in range(RELOADS):
            broken = number % 3 == 2
            good += not broken
            write(server, 210, "1 / 0" if broken else TESTED)
            before = outcomes(server)
            server.signal(signal.SIGHUP)
            rounds = 0
            while outcomes(server) == before:
                rounds += 1
                sent = {f"l{number}-{rounds}-{each}" for each in range(50)}
                for call_id in sent:
                    phone.send("any", call_id)
                assert phone.are_answered(sent, PATIENCE_S), "a message was lost"
        wait_for(lambda: editions(server) == {good + 1})
    statistics = server.ctl("get_statistics", "reloads", "reloads_refused")
    assert statistics == {"sipherd:reloads": good, "sipherd:reloads_refused": RELOADS - good}


def test_signals_that_come_while_a_reload_is_under_way_are_one_more(make_server: Make) -> None:
    server = policy_server(make_server)
    for _ in range(50):
        server.signal(signal.SIGHUP)
    wait_for(lambda: min(editions(server)) >= 2)
    before = outcomes(server)
    write(server, 230)
    server.signal(signal.SIGHUP)
    wait_for(lambda: outcomes(server) > before)
    with phone_of(server) as phone:
        wait_for(lambda: status_of(phone, "last") == b"230")
    assert server.status() is None


def test_the_log_is_reopened(make_server: Make) -> None:
    server = make_server(SETTINGS + 'file = "log"\n', "sip")
    log = server.folder / "log"
    server.launch()
    wait_for(lambda: log.exists() and " running " in log.read_text(), 20)
    log.rename(server.folder / "log.1")
    server.signal(signal.SIGUSR1)
    wait_for(lambda: log.exists() and "log reopened" in log.read_text())
