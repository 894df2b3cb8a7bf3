"""Generations of workers over time: every pair of signals, at every moment of the first."""

from __future__ import annotations

import gc
import pickle
import signal
from collections.abc import Iterator
from itertools import product
from types import SimpleNamespace
from typing import Any, Final

import pytest
from simulated_system import World

from proxy.shm.places import PLACES, Order, Phase
from workers.child import BOOT_DEADLINE_S, ExitCode, Slot
from workers.edition import Edition
from workers.generations import MOST_LEAVING, Step
from workers.setting_types import Endpoint
from workers.supervisor import Stage
from workers.trial import Refusal

OTHER: Final = Endpoint("127.0.0.2", 5060)


class Crew:
    """The children of a simulated system, who do as they are ordered."""

    def __init__(self, drain_s: float = 20.0) -> None:
        self.world = World(drain_s)
        self.machine, self.property = self.world.machine, self.world.property
        self.supervisor = self.world.supervisor
        self.generations = self.supervisor.generations
        self.places = self.property.tables.places
        self.machine.at_each_wait = self.live
        self.calls: dict[int, int] = {}  # by place: how many a worker there has under way
        self.reluctant: set[int] = set()  # generations whose workers do not become ready
        self.failing: set[int] = set()  # and those whose workers cannot start
        self.verdict: Any = Refusal(["no."])
        self.readers_were: set[int] = {0, 1}
        self.unread_since: float | None = None
        self.scarce: Any = None

    @property
    def stage(self) -> Stage:
        return self.supervisor.life.stage

    def slot_of(self, pid: int) -> Slot | None:
        return next((slot for slot in self.supervisor.slots if slot.pid == pid), None)

    def live(self) -> None:
        """What everybody does between two waits of the supervisor."""
        for pid in list(self.machine.living):
            slot = self.slot_of(pid)
            if slot is None:
                self.try_edition(pid)
            elif slot.generation:
                self.work(slot)
            else:
                self.property.up.add(pid)
                self.property.rows.beats[slot.row] += 1
                self.property.area.answer(slot.row, self.property.area.offered, True)
                if self.stage is Stage.STOPPING:
                    self.machine.end(pid, ExitCode.OK)
        self.look_for_a_gap()

    def try_edition(self, pid: int) -> None:
        self.property.area.put(pickle.dumps(self.verdict))
        self.machine.end(pid, 0)

    def work(self, slot: Slot) -> None:
        if slot.generation in self.failing:
            self.machine.end(slot.pid, ExitCode.BOOT_FAILED)
            return
        order, place = self.places.ordered(slot.index), slot.index
        self.property.rows.beats[slot.row] += 1
        self.property.up.add(slot.pid)
        area = self.property.area
        area.answer(slot.row, area.offered, True)
        if order is Order.LEAVE:
            self.machine.end(slot.pid, ExitCode.OK)
        elif order is Order.PREPARE:
            if slot.generation not in self.reluctant:
                self.places.reach(place, Phase.READY)
        elif order is Order.SERVE:
            self.places.reach(place, Phase.SERVING)
        else:
            live = self.calls.get(place, 0)
            self.places.reach(place, Phase.DRAINING if live else Phase.EMPTY, live)
        self.places.see(place, self.places.version)

    def look_for_a_gap(self) -> None:
        """Somebody reads the sockets, always, but for the moment of a hand-over."""
        reading = {
            place
            for place in range(PLACES)
            if self.places.ordered(place) in {Order.SERVE, Order.REFUSE}
        }
        now = self.machine.clock
        if reading or self.stage is Stage.STOPPING:
            self.unread_since = None
        elif self.unread_since is None:
            self.unread_since = now
        else:
            assert now - self.unread_since <= 1.01, "nobody reads"

    def steps(self, count: int) -> list[Any]:
        return [lambda: None] * count

    def send(self, *numbers: int) -> Any:
        return lambda: self.machine.signals.extend(numbers)

    def run(self, *script: Any) -> int:
        self.machine.script = [*self.steps(2), *script]
        return self.supervisor.run()

    def passes(self, seconds: float) -> list[Any]:
        def step() -> None:
            self.machine.clock += 0.25

        return [step] * int(seconds * 4)

    def said(self, event: str) -> int:
        return sum(line.startswith(event) for line in self.property.said)

    def kill_somebody(self, generation: Any) -> None:
        chosen = generation()
        if chosen is not None and chosen.living:
            self.machine.end(chosen.living[0].pid, None, signal.SIGKILL)


