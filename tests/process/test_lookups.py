"""A policy asks web servers by way of a process of their own."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from process_harness import SETTINGS, Server, wait_for
from sip_phone import options

Make = Callable[..., Server]
pytestmark = pytest.mark.compiled

POLICY = """
async def on_request(request):
    user = request.uri.user.decode()
    url = f"http://127.0.0.1:WEB/{user}"
    if user == "told":
        answer = await request.http_post(url, b'{"a": 1}')
    elif user == "nowhere":
        answer = await request.http_get("http://127.0.0.1:1/")
    elif user == "nonsense":
        answer = await request.http_get("http://[::1/", timeout=3)
    else:
        answer = await request.http_get(url, timeout=0.5)
    name = answer.json({}).get("name", "")
    request.reply(200, f"{answer.status} {answer.failure or name}")
"""


class Web(BaseHTTPRequestHandler):
    """Answers by the path."""

    hold = threading.Event()

    def do_GET(self) -> None:
        if self.path == "/slow":
            self.hold.wait(5)
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/moved")
            self.end_headers()
            return
        body = b'{"name": "Alice"}' if self.path == "/alice" else b"x" * 100_000
        self.respond(
            404 if self.path == "/nobody" else 200, body[: 3 if "no" in self.path else None]
        )

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        kind = self.headers["Content-Type"].encode()
        self.respond(201, b'{"name": "%s %d"}' % (kind, len(body)))

    def respond(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def web() -> Iterator[int]:
    Web.hold.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Web)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server.server_port
    Web.hold.set()
    server.shutdown()
    thread.join()
    server.server_close()


def ask(client: socket.socket, user: str, call_id: str) -> str:
    client.send(options(user, call_id, client.getsockname()[1]))
    first = client.recv(4_096).split(b"\r\n")[0]
    return first.decode().removeprefix("SIP/2.0 200 ")


def test_a_policy_asks_the_web(make_server: Make, web: int) -> None:
    settings = SETTINGS.replace(
        "[log]", '[lookups]\nenabled = true\n[routing]\nscript = "policy.py"\n[log]'
    )
    server = make_server(settings, "sip")
    (server.folder / "policy.py").write_text(POLICY.replace("WEB", str(web)))
    server.start()
    with server.client() as client:
        assert ask(client, "alice", "1") == "200 Alice"
        assert ask(client, "told", "2") == "201 application/json 8"
        assert ask(client, "nobody", "3") == "404 "
        assert ask(client, "large", "4") == "0 the answer is too large"
        assert ask(client, "nowhere", "5") == "0 no connection"
        assert ask(client, "moved", "6") == "0 no connection"
        assert ask(client, "nonsense", "6a") == "0 no connection"
        assert ask(client, "slow", "7") == "0 no answer in time"
        pid = server.children()["lookups"]
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: server.children().get("lookups", pid) != pid)
        answers = [ask(client, "alice", f"after{n}") for n in range(3)]
        assert answers[-1] == "200 Alice"
    found = server.ctl("get_statistics", "lookups", "lookup_failures")
    assert found["sipherd:lookups"] == 11
    assert found["sipherd:lookup_failures"] >= 4
    assert server.stop() == 0


def test_without_the_process_the_policy_is_told(make_server: Make) -> None:
    server = make_server(SETTINGS.replace("[log]", '[routing]\nscript = "policy.py"\n[log]'), "sip")
    (server.folder / "policy.py").write_text(POLICY)
    server.start()
    with server.client() as client:
        assert ask(client, "nowhere", "1") == "0 [lookups] enabled is false"
