"""The machine's load and the receive queues, as the timekeeper reads them."""

from __future__ import annotations

import socket

from proxy.limits.algorithms import FEEDBACK, NETWORK, SBT
from proxy.shm import pipe_view
from proxy.shm.pipes import ADMITTED, REFUSED
from workers.child import Child
from workers.load import QUEUES, LoadGauge, Ticks, busy_share, kernel_name, ticks_of, waiting_bytes
from workers.setting_types import Endpoint
from workers.settings import Listen

STAT = "cpu  100 5 20 800 50 1 2 3 0 0\ncpu0 1 1 1 1\n"
UDP = """   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid
  412: 0100007F:13C4 00000000:0000 07 00000000:00001A00 00:00000000 00000000     0
  413: 0100007F:13C4 00000000:0000 07 00000000:00000100 00:00000000 00000000     0
  414: 0200007F:13C4 00000000:0000 07 00000000:00000500 00:00000000 00000000     0
  rubbish
"""


def test_ticks() -> None:
    assert ticks_of(STAT) == Ticks(131, 981)
    assert ticks_of("") == Ticks(0, 0)


def test_the_load_between_two_readings() -> None:
    assert busy_share(Ticks(100, 1_000), Ticks(150, 1_100)) == 0.5
    assert busy_share(Ticks(100, 1_000), Ticks(100, 1_000)) == 0.0
    assert busy_share(Ticks(100, 1_000), Ticks(0, 0)) == 0.0


def test_queues_are_found_by_the_address_they_are_bound_to() -> None:
    v4 = kernel_name(Endpoint("127.0.0.1", 5060))
    assert v4 == "0100007F:13C4"
    assert kernel_name(Endpoint("::1", 5060)) == f"{'0' * 24}01000000:13C4"
    assert waiting_bytes(UDP, {v4}) == 0x1B00
    assert waiting_bytes("", {v4}) == 0


def test_what_waits_in_a_real_socket_is_seen(child: Child) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        listen = Listen(udp=(Endpoint("127.0.0.1", receiver.getsockname()[1]),))
        child.config = child.config.model_copy(update={"listen": listen})
        gauge = LoadGauge(child)
        gauge.turn(10.0)
        pipes = child.tables.pipes
        assert pipes.check(b"busy", 100, NETWORK, 10_000) == ADMITTED
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(bytes(1_000), receiver.getsockname())
        gauge.turn(10.2)
        assert pipes.check(b"busy", 100, NETWORK, 10_200) == REFUSED
        receiver.recv(2_000)
        gauge.turn(10.4)
        assert pipes.check(b"busy", 100, NETWORK, 10_400) == ADMITTED


def test_feedback_pipes_get_their_drop_rate(child: Child) -> None:
    pipes = child.tables.pipes
    gauge = LoadGauge(child)
    pipes.check(b"calm", 90, FEEDBACK, 10_000)
    pipes.check(b"strict", 50, FEEDBACK, 10_000)
    pipes.check(b"other", 50, SBT, 10_000)
    for _ in range(2):
        gauge.feed_back(0.6, 10_000)
    rates = {pipe.name: pipe.drop_rate for pipe in pipe_view.listing(pipes, 10_000)}
    assert rates == {b"calm": 0, b"strict": 500, b"other": 0}
    LoadGauge(child).feed_back(0.6, 11_000)  # after the death of the timekeeper
    dump = pipe_view.dump(pipes, b"strict", 11_000)
    assert dump is not None
    assert dump.pipe.drop_rate == 750


def test_unused_pipes_expire(child: Child) -> None:
    pipes = child.tables.pipes
    gauge = LoadGauge(child)
    pipes.check(b"p", 1, SBT, 10_000)
    gauge.turn(20.0)
    assert pipes.count == 1
    gauge.turn(20.0 + 3_700)
    assert pipes.count == 0


def test_a_machine_without_these_files_is_not_busy(child: Child) -> None:
    assert all(str(path).startswith("/proc/") for path in QUEUES)
    gauge = LoadGauge(child)
    gauge.turn(10.0)
    assert child.tables.pipes.check(b"p", 0, NETWORK, 10_000) == ADMITTED