@pytest.fixture
def crew() -> Iterator[Crew]:
    made = Crew()
    yield made
    made.world.close()


def places_of(crew: Crew) -> list[int]:
    return [slot.index for slot in crew.generations.serving.slots]


def test_one_more_is_a_new_generation(crew: Crew) -> None:
    seen: list[Any] = []

    def look() -> None:
        owners = {crew.property.tables.shards.owner(shard) for shard in range(1024)}
        seen.append((places_of(crew), owners, len(crew.generations.leaving)))

    term = crew.send(signal.SIGTERM)
    assert crew.run(look, crew.send(signal.SIGTTIN), *crew.steps(40), look, term) == 0
    assert seen == [([0, 1], {0, 1}, 0), ([2, 3, 4], {2, 3, 4}, 0)]
    assert crew.property.closed == [True]
    assert not crew.machine.living


def test_the_old_ones_stay_until_their_calls_have_ended(crew: Crew) -> None:
    crew.calls = {0: 3}
    leaving: list[int] = []

    def look() -> None:
        leaving.append(len(crew.generations.leaving))

    def hang_up() -> None:
        crew.calls.clear()

    script = [*crew.passes(30), look, hang_up, *crew.passes(3), look]
    assert crew.run(crew.send(signal.SIGTTOU), *script, crew.send(signal.SIGTERM)) == 0
    assert leaving == [1, 0]
    assert places_of(crew) == [2]


def test_calls_that_never_end_are_left_to_their_branches(crew: Crew) -> None:
    crew.calls = {0: 3}
    script = [crew.send(signal.SIGTTIN), *crew.passes(260)]
    assert crew.run(*script, crew.send(signal.SIGTERM)) == 0
    assert crew.said("calls left to their branches") == 1
    assert crew.said("workers gone") == 1


def test_who_does_not_get_ready_is_abandoned(crew: Crew) -> None:
    crew.reluctant = {2}
    script = [crew.send(signal.SIGTTIN), *crew.passes(BOOT_DEADLINE_S + 5)]
    assert crew.run(*script, crew.send(signal.SIGTERM)) == 0
    assert crew.said("workers abandoned") == 1
    assert places_of(crew) == [0, 1]


def test_who_cannot_start_is_abandoned_and_not_tried_for_ever(crew: Crew) -> None:
    crew.failing = {2, 3, 4}
    assert crew.run(crew.send(signal.SIGTTIN), *crew.passes(20), crew.send(signal.SIGTERM)) == 0
    assert crew.said("workers abandoned") == 1
    assert places_of(crew) == [0, 1]


def test_no_room_is_no_reason_to_stop(crew: Crew) -> None:
    crew.property.no_room = True
    assert crew.run(crew.send(signal.SIGTTIN), *crew.passes(5), crew.send(signal.SIGTERM)) == 0
    assert crew.said("workers abandoned") == 1
    assert crew.machine.forks == 3


