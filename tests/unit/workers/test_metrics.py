"""Metrics for Prometheus: what is exported, and what a scraper or a stranger is answered."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from prometheus_client.parser import text_string_to_metric_families

from proxy.limits import counters, measures
from proxy.shm.places import Order, Phase
from workers import message_metrics, metrics_endpoint
from workers.child import Child
from workers.edition import Area
from workers.logs import Log
from workers.metrics import NodeMetrics, metric_name
from workers.metrics_endpoint import MetricsEndpoint, status_of
from workers.setting_types import Endpoint
from workers.settings import Config, Node
from workers.shared_page import SharedPage
from workers.statistics import Statistics
from workers.tables import open_tables

ROOT = Path(__file__).resolve().parents[3]
DATABASE = {"url": 'mysql://db"1"/x', "state": "down", "in_use": True, "current": False}
STORAGE = {"databases": [{**DATABASE, "pending": 17}]}
PEER = {
    "node_id": 2,
    "next_hop": 2,
    "lag_ms": 250,
    "it_is_behind": 3,
    "behind": None,
    "clock_offset_ms": -5,
    "heard_ms_ago": 100,
}
STATUS = {"cluster_id": 1, "synced": True, "records": 9, "tombstones": 1, "peers": [PEER]}
LISTED: dict[str, Any] = {"Nodes": [{"link_state": "Up"}]}
CLUSTER = {"at": 0, "clusters": [{"status": STATUS, "list": LISTED}]}


@pytest.fixture
def whole(tmp_path: Path, log: Log) -> Iterator[Child]:
    """A node with everything switched on."""
    config = Config.model_validate(
        {
            "node": Node(id=1, domains=("example.com",), secret="s" * 16, runtime_dir=tmp_path),
            "location": {"capacity": 1_000},
            "storage": {"urls": ("sqlite:///" + str(tmp_path / "s.db"),)},
            "dialog": {"enabled": True, "capacity": 100, "profiles": ("trunk", "caller")},
            "cluster": {
                "bind": "tcp://127.0.0.1:7001",
                "peers": {"2": "tcp://127.0.0.2:7001"},
                "insecure": True,
            },
        }
    )
    tables = open_tables(config, log)
    tables.slots.claim(0, os.getpid(), "supervisor", 1_000)
    tables.slots.claim(3, 4_242, "udp worker 1", 1_001)
    tables.storage.write(orjson.dumps(STORAGE))
    assert tables.cluster_status is not None
    tables.cluster_status.write(orjson.dumps(CLUSTER))
    names = {"role": "control", "index": 0, "first": True, "slot": 2, "log": log}
    more = {"page": SharedPage(), "area": Area(), "config": config, "tables": tables}
    yield Child(ready=lambda: None, **names, **more)
    tables.close(clean=True)


def samples(child: Child) -> dict[str, float]:
    """What a scraper reads: name with labels, and value."""
    text = NodeMetrics(child).text().decode()
    return {
        sample.name + "".join(f" {key}={value}" for key, value in sorted(sample.labels.items())): (
            sample.value
        )
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_every_statistic_has_a_metric_of_its_own(whole: Child) -> None:
    whole.tables.slots.counters(3).add(counters.RCV_REQUESTS, 5)
    whole.tables.slots.counters(3).set(counters.TM_INUSE_TRANSACTIONS, 2)
    found = samples(whole)
    for name, kind in Statistics(whole).kinds(["all"]).items():
        assert metric_name(name) + ("_total" if kind == "incremental" else "") in found, name
    assert len({metric_name(name) for name in counters.NAMES}) == counters.COUNT
    assert found["sipherd_core_rcv_requests_total"] == 5
    assert found["sipherd_tm_inuse_transactions"] == 2
    assert found["sipherd_usrloc_location_expires_total"] == 0
    assert found["sipherd_receive_drops_total"] == 0
    assert found["sipherd_location_capacity"] == 1_000
    assert found["sipherd_dialog_capacity"] == 100


def test_what_is_no_statistic(whole: Child) -> None:
    table = whole.tables.profiles
    assert table is not None
    for number, value in enumerate((b"a", b"a", b"b")):
        assert table.join(b"trunk\0" + value, bytes([number + 1]) * 16, 0, 0, 1)
    whole.tables.open_place(5, whole.config.node.runtime_dir, 262_144)
    whole.tables.places.enter(5, 2, Order.HAND_OVER)
    whole.tables.places.reach(5, Phase.DRAINING, 7)
    whole.tables.places.announce()
    found = samples(whole)
    assert found["sipherd_workers generation=1"] == 2
    assert found["sipherd_workers generation=2"] == 1
    assert found["sipherd_draining_calls generation=2"] == 7
    assert found["sipherd_process_starts process=udp worker 1"] == 1
    assert found["sipherd_configuration_edition"] == 1
    assert found["sipherd_profile_dialogs profile=trunk"] == 3
    assert found["sipherd_profile_dialogs profile=caller"] == 0
    assert found['sipherd_database_up database=mysql://db"1"/x'] == 0
    assert found['sipherd_database_pending database=mysql://db"1"/x'] == 17
    assert found["sipherd_cluster_synced cluster=1"] == 1
    assert found["sipherd_peer_up cluster=1 node=2"] == 1
    assert found["sipherd_peer_lag_seconds cluster=1 node=2"] == 0.25
    assert found["sipherd_peer_clock_offset_seconds cluster=1 node=2"] == -0.005
    assert "sipherd_peer_unseen cluster=1 node=2" not in found, "nobody knows"
    assert found["sipherd_cluster_report_age_seconds"] > 0


def test_messages_and_times(whole: Child) -> None:
    row = whole.tables.slots.counters(3)
    row.add(measures.RECEIVED_METHOD + measures.METHODS.index("BYE"), 4)
    row.add(measures.SENT_CODE + 503 - measures.FIRST_CODE, 6)
    row.add(measures.WAITED + 1, 3)
    row.add(measures.WAITED + measures.STEPS - 1, 2)
    row.add(measures.WAITED + measures.STEPS, 5_000_000)
    row.add(measures.TAKEN + measures.HISTOGRAM, 1)
    found = samples(whole)
    assert found["sipherd_requests_received_total method=BYE"] == 4
    assert found["sipherd_requests_received_total method=other"] == 0
    assert found["sipherd_responses_sent_total code=503"] == 6
    assert "sipherd_responses_sent_total code=200" not in found
    assert found["sipherd_queue_delay_seconds_bucket le=0.0001"] == 0
    assert found["sipherd_queue_delay_seconds_bucket le=0.00025"] == 3
    assert found["sipherd_queue_delay_seconds_bucket le=1.0"] == 3
    assert found["sipherd_queue_delay_seconds_bucket le=+Inf"] == 5
    assert found["sipherd_queue_delay_seconds_count"] == 5
    assert found["sipherd_queue_delay_seconds_sum"] == 5
    assert found["sipherd_message_seconds_count kind=INVITE"] == 1


PROC = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid inode drops
 123: 0100007F:13C4 00000000:0000 07 00000000:00000000 00:00000000 00000000 0 0 25 2 0 17
 124: 0100007F:13C4 00000000:0000 07 00000000:00000000 00:00000000 00000000 0 0 26 2 0 5
garbage
"""


