"""The places of workers: what the supervisor has ordered each to do, and how far it has come.

Each word has one writer: orders are the supervisor's, phases the worker's. `version` moves with
every change that others have to see; who has seen it says so.
"""

from __future__ import annotations

import enum
from typing import Final

from proxy.errors import ShmError
from proxy.shm import layout
from proxy.shm.arena import Arena

KIND: Final = b"places"
LAYOUT: Final = "u32 version stopping | 64 each: u32 generation order phase seen live, u64 x 2"
PLACES: Final = 192  # for three generations of as many workers as there may be

_VERSION_AT: Final = layout.HEADER_BYTES
_STOPPING_AT: Final = _VERSION_AT + 4
_PLACES_AT: Final = _VERSION_AT + layout.LINE
_PLACE: Final = layout.LINE
_GENERATION: Final = 0
_ORDER: Final = 4
_PHASE: Final = 8
_SEEN: Final = 12
_LIVE: Final = 16
_LISTENERS: Final = 24
_DROPS: Final = 32
_UNKNOWN: Final = 1 << 63  # less than which nobody has dropped
_WORD: Final = (1 << 64) - 1


class Order(enum.IntEnum):
    """What the supervisor wants of the worker in a place."""

    GONE = 0  # there is none
    PREPARE = 1  # make everything ready, read nothing
    SERVE = 2
    HAND_OVER = 3  # others read the sockets now; go on with the calls that are under way
    CLOSE = 4  # as before, and nobody sends it anything any more
    REFUSE = 5  # read on, but take on nothing new: the server stops
    LEAVE = 6  # see to what is in the inbox, and end


class Phase(enum.IntEnum):
    """How far a worker has come."""

    BEGINNING = 0
    READY = 1  # to serve, when it may
    SERVING = 2
    DRAINING = 3  # takes on nothing new, and has calls under way
    EMPTY = 4  # takes on nothing new, and has nothing left


SERVED_BY: Final = frozenset({Order.SERVE, Order.HAND_OVER, Order.CLOSE, Order.REFUSE})


class Places:
    """The page of all places."""

    def __init__(self, arena: Arena) -> None:
        self.arena = arena
        self._known: tuple[int, list[int], list[int]] = (-1, [], [])

    @staticmethod
    def create(path: str | None = None) -> Places:
        """A page without workers; without a path it lives in the family."""
        size = _PLACES_AT + PLACES * _PLACE
        arena = Arena.anonymous(size) if path is None else Arena.create(path, size)
        layout.write(arena, KIND, LAYOUT, (PLACES,))
        return Places(arena)

    @staticmethod
    def over(arena: Arena) -> Places:
        """The page in a mapping that others use; nothing in it changes."""
        header = layout.read(arena, KIND, LAYOUT)
        if header.geometry[0] != PLACES or arena.size != _PLACES_AT + PLACES * _PLACE:
            raise ShmError(f"{arena.path} has a header that contradicts itself")
        return Places(arena)

    @property
    def version(self) -> int:
        """Moves with every change of the supervisor's."""
        return self.arena.u32(_VERSION_AT)

    # -- the supervisor ----------------------------------------------------------------------------

    def announce(self) -> int:
        """Let everybody look; the version that they will have seen then."""
        version = self.version + 1 & 0xFFFFFFFF
        self.arena.put_u32(_VERSION_AT, version)
        return version

    def enter(self, place: int, generation: int, order: Order) -> None:
        """A worker of this generation is going to be here."""
        at = _at(place)
        self.arena.put_u32(at + _GENERATION, generation)
        self.arena.put_u32(at + _LIVE, 0)
        self.arena.put_u64(at + _LISTENERS, 0)
        self.arena.put_u64(at + _DROPS, _UNKNOWN)
        self.begin(place)
        self.order(place, order)

    def begin(self, place: int) -> None:
        """The worker here is a new process."""
        at = _at(place)
        self.arena.put_u32(at + _PHASE, Phase.BEGINNING)
        self.arena.put_u32(at + _SEEN, self.version)

    def order(self, place: int, order: Order) -> None:
        """What the worker here has to do."""
        self.arena.put_u32(_at(place) + _ORDER, order)

    def stop(self) -> None:
        """The server stops: nobody waits for what may be sent again."""
        self.arena.put_u32(_STOPPING_AT, 1)

    def leave_listeners(self, place: int, listeners: int) -> None:
        """Which listeners, by the bits of its own numbers, a worker reads that has handed over."""
        self.arena.put_u64(_at(place) + _LISTENERS, listeners)

    # -- the worker --------------------------------------------------------------------------------

    def reach(self, place: int, phase: Phase, live: int = 0) -> None:
        """How far it has come, and how many calls it still has under way."""
        self.arena.put_u32(_at(place) + _LIVE, min(live, 0xFFFFFFFF))
        self.arena.put_u32(_at(place) + _PHASE, phase)

    def note_drops(self, place: int, before: int) -> None:
        """What its sockets had dropped before; for who comes here after a kill."""
        self.arena.put_u64(_at(place) + _DROPS, before & _WORD)

    def drops(self, place: int) -> int | None:
        """As note_drops() left it; None: nobody has."""
        word = self.arena.u64(_at(place) + _DROPS)
        if word == _UNKNOWN:
            return None
        return word if word < _UNKNOWN else word - _WORD - 1

    def see(self, place: int, version: int) -> None:
        """What had been announced by then has been done here."""
        self.arena.put_u32(_at(place) + _SEEN, version)

    # -- everybody ---------------------------------------------------------------------------------

    def ordered(self, place: int) -> Order:
        """What the worker here has to do."""
        return Order(self.arena.u32(_at(place) + _ORDER))

    @property
    def stopping(self) -> bool:
        """Whether the server stops."""
        return self.arena.u32(_STOPPING_AT) != 0

    def phase(self, place: int) -> Phase:
        """How far it has come."""
        return Phase(self.arena.u32(_at(place) + _PHASE))

    def seen(self, place: int) -> int:
        """The last version that it has taken notice of."""
        return self.arena.u32(_at(place) + _SEEN)

    def live(self, place: int) -> int:
        """How many calls a worker that takes on no more has under way."""
        return self.arena.u32(_at(place) + _LIVE)

    def listeners(self, place: int) -> int:
        """As leave_listeners() left them."""
        return self.arena.u64(_at(place) + _LISTENERS)

    def generation(self, place: int) -> int:
        """Of the worker here; it means something while there is one."""
        return self.arena.u32(_at(place) + _GENERATION)

    def at_work(self) -> list[int]:
        """The places whose workers serve calls, all or only some."""
        return self._know()[1]

    def handed_over(self) -> list[int]:
        """The places whose workers have handed over: their kept calls are theirs."""
        return self._know()[2]

    def _know(self) -> tuple[int, list[int], list[int]]:
        version = self.version
        if self._known[0] != version:
            orders = [self.ordered(place) for place in range(PLACES)]
            at_work = [place for place, order in enumerate(orders) if order in SERVED_BY]
            handed_over = [place for place in at_work if orders[place] is Order.HAND_OVER]
            self._known = version, at_work, handed_over
        return self._known


def _at(place: int) -> int:
    if not 0 <= place < PLACES:
        raise ShmError(f"there is no place {place}")
    return _PLACES_AT + place * _PLACE