def edition(count: int | None, *endpoints: Endpoint) -> Edition:
    listen = SimpleNamespace(udp=endpoints)
    said = frozenset() if count is None else frozenset({"udp"})
    workers = SimpleNamespace(
        udp=count, model_fields_set=said, slow_seconds=3.0, hang_seconds=10.0, drain_seconds=20.0
    )
    limits = SimpleNamespace(timer_c_seconds=181)
    return Edition(SimpleNamespace(listen=listen, workers=workers, limits=limits), b"")  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def any_edition(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.reload.changes", lambda old, new: [])


def test_a_reload_with_other_addresses_brings_new_workers(crew: Crew) -> None:
    crew.verdict = edition(3, OTHER)
    assert crew.run(crew.send(signal.SIGHUP), *crew.passes(5), crew.send(signal.SIGTERM)) == 0
    assert crew.generations.serving.endpoints == (OTHER,)
    assert places_of(crew) == [2, 3, 4]
    assert crew.said("reloaded") == 1


def test_a_reload_without_a_number_keeps_what_was_asked_for_by_signal(crew: Crew) -> None:
    crew.verdict = edition(None, *crew.generations.serving.endpoints)
    script = [crew.send(signal.SIGTTIN), *crew.passes(5), crew.send(signal.SIGHUP)]
    assert crew.run(*script, *crew.passes(5), crew.send(signal.SIGTERM)) == 0
    assert len(places_of(crew)) == 3
    assert crew.said("workers serve") == 1


def test_new_workers_that_fail_refuse_the_reload(crew: Crew) -> None:
    crew.verdict, crew.failing = edition(3, OTHER), {2}
    assert crew.run(crew.send(signal.SIGHUP), *crew.passes(5), crew.send(signal.SIGTERM)) == 0
    assert crew.said("reload refused") == 1
    assert crew.said("workers abandoned") == 1
    assert crew.generations.serving.endpoints == (Endpoint("127.0.0.1", 5060),)
    assert places_of(crew) == [0, 1]


def test_a_listener_that_comes_back_is_read_by_the_new_ones_only(crew: Crew) -> None:
    first = crew.generations.serving.endpoints[0]
    crew.calls = {0: 1, 1: 1}
    masks: list[int] = []

    def look() -> None:
        masks.append(crew.places.listeners(0))

    def back() -> None:
        crew.verdict = edition(2, first)

    crew.verdict = edition(2, OTHER)
    script = [crew.send(signal.SIGHUP), *crew.passes(5), look, back, crew.send(signal.SIGHUP)]
    assert crew.run(*script, *crew.passes(5), look, crew.send(signal.SIGTERM)) == 0
    assert masks == [1, 0]


def test_a_storm_of_signals_leaves_few_generations(crew: Crew) -> None:
    crew.calls = dict.fromkeys(range(PLACES), 1)
    most = 0

    def look() -> None:
        nonlocal most
        most = max(most, len(crew.generations.leaving))

    storm = [crew.send(signal.SIGTTIN), *crew.passes(1), look] * 40
    assert crew.run(*storm, crew.send(signal.SIGTERM)) == 0
    assert most == MOST_LEAVING
    assert crew.said("workers gone") >= 20


def test_term_waits_for_what_is_under_way_and_not_longer_than_it_may() -> None:
    for hang_up_s, expected_s in ((3.0, 3.0), (100.0, 20.0)):
        crew = Crew()
        crew.calls = {0: 1}
        end = crew.machine.clock + hang_up_s

        def hang_up(crew: Crew = crew, end: float = end) -> None:
            crew.live()
            if crew.machine.clock >= end:
                crew.calls.clear()

        crew.machine.at_each_wait = hang_up
        began = crew.machine.clock
        assert crew.run(crew.send(signal.SIGTERM)) == 0
        assert crew.machine.clock - began == pytest.approx(expected_s, abs=0.6)
        crew.world.close()


def test_a_worker_that_dies_while_all_drain_is_replaced(crew: Crew) -> None:
    crew.calls = {0: 1}

    def kill() -> None:
        crew.machine.end(crew.generations.serving.slots[1].pid, None, signal.SIGKILL)

    def hang_up() -> None:
        crew.calls.clear()

    script = [crew.send(signal.SIGTERM), *crew.passes(2), kill, *crew.passes(2), hang_up]
    assert crew.run(*script) == 0
    assert crew.machine.forks == 4


EVENTS: Final = ("HUP", "HUP to others", "TTIN", "TTOU", "USR1", "kill old", "kill new", "TERM")
EVENTS_ALSO: Final = (*EVENTS, "QUIT")


def happen(crew: Crew, event: str) -> None:
    generations = crew.generations
    if event.startswith("HUP"):
        others = edition(3, OTHER)
        crew.verdict = (
            others if event == "HUP to others" else edition(2, Endpoint("127.0.0.1", 5060))
        )
        crew.send(signal.SIGHUP)()
    elif event == "kill old":
        crew.kill_somebody(lambda: generations.leaving[0] if generations.leaving else None)
        crew.kill_somebody(lambda: generations.serving)
    elif event == "kill new":
        crew.kill_somebody(lambda: generations.coming or generations.serving)
    else:
        crew.send(getattr(signal, f"SIG{event}"))()


@pytest.mark.parametrize("first", EVENTS)
def test_every_pair_of_events_at_every_moment(first: str) -> None:
    steps_seen: set[Any] = set()
    for second, moment in product(EVENTS_ALSO, range(14)):
        crew = Crew()
        crew.property.journal.sink.reopen = lambda: ""
        crew.calls = {0: 1} if moment % 2 else {}

        def look(crew: Crew = crew) -> None:
            coming = crew.generations.coming
            steps_seen.add(coming.step if coming else None)
            steps_seen.update(each.step for each in crew.generations.leaving)

        def hang_up(crew: Crew = crew) -> None:
            crew.calls.clear()

        status = crew.run(
            lambda crew=crew: happen(crew, first),
            *[look] * moment,
            lambda crew=crew, second=second: happen(crew, second),
            *[look] * 20,
            hang_up,
            *crew.passes(8),
            crew.send(signal.SIGTERM),
        )
        assert status == 0, (second, moment, crew.property.said)
        assert not crew.machine.living, (second, moment)
        orders = {crew.places.ordered(place) for place in range(PLACES)}
        assert orders <= {Order.GONE, Order.LEAVE}, (second, moment)
        crew.world.close()
    gc.collect()  # the maps of all of their areas
    if first == "TTIN":
        assert {Step.PREPARING, Step.TAKING_OVER, Step.DRAINING, Step.LEAVING} <= steps_seen


class Scarce:
    """Everything a supervisor does its work with; one call of all fails for want of memory."""

    def __init__(self, crew: Crew, fails: int) -> None:
        self.left = fails
        held = crew.property
        held.tables.places = crew.generations._places = self.guarded(crew.places)
        held.tables.shards = self.guarded(held.tables.shards)
        for name in ("make_room", "give_back", "bind_sockets", "keep_sockets", "open_slot"):
            setattr(held, name, self.failing(getattr(held, name)))
        for name in ("info", "notice", "warning"):
            setattr(held.log, name, self.failing(getattr(held.log, name)))
        crew.machine.fork = self.failing(crew.machine.fork)  # type: ignore[method-assign]

    def failing(self, call: Any) -> Any:
        def counted(*args: Any, **named: Any) -> Any:
            self.left -= 1
            if self.left == 0:
                raise MemoryError
            return call(*args, **named)

        return counted

    def guarded(self, whole: Any) -> Any:
        scarce = self

        class Guarded:
            def __getattr__(self, name: str) -> Any:
                found = getattr(whole, name)
                return scarce.failing(found) if callable(found) else found

        return Guarded()


def test_whatever_fails_once_a_new_generation_takes_over_all_the_same() -> None:
    left = fails = 0
    while left <= 0:
        crew, fails = Crew(), fails + 1
        found: list[Any] = []

        def begin(crew: Crew = crew, fails: int = fails) -> None:
            crew.scarce = Scarce(crew, fails)
            crew.machine.signals.append(signal.SIGTTIN)

        def look(crew: Crew = crew, found: list[Any] = found) -> None:
            generations, slots = crew.generations, crew.supervisor.slots
            left = crew.scarce.left
            crew.scarce.left = 0
            pids = {slot.pid for slot in slots}
            found.append((left, generations.coming, generations.leaving, len(slots)))
            found.append((len(generations.serving.living), pids == {*crew.machine.living}))

        script = [begin, *crew.steps(20), *crew.passes(20), look, crew.send(signal.SIGTERM)]
        assert crew.run(*script) == 0, fails
        (left, *rest), serving = found
        assert (rest, serving) == ([None, [], 4], (3, True)), fails
        assert crew.property.closed == [True]
        crew.world.close()
    assert fails > 50
