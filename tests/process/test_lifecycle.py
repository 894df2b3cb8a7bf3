"""Beginning and end: signals, deadlines, refusals, and what a restart finds."""

from __future__ import annotations

import os
import re
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from process_harness import HASTY, SETTINGS, Server, is_alive, wait_for

Make = Callable[..., Server]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_graceful_stop(server: Server, number: int) -> None:
    children = list(server.children().values())
    server.signal(number)
    assert server.wait() == 0
    assert not any(is_alive(pid) for pid in children)
    assert "stopped clean=True" in server.log


def test_quit_is_at_once(make_server: Make) -> None:
    server = make_server(SETTINGS.replace("grace_seconds = 5", "grace_seconds = 60"), "deaf")
    server.start()
    server.signal(signal.SIGQUIT)
    assert server.wait() == 0, "in less than its grace"
    assert "stopped clean=False" in server.log


def test_grace_has_an_end(make_server: Make) -> None:
    settings = HASTY.replace("drain_seconds = 5", "drain_seconds = 0")
    server = make_server(settings, "deaf").start()
    asked = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - asked >= 1.0


def test_asking_twice_ends_the_grace(make_server: Make) -> None:
    server = make_server(SETTINGS.replace("grace_seconds = 5", "grace_seconds = 60"), "deaf")
    server.start()
    server.signal(signal.SIGTERM)
    wait_for(lambda: " stopping " in server.log)
    server.signal(signal.SIGTERM)
    assert server.wait() == 0


def test_a_worker_that_refuses_to_start_ends_the_start(make_server: Make) -> None:
    server = make_server(worker="refuse").launch()
    assert server.wait() == 1
    assert "the policy does not compile." in server.log
    assert re.search(r"udp worker \d could not start", server.log)  # whoever was reaped first


def test_a_worker_that_never_comes_up_ends_the_start(make_server: Make) -> None:
    server = make_server(worker="never_up").launch()
    assert server.wait() == 1
    assert "times before it was up: killed by SIGKILL" in server.log


def test_a_taken_port_is_a_sentence(make_server: Make) -> None:
    server = make_server()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", server.port))
        assert server.launch().wait() == 1
    assert server.log == f"udp 127.0.0.1:{server.port} is taken: another program listens there.\n"


def test_a_second_server_on_the_same_address_is_refused(server: Server, make_server: Make) -> None:
    second = make_server(SETTINGS.replace("PORT", str(server.port))).launch()
    assert second.wait() == 1
    assert "is taken" in second.log
    assert server.status() is None


def test_a_second_server_in_the_same_folder_is_refused(server: Server, make_server: Make) -> None:
    settings = SETTINGS.replace('"var"', f'"{server.runtime}"')
    second = make_server(settings).launch()
    assert second.wait() == 1
    assert f"is in use by another sipherd (process {server.pid})" in second.log
    assert server.ctl("uptime")


def test_a_folder_that_cannot_be_made_is_a_sentence(make_server: Make) -> None:
    server = make_server(SETTINGS.replace('"var"', '"/proc/sipherd"')).launch()
    assert server.wait() == 1
    assert server.log == "/proc/sipherd cannot be written to: No such file or directory.\n"


@pytest.mark.parametrize("name", ["secret", "sipherd.lock", "shards.table", "inbox-1.ring"])
def test_a_folder_where_a_file_belongs_is_a_sentence(make_server: Make, name: str) -> None:
    server = make_server()
    (server.runtime / name).mkdir(parents=True)
    assert server.launch().wait() == 1
    assert server.log == f"{server.runtime / name} cannot be used: Is a directory.\n"


def test_a_log_that_cannot_be_written_is_a_sentence(make_server: Make) -> None:
    server = make_server(SETTINGS + 'file = "/proc/sipherd/log"\n').launch()
    assert server.wait() == 1
    assert server.log == "/proc/sipherd/log cannot be used: No such file or directory.\n"


def test_a_mistaken_configuration_is_a_sentence_each(make_server: Make) -> None:
    server = make_server("[workers]\nudp = 0\n[nonsense]\n").launch()
    assert server.wait() == 1
    assert server.log.splitlines() == [
        f"{server.file}:2: [workers] udp must be at least 1, not 0.",
        f"{server.file}:3: unknown section [nonsense].",
    ]


def register(server: Server, count: int) -> None:
    for number in range(count):
        server.ctl("ul_add", "location", f"u{number}@x.example", f"sip:u{number}@192.0.2.1", 3_600)


def registered(server: Server) -> int:
    return int(server.ctl("get_statistics", "registered_users")["usrloc:registered_users"])


def test_a_restart_is_warm(server: Server) -> None:
    register(server, 20)
    assert server.stop() == 0
    server.start()
    assert registered(server) == 20
    assert "was_clean=True" in server.log


def test_a_restart_after_the_death_of_all_is_warm(server: Server) -> None:
    register(server, 20)
    for pid in [server.pid, *server.children().values()]:
        os.kill(pid, signal.SIGKILL)
    server.wait()
    server.start()
    assert registered(server) == 20
    assert "was_clean=False" in server.log
    contact = server.ctl("ul_show_contact", "location", "u7@x.example")["Contacts"][0]
    assert contact["Contact"] == "sip:u7@192.0.2.1"


def test_a_changed_capacity_keeps_the_records(server: Server) -> None:
    register(server, 20)
    assert server.stop() == 0
    server.file.write_text(server.file.read_text().replace("1000", "5000"))
    server.start()
    assert registered(server) == 20
    assert server.ctl("get_statistics", "location_capacity") == {"sipherd:location_capacity": 5_000}


def test_a_bad_file_is_put_aside_and_three_are_kept(make_server: Make) -> None:
    server = make_server()
    table = server.runtime / "location.table"
    for _ in range(4):
        server.start()
        assert server.stop() == 0
        table.write_bytes(b"nonsense" * 4_096)
    server.start()
    assert server.log.count("table file refused") == 4
    assert sorted(path.name for path in server.runtime.glob("*.bad-*")) == [
        "location.table.bad-1",
        "location.table.bad-2",
        "location.table.bad-3",
    ]
    assert registered(server) == 0


def test_the_secret_is_made_once(server: Server) -> None:
    secret = server.runtime / "secret"
    kept = secret.read_bytes()
    assert len(kept) == 32
    assert secret.stat().st_mode & 0o777 == 0o600
    server.stop()
    server.start()
    assert secret.read_bytes() == kept


def test_nothing_is_left_behind_but_what_is_kept(server: Server) -> None:
    assert server.stop() == 0
    names = {path.name for path in Path(server.runtime).iterdir()}
    assert names <= {
        "location.table",
        "processes.table",
        "workers.table",
        "kept-1.set",
        "kept-2.set",
        "kept-3.set",
        "shards.table",
        "limits.table",
        "changes.ring",
        "questions.ring",
        "storage.state",
        "inbox-1.ring",
        "inbox-2.ring",
        "inbox-3.ring",
        "sipherd.lock",
        "secret",
        "control.sock",
    }
