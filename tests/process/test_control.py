"""The control socket with clients that mean no good, or nothing at all."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket

from process_harness import PATIENCE_S, Server, wait_for

from proxy.errors import SipherdError


def connection(server: Server) -> socket.socket:
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    client.settimeout(PATIENCE_S)
    client.connect(str(server.runtime / "control.sock"))
    return client


def answers(server: Server) -> bool:
    with contextlib.suppress(SipherdError):
        return bool(server.ctl("uptime"))
    return False


def test_connections_that_say_nothing_keep_nobody_out(server: Server) -> None:
    silent = [connection(server) for _ in range(100)]
    for client in silent[-50:]:
        client.send(b'{"jsonrpc"')
    assert server.ctl("uptime")
    for client in silent:
        client.close()


def test_connections_that_do_not_read_keep_nobody_out(server: Server) -> None:
    for number in range(200):
        contact = f"sip:{'x' * 400}@192.0.2.1"
        server.ctl("ul_add", "location", f"u{number}@x.example", contact, 3_600)
    line = b'{"jsonrpc":"2.0","id":1,"method":"ul_dump"}\n'
    deaf = [connection(server) for _ in range(70)]
    for client in deaf:
        client.sendall(line * 20)
    for _ in range(20):  # while their answers are being made
        assert server.ctl("uptime")
    for client in deaf:
        client.close()


def test_a_used_connection_outlives_those_that_are_not(server: Server) -> None:
    with connection(server) as used, used.makefile("rb") as lines:
        idle = []
        for _ in range(150):
            idle.append(connection(server))
            used.sendall(b'{"jsonrpc":"2.0","id":1,"method":"version"}\n')
            assert lines.readline()
    for client in idle:
        client.close()


def test_a_folder_that_is_gone_is_a_sentence_and_ends_nothing(server: Server) -> None:
    control = server.children()["control"]
    workers = server.workers()
    shutil.move(server.runtime, server.folder / "moved")
    os.kill(control, signal.SIGKILL)
    wait_for(lambda: "cannot start" in server.log)
    assert "Traceback" not in server.log
    assert "unexpected error" not in server.log
    shutil.move(server.folder / "moved", server.runtime)
    wait_for(lambda: answers(server), 10)
    assert server.status() is None
    assert server.workers() == workers
