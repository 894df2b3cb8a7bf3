"""Commands about pipes and bans, in OpenSIPS' shapes."""

from __future__ import annotations

import time

import pytest

from proxy.limits.algorithms import SBT, TAILDROP
from proxy.limits.source import source_of
from proxy.shm import pipe_view
from proxy.shm.sources import Sources
from workers.child import Child
from workers.commands import Commands
from workers.commands.command import CommandError


@pytest.fixture
def now() -> int:
    return time.monotonic_ns() // 1_000_000


@pytest.fixture
def commands(child: Child, now: int) -> Commands:
    pipes = child.tables.pipes
    for _ in range(3):
        pipes.check(b"trunk1", 10, SBT, now)
        pipes.check(b"calls", 5, TAILDROP, now)
    pipe_view.accept(pipes, b"trunk1", 2, 1, 4, now)
    return Commands(child)


def refusal(commands: Commands, name: str, **params: str) -> tuple[int, str]:
    with pytest.raises(CommandError) as caught:
        commands.call(name, params)
    return caught.value.code, str(caught.value)


def test_rl_list(commands: Commands) -> None:
    calls = {"id": "calls", "algorithm": "TAILDROP", "limit": 5, "counter": 3}
    trunk = {"id": "trunk1", "algorithm": "SBT", "limit": 10, "counter": 3}
    assert commands.call("rl_list", {}) == {"Pipes": [calls, trunk], "drop_rate": 0}
    assert commands.call("rl_list", ["trunk1"]) == {"Pipe": trunk, "drop_rate": 0}
    assert commands.call("rl_list", {"filter": "tr*"})["Pipes"] == [trunk]
    assert commands.call("rl_list", {"filter_out": "tr*"})["Pipes"] == [calls]
    assert refusal(commands, "rl_list", pipe="nobody") == (404, "Pipe Not Found")


def test_a_long_name_is_found_as_the_policy_wrote_it(child: Child, now: int) -> None:
    child.tables.pipes.check(b"n" * 200, 10, SBT, now)
    shown = Commands(child).call("rl_list", {"pipe": "n" * 200})
    assert shown["Pipe"]["counter"] == 1
    assert shown["Pipe"]["id"].startswith("n" * 47 + "~")


def test_rl_dump_pipe(commands: Commands) -> None:
    shown = commands.call("rl_dump_pipe", ["trunk1"])
    window = shown.pop("Window")
    assert shown == {
        "Pipe": "trunk1",
        "Algorithm": "SBT",
        "Counter": 3,
        "Replication Nodes": [{"MachineID": 2, "NodeCounter": 4}],
        "Total": 7,
    }
    assert (window["Status"], window["Window Size"], window["Bucket Total"]) == ("OK", 50, 3)
    assert [bucket["Index"] for bucket in window["Buckets"]] == list(range(50))
    assert sum(bucket["Count"] for bucket in window["Buckets"]) == 3
    assert list(commands.call("rl_dump_pipe", ["calls"])) == [
        "Pipe",
        "Algorithm",
        "Counter",
        "Replication Nodes",
        "Total",
    ]
    assert refusal(commands, "rl_dump_pipe", pipe="nobody") == (404, "Pipe Not Found")


def test_rl_reset_pipe(commands: Commands) -> None:
    assert commands.call("rl_reset_pipe", ["trunk1"]) == "OK"
    shown = commands.call("rl_dump_pipe", ["trunk1"])
    assert (shown["Counter"], shown["Total"]) == (0, 4)
    assert refusal(commands, "rl_reset_pipe", pipe="nobody") == (404, "Pipe Not Found")


def test_gains(commands: Commands) -> None:
    assert commands.call("rl_get_pid", {}) == {"ki": -25.0, "kp": 0.0, "kd": 0.0}
    assert commands.call("rl_set_pid", ["-10.5", "1", "0.25"]) == "OK"
    assert commands.call("rl_get_pid", {}) == {"ki": -10.5, "kp": 1.0, "kd": 0.25}
    for wrong in ("much", "nan", "inf", "1e9"):
        code, words = refusal(commands, "rl_set_pid", ki=wrong, kp="0", kd="0")
        assert (code, words.split(":")[0]) == (-32_602, "Invalid params")


def test_nobody_is_banned_without_a_guard(commands: Commands) -> None:
    assert commands.call("pike_list", {}) == {"IPs": []}
    assert refusal(commands, "pike_rm", ip="192.0.2.1") == (404, "Match not found")
    assert refusal(commands, "pike_rm", ip="nonsense") == (-32_602, "Bad IP")


def test_bans_are_listed_and_lifted(child: Child, now: int) -> None:
    sources = child.tables.sources = Sources.create(None, 64, unit=2_000, density=30)
    for host in ("192.0.2.1", "2001:db8::1", "198.51.100.1"):
        sources.note(source_of(host), now)
        sources.ban(source_of(host), now + (60_000 if host != "198.51.100.1" else 0))
    commands = Commands(child)
    assert set(commands.call("pike_list", {})["IPs"]) == {"192.0.2.1", "2001:db8::/64"}
    assert commands.call("pike_rm", ["192.0.2.1"]) == "OK"
    assert commands.call("pike_rm", ["2001:db8::/64"]) == "OK"
    assert commands.call("pike_list", {}) == {"IPs": []}
    assert refusal(commands, "pike_rm", ip="192.0.2.1") == (404, "Match not found")
