"""An edition: a configuration and its policy, numbered, and how all processes come to have one.

The area is mapped before the first fork. The supervisor offers an edition there; each process
makes itself ready for it and says so in its row; then the supervisor says that it holds, and all
take it, or that it is withdrawn, and none does. A process forked later begins with what holds.
"""

from __future__ import annotations

import copy
import mmap
import os
import pickle
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from proxy.errors import ConfigError
from workers.settings import Config
from workers.shared_page import ROWS, shared_bytes

if TYPE_CHECKING:
    from workers.child import Child

AREA_BYTES: Final = 4 << 20
_OFFERED: Final = 0  # the number of the last offer
_SETTLED: Final = 1  # the number of the last offer that was decided on
_HOLDS: Final = 2  # the number of the edition that holds
_LENGTH: Final = 3
_READY: Final = 4  # from here on, per row: the last offer that this process is ready for
_REFUSED: Final = _READY + ROWS  # the last one that it cannot take
_ACTIVE: Final = _REFUSED + ROWS  # the one that it serves by
_WORDS: Final = _ACTIVE + ROWS
_TEXT_AT: Final = 4 * _WORDS

Commit = Callable[[], None]
Prepare = Callable[["Child"], Commit]  # of a child as it would be; it changes nothing yet


@dataclass(frozen=True, slots=True)
class Edition:
    """What the processes of a node serve by; `script` is compiled, as marshal writes code."""

    config: Config
    script: bytes

    def encoded(self) -> bytes:
        """For the area, which only this family of processes can see."""
        return pickle.dumps(self)


class Area:
    """The shared area; numbers begin with that of the edition of the start."""

    def __init__(self, first: int = 1, fd: int | None = None) -> None:
        self.fd = shared_bytes(AREA_BYTES) if fd is None else os.dup(fd)
        self._map = mmap.mmap(self.fd, AREA_BYTES)
        self._words = memoryview(self._map)[:_TEXT_AT].cast("I")
        if fd is None:
            self._words[_OFFERED] = self._words[_SETTLED] = self._words[_HOLDS] = first

    # -- the supervisor ----------------------------------------------------------------------------

    def put(self, text: bytes) -> None:
        """Leave the text of the next offer; nobody looks at it before offer()."""
        if len(text) > AREA_BYTES - _TEXT_AT:
            raise ConfigError(["The configuration and its routing script are too large."])
        self._words[_LENGTH] = len(text)
        self._map[_TEXT_AT : _TEXT_AT + len(text)] = text

    def text(self) -> bytes:
        """The text of the last offer."""
        return bytes(self._map[_TEXT_AT : _TEXT_AT + self._words[_LENGTH]])

    def offer(self) -> int:
        """Let every process make itself ready for what put() has left; the offer's number."""
        self._words[_OFFERED] += 1
        return self._words[_OFFERED]

    def settle(self, holds: bool) -> None:
        """The offer holds, for all, or is withdrawn."""
        if holds:
            self._words[_HOLDS] = self._words[_OFFERED]
        self._words[_SETTLED] = self._words[_OFFERED]

    def waited_for(self, rows: Iterable[int]) -> list[int]:
        """Of these processes those that have not said what they think of the offer."""
        offered = self._words[_OFFERED]
        return [
            row
            for row in rows
            if offered not in (self._words[_READY + row], self._words[_REFUSED + row])
        ]

    def refused_by(self, rows: Iterable[int]) -> list[int]:
        """Those that cannot take the offer."""
        offered = self._words[_OFFERED]
        return [row for row in rows if self._words[_REFUSED + row] == offered]

    # -- every process -----------------------------------------------------------------------------

    @property
    def offered(self) -> int:
        """The number of the last offer."""
        return self._words[_OFFERED]

    @property
    def settled(self) -> int:
        """The number of the last offer that was decided on."""
        return self._words[_SETTLED]

    @property
    def holds(self) -> int:
        """The number of the edition that holds."""
        return self._words[_HOLDS]

    def active(self, row: int) -> int:
        """The edition that a process serves by."""
        return self._words[_ACTIVE + row]

    def set_active(self, row: int, number: int) -> None:
        """A process serves by this edition."""
        self._words[_ACTIVE + row] = number

    def answer(self, row: int, number: int, ready: bool) -> None:
        """A process is ready for an offer, or cannot take it."""
        self._words[(_READY if ready else _REFUSED) + row] = number


class Taker:
    """One process's part: looks at each heartbeat whether there is something to take over."""

    def __init__(self, area: Area, row: int) -> None:
        self._area = area
        self._row = row
        self._seen = area.settled
        self._commit: Commit | None = None
        self._edition: Edition | None = None
        area.set_active(row, area.holds)

    def look(self, child: Child) -> None:
        """Make ready for a new offer; take over the one that has come to hold."""
        area = self._area
        if area.offered != self._seen:
            self._seen = area.offered
            self._prepare(child)
        if self._commit is not None and area.settled == self._seen:
            if area.holds == self._seen:
                self._take(child)
            self._commit = self._edition = None

    def _prepare(self, child: Child) -> None:
        self._commit = None
        if self._area.settled == self._seen and self._area.holds != self._seen:
            return
        try:
            edition = self._edition = pickle.loads(self._area.text())
            candidate = copy.copy(child)
            candidate.config, candidate.script = edition.config, edition.script
            self._commit = child.prepare(candidate)
        except Exception as error:  # noqa: BLE001 - whatever it is, the old edition goes on
            child.log.error("cannot take over the configuration", error=repr(error))
        self._area.answer(self._row, self._seen, self._commit is not None)

    def _take(self, child: Child) -> None:
        assert self._edition is not None
        assert self._commit is not None
        child.config, child.script = self._edition.config, self._edition.script
        self._commit()
        self._area.set_active(self._row, self._seen)


def nothing_to_prepare(child: Child) -> Commit:
    """What a process does that looks its settings up whenever it needs them."""
    return lambda: None
