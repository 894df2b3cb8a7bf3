"""From what one program holds to what it hands over, and back: nothing is opened twice."""

from __future__ import annotations

import base64
import os
import pickle
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from proxy.limits import counters
from workers.adopted_tables import adopt_tables, files_of
from workers.child import ChildSpec, Slot
from workers.edition import Area, Edition
from workers.generations import Generation, Step
from workers.handover import (
    FAMILY,
    FORM,
    Command,
    Crew,
    Handover,
    HandoverError,
    Image,
    Lineage,
    Place,
)
from workers.holdings import Holdings, Journal
from workers.live_settings import fixed, moved
from workers.logs import LogPipe, LogSink
from workers.mailbox import Mailbox
from workers.policy import compile_script
from workers.setting_types import Endpoint, parse_endpoint
from workers.settings import Config
from workers.shared_page import SharedPage
from workers.sockets import Group, adopt_group
from workers.systemd import ServiceManager
from workers.tables import node_secret

LEVELS: Final = "levels"
LOOKUPS: Final = "lookups"
ORDERS: Final = "orders"
INBOXES: Final = "inboxes"
READERS: Final = "readers"


@dataclass(frozen=True, slots=True)
class Family:
    """All children, and the generations of those that are workers; the one that serves last."""

    slots: list[Slot]
    generations: list[Generation]


def image_of(holdings: Holdings) -> Image:
    """The program of this process as one that everything can be given back to."""
    edition = Edition(holdings.config, holdings.script)
    return Image(
        number=holdings.lineage.number,
        command=Command.of(holdings.lineage.pinned),
        edition=base64.b64encode(edition.encoded()).decode(),
        area=holdings.area.fd,
    )


def hand_over(holdings: Holdings, family: Family, before: Image, reload_asked: bool) -> Handover:
    """Everything that the next program has to know."""
    files = {name: arena.descriptor for name, arena in files_of(holdings.tables).items()}
    events = {INBOXES: tuple(holdings.inbox_eventfds), READERS: tuple(holdings.reader_eventfds)}
    for name, mailbox in ((LOOKUPS, holdings.lookups), (ORDERS, holdings.clusterer)):
        if mailbox is not None:
            files[name], eventfd = mailbox.fds
            events[name] = (eventfd,)
    journal = holdings.journal
    return Handover(
        form=FORM,
        family=FAMILY,
        pid=os.getpid(),
        image=holdings.lineage.number + 1,
        command=Command.of(holdings.lineage.command),
        before=before,
        own=None,
        failed="",
        reload_asked=reload_asked,
        settings=fixed(holdings.config),
        counters=counters.NAMES,
        edition=holdings.area.holds,
        nice=holdings.nice,
        lock=holdings.lock_fd,
        files={**files, LEVELS: journal.page.fd},
        sockets={str(each): tuple(group.fds) for each, group in holdings.groups.items()},
        events=events,
        pipes={"log": journal.pipe.ends, "life": holdings.life, "ready": holdings.ready},
        children=tuple(_place(slot) for slot in family.slots),
        generations=tuple(_crew(each) for each in family.generations),
        backlog=journal.sink.backlog.decode("latin-1"),
    )


def _crew(generation: Generation) -> Crew:
    return Crew(
        number=generation.number,
        endpoints=tuple(map(str, generation.endpoints)),
        step=generation.step.value,
        deadline=generation.deadline,
        version=generation.version,
    )


def _place(slot: Slot) -> Place:
    return Place(
        role=slot.spec.role,
        index=slot.index,
        row=slot.row,
        image=slot.image,
        generation=slot.generation,
        number=slot.number,
        leaving=slot.leaving,
        pid=slot.pid,
        stop_fd=slot.stop_fd,
        started_at=slot.started_at,
        up_at=slot.up_at,
        ever_up=slot.ever_up,
        heartbeat_at=slot.heartbeat_at,
        respawn_at=slot.respawn_at,
        failures=tuple(slot.failures),
    )


