"""What a worker makes of its configuration."""

from __future__ import annotations

import pytest
from test_resolver import DnsServer

from proxy.sip.address import Address
from workers.child import Child
from workers.config import Resolver as Settings

V4, V6 = Address.parse(b"127.0.0.1", 5060), Address.parse(b"::1", 5060)


@pytest.mark.compiled
@pytest.mark.parametrize(
    ("listeners", "asked"),
    [([V4], ["A"]), ([V6], ["AAAA"]), ([V6, V4, V4], ["A", "AAAA"])],
)
def test_the_resolver_asks_for_what_listeners_can_reach(
    listeners: list[Address], asked: list[str], child: Child
) -> None:
    from workers.udp_worker import resolver_of

    server = DnsServer()
    settings = Settings.model_validate({"nameservers": [server.address], "timeout_seconds": 0.5})
    child.config = child.config.model_copy(update={"resolver": settings})
    child.listeners = listeners
    resolver = resolver_of(child, lambda fd, readable, writable: None)
    with server.socket:
        resolver.resolve(b"gw.example.net", 5060, b"", lambda located: None)
        server.socket.settimeout(2)
        for _ in asked:
            server.handle()
        resolver.close()
    assert sorted(kind for _, kind in server.asked) == asked