def test_drops_by_listener(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(message_metrics, "QUEUES", (Path("/a"),))
    monkeypatch.setattr(message_metrics, "read_text", lambda path: PROC)
    family = message_metrics.drops([Endpoint("127.0.0.1", port) for port in (5060, 5061)])
    assert {sample.labels["listener"]: sample.value for sample in family.samples} == {
        "127.0.0.1:5060": 22,
        "127.0.0.1:5061": 0,
    }


def test_what_is_switched_off_has_no_metrics(child: Child) -> None:
    found = samples(child)
    assert "sipherd_usrloc_registered_users" in found
    optional = (
        "sipherd_database_",
        "sipherd_peer_",
        "sipherd_profile_dialogs",
        "sipherd_dialog_capacity",
    )
    assert not [name for name in found if name.startswith(optional)]


def exported(child: Child) -> set[str]:
    """Every name that may be exported, those without a sample just now as well."""
    text = NodeMetrics(child).text().decode()
    kinds = dict(re.findall(r"^# TYPE (\S+) (\S+)", text, re.MULTILINE))
    return set(kinds) | {f"{name}_bucket" for name in kinds if kinds[name] == "histogram"}


def test_the_dashboard_names_only_what_is_exported(whole: Child) -> None:
    dashboard = json.loads((ROOT / "conf" / "grafana.json").read_text())
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ())]
    asked += [str(each["query"]) for each in dashboard["templating"]["list"]]
    named = {name for text in asked for name in re.findall(r"\bsipherd_\w+", text)}
    assert len(named) > 40
    assert named <= exported(whole)


def test_the_document_names_only_what_is_exported(whole: Child) -> None:
    text = (ROOT / "docs" / "operate.md").read_text()
    named = set(re.findall(r"\bsipherd_\w+", text.partition("\n## Metrics\n")[2]))
    assert named
    assert named <= exported(whole)


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"GET /metrics HTTP/1.1", 200),
        (b"GET /metrics?name=x HTTP/1.0", 200),
        (b"GET / HTTP/1.1", 404),
        (b"GET /metrics/ HTTP/1.1", 404),
        (b"POST /metrics HTTP/1.1", 404),
        (b"get /metrics HTTP/1.1", 404),
        (b"GET /metrics", 400),
        (b"GET  /metrics HTTP/1.1", 400),
        (b"GET /metrics HTTP/2.0", 400),
        (b"\x16\x03\x01\x02\x00\x01", 400),
        (b"", 400),
    ],
)
def test_requests(line: bytes, status: int) -> None:
    assert status_of(line + b"\r\nHost: x\r\n\r\n") == status


def test_an_answer_is_good_for_a_second(child: Child) -> None:
    now = 10.0
    endpoint = MetricsEndpoint(child, lambda: now)
    ask = b"GET /metrics HTTP/1.1\r\n\r\n"
    first = endpoint.answer(ask)
    assert first.startswith(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4;")
    child.tables.slots.counters(3).add(counters.RCV_REQUESTS)
    now += metrics_endpoint.FRESH_S / 2
    assert endpoint.answer(ask) == first
    now += metrics_endpoint.FRESH_S / 2
    assert b"\nsipherd_core_rcv_requests_total 1.0\n" in endpoint.answer(ask)


def test_a_fault_is_an_answer_and_a_log_line(whole: Child, lines: list[str]) -> None:
    whole.tables.storage.write(b"no JSON")
    answer = MetricsEndpoint(whole).answer(b"GET /metrics HTTP/1.1\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 500 ")
    assert any("metrics failed" in line for line in lines)
