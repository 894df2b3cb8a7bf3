"""The supervisor with real processes: what dies is replaced, and nothing else notices."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from process_harness import HASTY, Server, ask_pid, is_alive, wait_for

from proxy.shm.places import PLACES
from workers.signals import Waiter
from workers.system import RealSystem

Make = Callable[..., Server]


def test_titles_and_rows(server: Server) -> None:
    rows = server.ctl("ps")["Processes"]
    assert [row["Type"] for row in rows] == [
        "supervisor",
        "timekeeper",
        "control",
        "udp worker 1",
        "udp worker 2",
        "udp worker 3",
    ]
    for row in rows:
        title = Path(f"/proc/{row['PID']}/cmdline").read_bytes().rstrip(b"\0").decode()
        assert title == f"sipherd: {row['Type']}"


def test_a_killed_worker_is_replaced_and_its_siblings_stay(server: Server) -> None:
    before = server.workers()
    for turn in range(20):
        victim = server.workers()[turn % 3]
        with server.client_of(victim) as client:
            os.kill(victim, signal.SIGKILL)
            assert ask_pid(client) != victim  # how soon is what loadtests.kill_storm says
    after = server.workers()
    assert not set(before) & set(after)  # each was killed at least once
    assert server.ctl("get_statistics", "sipherd:restarts") == {"sipherd:restarts": 20}
    assert server.status() is None


def test_siblings_keep_their_process(server: Server) -> None:
    first, second, third = server.workers()
    os.kill(second, signal.SIGKILL)
    wait_for(lambda: second not in server.workers())
    assert server.workers()[0::2] == [first, third]


def test_the_queue_of_a_killed_worker_is_read_by_the_next(server: Server) -> None:
    victim = server.workers()[0]
    with server.client_of(victim) as client:
        os.kill(victim, signal.SIGSTOP)
        for _ in range(20):
            client.send(b"pid")
        os.kill(victim, signal.SIGKILL)
        answers = {client.recv(100) for _ in range(20)}
    assert len(answers) == 1
    assert answers != {str(victim).encode()}


def test_every_kind_of_process_is_replaced(server: Server) -> None:
    for title, pid in server.children().items():
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda title=title, pid=pid: answers_as(server, title) not in {0, pid})


def answers_as(server: Server, title: str) -> int:
    try:
        return server.children().get(title, 0)
    except Exception:  # noqa: BLE001 - control itself may be the one that was killed
        return 0


def test_a_crash_is_logged_and_replaced(server: Server) -> None:
    victim = server.workers()[1]
    with server.client_of(victim) as client:
        client.send(b"crash")
        wait_for(lambda: "ZeroDivisionError" in server.log)
        assert ask_pid(client) != victim
    wait_for(lambda: "process replaced" in server.log)


def test_repeated_crashes_back_off_and_recover(server: Server) -> None:
    victim = server.workers()[1]
    with server.client_of(victim) as client:
        started = time.monotonic()
        for _ in range(8):
            client.send(b"segv")
            ask_pid(client)
        assert time.monotonic() - started > 0.2
    wait_for(lambda: "process ended" in server.log)


def test_a_stopped_worker_is_replaced(make_server: Make) -> None:
    server = make_server(HASTY).start()
    victim = server.workers()[0]
    with server.client_of(victim) as client:
        os.kill(victim, signal.SIGSTOP)
        client.send(b"pid")
        assert int(client.recv(100)) != victim
    assert not is_alive(victim)
    assert server.ctl("get_statistics", "hangs") == {"sipherd:hangs": 1}


def test_a_spinning_worker_writes_its_traces(make_server: Make) -> None:
    server = make_server(HASTY).start()
    victim = server.workers()[0]
    with server.client_of(victim) as client:
        client.send(b"hang")
        assert ask_pid(client) != victim
    assert "process hangs" in server.log
    assert "in obey" in server.log  # faulthandler's dump


def test_a_suspended_supervisor_kills_nobody(make_server: Make) -> None:
    server = make_server(HASTY).start()
    before = server.workers()
    everybody = [*server.children().values(), server.pid]
    for pid in everybody:
        os.kill(pid, signal.SIGSTOP)
    select.poll().poll(1_500)
    for pid in reversed(everybody):
        os.kill(pid, signal.SIGCONT)
    select.poll().poll(700)
    assert server.workers() == before
    assert server.ctl("get_statistics", "hangs") == {"sipherd:hangs": 0}


def test_no_orphan_outlives_the_supervisor(server: Server) -> None:
    children = list(server.children().values())
    server.signal(signal.SIGKILL)
    server.wait()
    wait_for(lambda: not any(is_alive(pid) for pid in children))


def test_a_worker_keeps_no_descriptors_of_others(server: Server) -> None:
    counts = []
    for _ in range(2):
        for victim in server.workers():
            with server.client_of(victim) as client:
                os.kill(victim, signal.SIGKILL)
                counts.append(ask_pid(client, b"fds"))
    assert max(counts[3:]) <= max(counts[:3])
    assert len(os.listdir(f"/proc/{server.pid}/fd")) < 60 + PLACES


def test_a_storm_of_signals(server: Server) -> None:
    storm = [signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGTTIN, signal.SIGTTOU]
    for turn in range(60):
        for number in [*storm, signal.SIGCHLD]:
            server.signal(number)
        victim = server.workers()[turn % 3]
        os.kill(victim, signal.SIGKILL)
        for number in storm:
            server.signal(number)
            with suppress(ProcessLookupError):
                os.kill(victim, number)
        wait_for(lambda victim=victim: victim not in server.workers())
    assert server.ctl("get_statistics", "restarts") == {"sipherd:restarts": 60}
    assert server.stop() == 0


def test_signals_to_a_worker_do_not_end_it(server: Server) -> None:
    worker = server.workers()[0]
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1):
        os.kill(worker, number)
    with server.client_of(worker) as client:
        assert ask_pid(client) == worker


def test_chatter_never_stops_a_worker(server: Server) -> None:
    worker = server.workers()[0]
    with server.client_of(worker) as client:
        server.signal(signal.SIGSTOP)  # nobody reads the log pipe now
        assert ask_pid(client, b"talk") == worker
        server.signal(signal.SIGCONT)
        assert ask_pid(client) == worker
    assert server.ctl("get_statistics", "log_lines_dropped")["sipherd:log_lines_dropped"] > 0


def ended(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_child_whose_number_is_lost_does_not_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fork has been made when there is no memory for the number that it gives."""
    system, fork, made = RealSystem(Waiter()), os.fork, []

    def lossy() -> int:
        if pid := fork():
            made.append(pid)
            raise MemoryError
        return 0

    before = len(os.listdir("/proc/self/fd"))
    monkeypatch.setattr(os, "fork", lossy)
    with pytest.raises(MemoryError):
        system.fork(lambda: 77)
    monkeypatch.setattr(os, "fork", fork)
    made.append(system.fork(lambda: 66))
    assert [ended(pid) for pid in made] == [1, 66]
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_child_that_fails_before_it_begins_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has all frames of the supervisor below it, and must not go on in them."""

    def no_memory(fd: int, length: int) -> bytes:
        raise MemoryError

    def fails() -> int:
        raise ZeroDivisionError

    system = RealSystem(Waiter())
    made = [system.fork(fails)]
    monkeypatch.setattr(os, "read", no_memory)
    made.append(system.fork(lambda: 66))
    assert [ended(pid) for pid in made] == [1, 1]