def adopt(config: Config, handover: Handover, manager: ServiceManager) -> Holdings:
    """Go on with what another program held. Raises SipherdError where that cannot be."""
    handover.check()
    if differences := moved(handover.settings, fixed(config)):
        raise HandoverError(f"{config.path}: {'; '.join(differences)}")
    journal = _journal(config, handover)
    inboxes, readers = handover.events[INBOXES], handover.events[READERS]
    return Holdings(
        config=config,
        journal=journal,
        log=journal.supervisor_log(),
        lock_fd=handover.lock,
        groups=_groups(handover),
        inbox_eventfds=list(inboxes),
        lookups=_mailbox(handover, LOOKUPS),
        clusterer=_mailbox(handover, ORDERS),
        reader_eventfds=list(readers),
        tables=adopt_tables(handover.files, config),
        secret=node_secret(config),
        life=handover.pipes["life"],
        nice=handover.nice,
        ready=handover.pipes["ready"],
        script=_script(config, handover),
        area=_area(handover),
        manager=manager,
        lineage=Lineage.of(handover),
    )


def _script(config: Config, handover: Handover) -> bytes:
    if handover.own is not None:
        return edition_of(handover.own).script
    return compile_script(config.routing.script)


def edition_of(image: Image) -> Edition:
    """What a program served by before it handed over; only that program can read it."""
    edition = pickle.loads(base64.b64decode(image.edition))
    assert isinstance(edition, Edition)
    return edition


def _journal(config: Config, handover: Handover) -> Journal:
    page = SharedPage(fd=handover.files[LEVELS])
    sink = LogSink(config.log.file, handover.backlog.encode("latin-1"))
    return Journal(page, LogPipe(handover.pipes["log"]), sink, config.log.format == "json")


def _mailbox(handover: Handover, name: str) -> Mailbox | None:
    if name not in handover.files:
        return None
    return Mailbox.over((handover.files[name], *handover.events[name]), name)


def _area(handover: Handover) -> Area:
    """Its own: what the other program's children look at stays as it is."""
    if handover.own is not None:
        return Area(fd=handover.own.area)
    return Area(first=handover.edition + 1)


def _groups(handover: Handover) -> dict[Endpoint, Group]:
    named = {parse_endpoint(name): fds for name, fds in handover.sockets.items()}
    return {endpoint: adopt_group(endpoint, fds) for endpoint, fds in named.items()}


def adopt_family(handover: Handover, specs: Sequence[ChildSpec]) -> Family:
    """The children that there are, and places for those that this program has besides."""
    kinds = {spec.role: spec for spec in specs}
    if unknown := {place.role for place in handover.children} - kinds.keys():
        raise HandoverError(
            f"this version has no process called {unknown.pop()}: stop the server and start it"
        )
    slots = [_slot(place, kinds[place.role]) for place in handover.children]
    row = max(slot.row for slot in slots if not slot.generation)
    for role in kinds.keys() - {place.role for place in handover.children}:
        row += 1
        slots.append(Slot(kinds[role], 0, row, respawn_at=0.0))
    return Family(slots, [_generation(crew, slots) for crew in handover.generations])


def _generation(crew: Crew, slots: Sequence[Slot]) -> Generation:
    return Generation(
        crew.number,
        tuple(parse_endpoint(each) for each in crew.endpoints),
        [slot for slot in slots if slot.generation == crew.number],
        Step(crew.step),
        crew.deadline,
        crew.version,
    )


def _slot(place: Place, spec: ChildSpec) -> Slot:
    return Slot(
        spec,
        place.index,
        place.row,
        image=place.image,
        pid=place.pid,
        stop_fd=place.stop_fd,
        started_at=place.started_at,
        up_at=place.up_at,
        ever_up=place.ever_up,
        heartbeat_at=place.heartbeat_at,
        generation=place.generation,
        number=place.number,
        leaving=place.leaving,
        respawn_at=place.respawn_at,
        failures=deque(place.failures, maxlen=64),
    )
