"""Which domains are ours."""

from __future__ import annotations

from pathlib import Path

from proxy.registrar.domains import Domains
from proxy.sip.uri import parse_uri
from tests.scenarios.world import World


def test_configured_and_listed() -> None:
    domains = Domains([b"Example.com"])
    assert domains.serves(b"example.com")
    assert not domains.serves(b"example.org")
    domains.replace(
        [[b" Example.ORG ", None, b"0"], [b"example.net", b"x", b"1"], [None, b"", b""]]
    )
    for host in (
        b"example.com",
        b"example.org",
        b"example.net",
        b"a.example.net",
        b"a.b.example.net",
    ):
        assert domains.serves(host)
    for host in (
        b"a.example.org",
        b"a.example.com",
        b"xexample.net",
        b"net",
        b"",
        b".",
        b"example",
    ):
        assert not domains.serves(host)
    domains.replace([])
    assert domains.serves(b"example.com")
    assert not domains.serves(b"a.example.net")


def test_a_node_serves_what_the_table_lists(tmp_path: Path) -> None:
    here = World(tmp_path)
    rows = [[b"example.net", None, b"1"]]
    there = parse_uri(b"sip:bob@x.example.net")
    assert not here.node.identity.is_ours(there)
    here.node.identity.domains.replace(rows)
    here.node.rules.domains.replace(rows)
    assert here.node.identity.is_ours(there)
    assert here.node.identity.serves(b"x.example.net")
    assert here.node.rules.domains.serves(there.host)
