"""What real workers count arrives at `get_statistics`."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest
from process_harness import SETTINGS, Server, wait_for

pytestmark = pytest.mark.compiled

STATISTICS = ("inuse_transactions", "retransmission_req_T1_1", "dns_queries", "dns_failures")
SCRIPT = """
from proxy.registrar.lookup import target_for


async def on_request(request):
    request.relay([target_for(request.uri.raw)])
"""


def message(host: str, call_id: str, port: int) -> bytes:
    return (
        f"MESSAGE sip:x@{host} SIP/2.0\r\n"
        f"Via: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bK{call_id}\r\n"
        "From: <sip:a@127.0.0.1>;tag=a\r\nTo: <sip:b@127.0.0.1>\r\n"
        f"Call-ID: {call_id}\r\nCSeq: 1 MESSAGE\r\nContent-Length: 0\r\n\r\n"
    ).encode()


def test_transactions_and_questions(make_server: Callable[..., Server]) -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as dns,
    ):
        silent.bind(("127.0.0.1", 0))
        dns.bind(("127.0.0.1", 0))
        settings = (
            f'[routing]\nscript = "policy.py"\n[resolver]\ntimeout_seconds = 0.1\n'
            f'nameservers = ["127.0.0.1:{dns.getsockname()[1]}"]\n'
        )
        server = make_server(SETTINGS + settings, "sip")
        (server.folder / "policy.py").write_text(SCRIPT)
        server.start()
        with server.client() as client:
            port = client.getsockname()[1]
            client.send(message(f"127.0.0.1:{silent.getsockname()[1]}", "one", port))
            client.send(message("gw.example.net:5060", "two", port))

            def counted() -> list[int]:
                found = server.ctl("get_statistics", *STATISTICS)
                return [found[name] for name in sorted(found)]

            # sipherd:dns_failures, sipherd:dns_queries, tm:inuse…, tm:retransmission…
            wait_for(lambda: counted() == [1, 1, 3, 1])
            assert b" 500 " in client.recv(4_096).splitlines()[0]  # no host, which is a 503 of ours
