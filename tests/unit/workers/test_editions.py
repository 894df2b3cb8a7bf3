"""Editions: offered, answered by everybody, taken by all or none."""

from __future__ import annotations

import os
import pickle
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from proxy.errors import ConfigError
from workers import trial
from workers.child import Exit, Slot
from workers.config import load
from workers.edition import Area, Edition, Taker
from workers.live_settings import LIVE, changes, mistakes
from workers.reload import PATIENCE_S, Reload
from workers.settings import Config
from workers.systemd import ServiceManager
from workers.trial import DEADLINE_S, GENTLE_S, NO_MEMORY, Refusal

OLD = Config()
NEW = Config.model_validate({"registrar": {"max_contacts": 3}})


class World:
    """A supervisor's reload with two processes, and all that it asks the system for."""

    def __init__(self) -> None:
        self.area = Area()
        self.config = OLD
        self.manager = ServiceManager()
        self.said: list[tuple[str, dict[str, object]]] = []
        self.killed: list[int] = []
        self.hurried: list[int] = []
        self.nice = 0
        self.fork_fails = False
        say = lambda event, **fields: self.said.append((event, fields))  # noqa: E731
        self.log = SimpleNamespace(notice=say, error=say)
        count = SimpleNamespace(add=lambda column: None)
        self.tables = SimpleNamespace(slots=SimpleNamespace(counters=lambda row: count))
        self.slots = [slot(1), slot(2)]
        self.children = [Process(self.area, 1), Process(self.area, 2)]
        self.reload = Reload(self, self, self)  # type: ignore[arg-type]
        self.now = 0.0
        # as Generations, of which nothing is wanted here
        self.idle, self.wanted = True, 2
        self.serving = SimpleNamespace(slots=self.slots, endpoints=OLD.listen.udp)

    def fork(self, child: Any) -> int:
        if self.fork_fails:
            raise OSError(11, "Resource temporarily unavailable")
        return 77

    def kill(self, pid: int, number: int) -> None:
        self.killed.append(pid)

    def hurry(self, pid: int) -> None:
        self.hurried.append(pid)

    def wake_workers(self) -> None:
        pass

    def take_over(self, edition: Edition) -> None:
        self.config = edition.config

    def turn(self, later: float = 0.0) -> None:
        self.now += later
        self.reload.turn(self.slots, self.now)

    def tried(self, verdict: Edition | Refusal | None, status: int = 1) -> None:
        """Ask for a reload whose trial comes to this verdict."""
        self.reload.ask()
        self.turn()
        if verdict is not None:
            self.area.put(pickle.dumps(verdict))
        exit = Exit(77, 0 if verdict is not None else status)
        assert self.reload.is_trial(exit)
        self.reload.trial_ended(exit, self.now)

    @property
    def reasons(self) -> list[object]:
        return [fields["reason"] for event, fields in self.said if event == "reload refused"]


class Process:
    """What a child is to its Taker."""

    def __init__(self, area: Area, row: int) -> None:
        self.config = OLD
        self.script = b""
        self.row = row
        self.willing = True
        self.commits = 0
        self.log = SimpleNamespace(error=lambda event, **fields: None)
        self.taker = Taker(area, row)

    def prepare(self, candidate: Any) -> Any:
        assert candidate.config is not self.config
        if not self.willing:
            raise ZeroDivisionError
        return self.commit

    def commit(self) -> None:
        self.commits += 1

    def look(self) -> None:
        self.taker.look(self)  # type: ignore[arg-type]


def slot(row: int) -> Slot:
    return Slot(SimpleNamespace(title=lambda index: f"process {row}"), 0, row, pid=row)  # type: ignore[arg-type]


def test_an_edition_is_taken_by_all_at_once() -> None:
    world = World()
    first, second = world.children
    world.tried(Edition(NEW, b"code"))
    first.look()
    world.turn()
    first.look()
    assert (world.config, first.config, world.area.holds) == (OLD, OLD, 1)
    second.look()
    world.turn()
    assert world.config == NEW
    assert first.config is OLD  # until it looks
    for child in world.children:
        child.look()
        child.look()
        assert (child.config, child.script, child.commits) == (NEW, b"code", 1)
    assert [world.area.active(row) for row in (1, 2)] == [2, 2]
    assert world.said == [("reloaded", {"edition": 2, "changed": "registrar.max_contacts"})]


def test_one_that_cannot_take_it_keeps_all_from_it() -> None:
    world = World()
    first, second = world.children
    second.willing = False
    world.tried(Edition(NEW, b""))
    first.look()
    second.look()
    world.turn()
    assert world.reasons == ["process 2 cannot take it over: see the line of that process"]
    for child in world.children:
        child.look()
        assert (child.config, child.commits) == (OLD, 0)
    assert [world.area.active(row) for row in (1, 2)] == [1, 1]


def test_one_that_does_not_answer_keeps_all_from_it() -> None:
    world = World()
    first, second = world.children
    world.tried(Edition(NEW, b""))
    first.look()
    world.turn(PATIENCE_S - 1)
    assert world.reasons == []
    world.turn(2)
    assert world.reasons == [f"process 2 did not answer within {PATIENCE_S:.0f} s"]
    first.look()
    second.look()  # too late: it is withdrawn
    assert (first.commits, second.commits, second.config) == (0, 0, OLD)


