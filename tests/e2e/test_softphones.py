"""Two real softphones: register, call, answer, talk, hang up."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from loadtests.servers import Sipherd, wait_until
from tests.e2e.baresip_runner import Baresip


def talk(caller: Baresip, callee: Baresip) -> None:
    """One call with sound both ways, straight between the two, ended by the caller."""
    caller.command("dial", f"sip:{callee.user}@{callee.domain}")
    callee.wait_event("CALL_INCOMING")
    callee.command("accept")
    caller.wait_event("CALL_ESTABLISHED")
    callee.wait_event("CALL_ESTABLISHED")
    assert wait_until(lambda: callee.heard(caller.tone), 20, 0.1), callee.output
    assert wait_until(lambda: caller.heard(callee.tone), 20, 0.1), caller.output
    assert callee.media_source() in caller.rtp_ports
    assert caller.media_source() in callee.rtp_ports
    caller.command("hangup")
    callee.wait_event("CALL_CLOSED")


@pytest.mark.parametrize(
    ("local", "outbound"),
    [("127.0.0.1", True), ("127.0.0.1", False), ("::1", False)],
    ids=["outbound-proxy", "address-as-domain", "ipv6"],
)
def test_two_softphones_talk(baresip: Callable[..., Baresip], local: str, outbound: bool) -> None:
    alice = baresip("alice", tone=440.0, local=local, outbound=outbound)
    bob = baresip("bob", tone=700.0, local=local, outbound=outbound)
    alice.wait_registered()
    bob.wait_registered()
    talk(alice, bob)
    talk(bob, alice)


def test_refused_call_reaches_the_caller(baresip: Callable[..., Baresip]) -> None:
    alice, bob = baresip("alice"), baresip("bob")
    alice.wait_registered()
    bob.wait_registered()
    alice.command("dial", f"sip:{bob.user}@{bob.domain}")
    bob.wait_event("CALL_INCOMING")
    bob.command("hangup")
    assert "486" in alice.wait_event("CALL_CLOSED")["param"]


def test_caller_gives_up(baresip: Callable[..., Baresip]) -> None:
    alice, bob = baresip("alice"), baresip("bob")
    alice.wait_registered()
    bob.wait_registered()
    alice.command("dial", f"sip:{bob.user}@{bob.domain}")
    bob.wait_event("CALL_INCOMING")
    alice.wait_event("CALL_RINGING")
    alice.command("hangup")
    bob.wait_event("CALL_CLOSED")
    bob.command("reginfo")  # it is still there and has no call any more


@pytest.mark.ours
def test_caller_and_callee_on_different_workers(
    sipherd: Sipherd, baresip: Callable[..., Baresip]
) -> None:
    """A call whose two telephones' sockets feed different workers: one of them hands over."""
    alice, bob = baresip("alice", answer="auto"), baresip("bob", answer="auto")
    alice.wait_registered()
    bob.wait_registered()
    for _ in range(12):
        before = sipherd.statistics("sipherd:")["sipherd:handed_off"]
        alice.command("dial", f"sip:{bob.user}@{bob.domain}")
        alice.wait_event("CALL_ESTABLISHED")
        alice.command("hangup")
        bob.wait_event("CALL_CLOSED")
        if sipherd.statistics("sipherd:")["sipherd:handed_off"] > before:
            return
    pytest.fail("twelve calls, none was handed from one worker to the other")
