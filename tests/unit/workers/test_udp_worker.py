"""What a worker makes of its configuration."""

from __future__ import annotations

import pytest
from test_resolver import DnsServer

from proxy.sip.address import Address
from workers.child import Child
from workers.settings import Registrar
from workers.settings import Resolver as Settings

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
        server.socket.settimeout(20)
        for _ in asked:
            server.handle()
        resolver.close()
    assert sorted(kind for _, kind in server.asked) == asked


@pytest.mark.compiled
def test_the_registrar_follows_its_settings(child: Child) -> None:
    from workers.udp_worker import rules_of

    registrar = {
        "when_full": "replace",
        "retry_after": 7,
        "short_expires": "raise",
        "path_mode": "strict",
        "cseq_delay": 3,
        "match_call_id": True,
    }
    usual = rules_of(child)
    assert (usual.cseq_delay, usual.refuse_brief, usual.takes_path) == (20, True, True)
    assert (usual.demands_path, usual.match_call_id) == (False, False)
    settings = Registrar.model_validate(registrar)
    child.config = child.config.model_copy(update={"registrar": settings})
    rules = rules_of(child)
    assert (rules.replace_when_full, rules.retry_after) == (True, b"Retry-After: 7\r\n")
    assert (rules.refuse_brief, rules.demands_path) == (False, True)
    assert (rules.cseq_delay, rules.match_call_id, rules.node) == (3, True, 7)