def test_who_is_forked_while_an_offer_is_open_answers_it() -> None:
    world = World()
    first, _ = world.children
    world.tried(Edition(NEW, b""))
    first.look()
    world.slots[1].pid = 0  # it has died
    reborn = Process(world.area, 2)
    world.slots[1].pid = 3
    world.turn()
    assert world.area.holds == 1
    reborn.look()
    world.turn()
    assert world.area.holds == 2
    reborn.look()
    assert reborn.config == NEW


def test_who_is_forked_after_an_offer_begins_with_what_holds() -> None:
    world = World()
    world.tried(Edition(NEW, b""))
    for child in world.children:
        child.look()
    world.turn()
    reborn = Process(world.area, 2)
    reborn.look()
    assert (reborn.commits, world.area.active(2)) == (0, 2)


def test_an_offer_that_follows_a_refused_one_is_another() -> None:
    world = World()
    second = world.children[1]
    second.willing = False
    world.tried(Edition(NEW, b""))
    for child in world.children:
        child.look()
    world.turn()
    second.willing = True
    world.tried(Edition(NEW, b""))
    for child in world.children:
        child.look()
    world.turn()
    for child in world.children:
        child.look()
    assert [child.commits for child in world.children] == [1, 1]
    assert world.area.active(1) == world.area.holds == 3


@pytest.mark.parametrize(
    ("verdict", "reason"),
    [(Refusal(["x.toml:3: no."]), "x.toml:3: no."), (None, "trying it ended by exit status 1")],
)
def test_a_trial_that_fails_is_told(verdict: Refusal | None, reason: str) -> None:
    world = World()
    world.tried(verdict)
    assert world.reasons == [reason] or reason in str(world.reasons[0])
    assert world.area.offered == 1


def test_a_trial_without_memory_is_told() -> None:
    world = World()
    world.tried(None, status=NO_MEMORY)
    assert world.reasons == ["there is not enough memory to try it"]


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (MemoryError(), NO_MEMORY, ""),
        (SystemError("?"), 0, "SystemError('?') while it was tried."),
        (ConfigError(["x.toml:3: no."]), 0, "x.toml:3: no."),
    ],
)
@pytest.mark.parametrize("where", ["signals.die_with_parent", "memory.bound", "read_edition"])
def test_whatever_fails_in_a_trial_is_a_verdict(
    where: str, error: Exception, status: int, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*args: object) -> None:
        raise error

    for name in ("signals.die_with_parent", "signals.enter_child", "signal.alarm", "memory.bound"):
        monkeypatch.setattr(f"workers.trial.{name}", lambda *args: None)
    monkeypatch.setattr(f"workers.trial.{where}", failing)
    area = Area()
    assert trial.run_trial(area, OLD, os.getpid(), nice=0) == status
    if said:
        (sentence,) = pickle.loads(area.text()).mistakes
        assert sentence.endswith(said)


def test_a_trial_that_does_not_end_is_ended() -> None:
    world = World()
    world.reload.ask()
    world.turn()
    assert world.reload.due(world.now) == GENTLE_S
    world.turn(GENTLE_S)
    assert (world.hurried, world.killed) == ([77], [])
    assert world.reload.due(world.now) == DEADLINE_S
    world.turn(DEADLINE_S - GENTLE_S)
    assert (world.hurried, world.killed) == ([77], [77])
    world.reload.trial_ended(Exit(77, None, signal.SIGKILL), world.now)
    assert "SIGKILL" in str(world.reasons[0])


def test_no_process_for_a_trial() -> None:
    world = World()
    world.fork_fails = True
    world.reload.ask()
    assert world.reload.due(5.0) == 5.0
    world.turn()
    assert "Resource temporarily unavailable" in str(world.reasons[0])
    assert world.reload.due(5.0) is None


def test_asked_while_under_way_it_happens_once_more() -> None:
    world = World()
    world.tried(Edition(NEW, b""))
    for _ in range(10):
        world.reload.ask()
    for child in world.children:
        child.look()
    world.turn()
    assert world.reload.due(world.now) == world.now
    world.turn()
    assert world.reload.is_trial(Exit(77, 0))


def test_what_cannot_change_is_named() -> None:
    other = Config.model_validate({"node": {"id": 2}, "location": {"capacity": 99}, "log": {}})
    assert mistakes(OLD, NEW) == []
    assert [sentence.split(" cannot")[0] for sentence in mistakes(OLD, other)] == [
        "[node] id",
        "[location] capacity",
    ]


def test_live_settings_exist() -> None:
    for section, names in LIVE.items():
        model = type(getattr(OLD, section))
        assert names <= set(model.model_fields), section


def test_equal_files_differ_in_nothing(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_text(
        '[ratelimit]\npipes = [{name = "a", limit = 3}]\n[flood]\ntrusted = ["::/64"]\n'
    )
    assert changes(load(file), load(file)) == []


def test_an_edition_survives_its_way() -> None:
    edition = Edition(NEW, b"code")
    assert pickle.loads(edition.encoded()) == edition
