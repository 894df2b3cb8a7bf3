"""`decide`: how a child ended, and what is done about it. No process is needed for that."""

from __future__ import annotations

import signal

import pytest

from workers.child import (
    FREE_EARLY_KILLS,
    FREE_FAILURES,
    LONGEST_DELAY_S,
    ChildSpec,
    Decision,
    Exit,
    ExitCode,
    Expected,
    GiveUp,
    Replace,
    Restart,
    Slot,
    decide,
    note_failure,
)


def slot(*, ever_up: bool = True, up: bool = True, restart: Restart = Restart.ALWAYS) -> Slot:
    made = Slot(ChildSpec("udp worker", lambda child: 0, restart=restart), 0, 3)
    made.ever_up = ever_up
    made.up_at = 1.0 if up else None
    return made


KILLED = Exit(7, None, signal.SIGKILL)
SEGV = Exit(7, None, signal.SIGSEGV)


def left(code: int) -> Exit:
    return Exit(7, code)


@pytest.mark.parametrize(
    ("exit", "where", "stopping", "decision"),
    [
        (left(0), slot(), True, Expected()),
        (KILLED, slot(), True, Expected()),
        (left(1), slot(restart=Restart.NEVER), False, Expected()),
        (KILLED, slot(), False, Replace(0.0)),
        (SEGV, slot(), False, Replace(0.0)),
        (left(0), slot(), False, Replace(0.0)),
        (left(1), slot(), False, Replace(0.0)),
        (left(ExitCode.BOOT_FAILED), slot(up=False), False, Replace(0.0)),
        (
            left(ExitCode.BOOT_FAILED),
            slot(ever_up=False, up=False),
            False,
            GiveUp("udp worker could not start"),
        ),
        (
            left(ExitCode.CONFIG_ERROR),
            slot(ever_up=False, up=False),
            False,
            GiveUp("udp worker could not start"),
        ),
        (KILLED, slot(ever_up=False, up=False), False, Replace(0.0)),
    ],
)
def test_decide(exit: Exit, where: Slot, stopping: bool, decision: Decision) -> None:
    assert decide(exit, where, stopping, now=10.0) == decision


def delays(exit: Exit, where: Slot, times: list[float]) -> list[float]:
    given = []
    for now in times:
        decision = decide(exit, where, False, now)
        note_failure(exit, where, now)
        assert isinstance(decision, Replace)
        given.append(decision.after_s)
    return given


def test_kills_from_outside_never_wait() -> None:
    assert set(delays(KILLED, slot(), [n / 100 for n in range(1_000)])) == {0.0}


def test_early_kills_from_outside_wait_only_when_there_are_many() -> None:
    given = delays(KILLED, slot(up=False), [n / 10 for n in range(40)])
    assert given[:FREE_EARLY_KILLS] == [0.0] * FREE_EARLY_KILLS
    assert given[FREE_EARLY_KILLS] > 0


def test_crashes_wait_longer_and_longer() -> None:
    given = delays(SEGV, slot(), [n / 10 for n in range(20)])
    assert given[:FREE_FAILURES] == [0.0] * FREE_FAILURES
    assert given[FREE_FAILURES] > 0
    assert given == sorted(given)
    assert given[-1] == LONGEST_DELAY_S


def test_rare_crashes_never_wait() -> None:
    assert set(delays(SEGV, slot(), [n * 60.0 for n in range(50)])) == {0.0}


def test_a_good_while_forgives() -> None:
    where = slot()
    delays(SEGV, where, [n / 10 for n in range(20)])
    assert delays(SEGV, where, [500.0]) == [0.0]


def test_a_boot_failure_later_waits_after_the_first() -> None:
    given = delays(left(ExitCode.BOOT_FAILED), slot(up=False), [0.0, 0.1, 0.2])
    assert given[0] == 0.0
    assert 0 < given[1] < given[2]


def test_who_never_comes_up_is_given_up() -> None:
    where = slot(ever_up=False, up=False)
    delays(SEGV, where, [n / 10 for n in range(FREE_FAILURES)])
    decision = decide(SEGV, where, False, 1.0)
    assert decision == GiveUp("udp worker ended 6 times before it was up: killed by SIGSEGV")


def test_who_hangs_at_start_is_given_up() -> None:
    where = slot(ever_up=False, up=False)
    where.aborted_at = 30.0
    decision = decide(Exit(7, None, signal.SIGABRT), where, False, 31.0)
    assert decision == GiveUp("udp worker did not come up within 30 s")


def test_who_was_killed_for_hanging_counts_as_failed() -> None:
    where = slot()
    where.aborted_at = 1.0
    note_failure(KILLED, where, 2.0)
    assert list(where.failures) == [2.0]


def test_words() -> None:
    assert str(KILLED) == "killed by SIGKILL"
    assert str(Exit(1, None, 99)) == "killed by signal 99"
    assert str(left(3)) == "exit status 3 (boot failed)"
    assert str(left(77)) == "exit status 77 (unknown)"


def test_titles_count_from_one() -> None:
    spec = ChildSpec("udp worker", lambda child: 0, count=2, reads_sockets=True)
    assert [spec.title(index) for index in range(2)] == ["udp worker 1", "udp worker 2"]
    assert ChildSpec("control", lambda child: 0).title(0) == "control"
