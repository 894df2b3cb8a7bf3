"""One peer's link: how far we have followed its changes, and how far it has followed ours.

Following is a machine, and this table is all of it:

    DOWN         no way to the peer
    GREETING     asked it from where it can go on; its changes are not taken yet
    CATCHING_UP  its changes are taken, but something older may be missing: compare with it
    FOLLOWING    everything it ever told is here
"""

from __future__ import annotations

from collections import deque
from enum import IntEnum

from proxy.cluster.settings import Pace

REFUSED_MS = 60_000  # between two words in the log about one peer


class State(IntEnum):
    """Of following a peer."""

    DOWN = 0
    GREETING = 1
    CATCHING_UP = 2
    FOLLOWING = 3


class Event(IntEnum):
    """What can happen to it."""

    UP = 0  # there is a way to the peer
    LOST = 1  # there is none any more
    REBORN = 2  # the peer is another incarnation than the one we followed
    RESUMED = 3  # it goes on where we were
    FRESH = 4  # it cannot: from now on, and the rest by comparing
    MISSED = 5  # it had to skip some changes, or we could not take one
    COMPARED = 6  # a snapshot of it came whole


_D, _G, _C, _F = State
# fmt: off
#                 UP  LOST REBORN RESUMED FRESH MISSED COMPARED
TABLE = {
    _D:          (_G, _D,  _D,    _D,     _D,   _D,    _D),
    _G:          (_G, _D,  _G,    _F,     _C,   _G,    _G),
    _C:          (_C, _D,  _G,    _C,     _C,   _C,    _F),
    _F:          (_F, _D,  _G,    _F,     _C,   _C,    _F),
}
# fmt: on


class Following:
    """How far we are in a peer's changes."""

    def __init__(self) -> None:
        self.state = State.DOWN
        self.epoch = 0  # the incarnation of the peer that we know
        self.position = 0
        self.complete = False  # whether a resumption would leave nothing out
        self.greeting = 0  # the last question, and when it may be asked again
        self.ask_at = 0
        self.compare_at = 0
        self.compared_at = -1
        self.quarantine = 0  # the version whose clock leads too far

    def handle(self, event: Event) -> State:
        """One step of the table; what it is now."""
        self.state = TABLE[self.state][event]
        if self.state == State.FOLLOWING:
            self.complete = True
        elif event in (Event.REBORN, Event.FRESH, Event.MISSED):
            self.complete = False
        return self.state

    @property
    def takes_changes(self) -> bool:
        """Whether the peer's changes mean anything in this state."""
        return self.state >= State.CATCHING_UP

    def judge(self, after: int, upto: int) -> int:
        """Of a batch (after, upto]: 1 it comes next, 0 we have it, -1 something is missing."""
        if after > self.position or after > upto:
            return -1
        return 1 if upto > self.position else 0


class Sending:
    """How far a peer is in our changes, as it said, and what is under way to it."""

    def __init__(self, pace: Pace, window: int) -> None:
        self.pace = pace
        self.window = window
        self.started = False
        self.sent = 0
        self.acked = 0
        self.whole = False  # it said that it lacks nothing older either
        self.progress_at = 0
        self.rewound_at = 0
        self.resends = 0
        self.wait = pace.resend
        self._ends: deque[int] = deque()  # of the frames under way

    def begin(self, position: int, now: int) -> None:
        """From here on."""
        self.started = True
        self.sent = self.acked = position
        self.whole = False
        self.progress_at = now
        self.wait = self.pace.resend
        self._ends.clear()

    def stop(self) -> None:
        """There is no way to it any more."""
        self.started = False
        self.whole = False
        self._ends.clear()

    def may_send(self, head: int) -> bool:
        """Whether there is something to send, and credit for it."""
        return self.started and self.sent < head and len(self._ends) < self.window

    @property
    def under_way(self) -> int:
        """Frames without acknowledgement."""
        return len(self._ends)

    def note_sent(self, upto: int, now: int) -> None:
        """A frame that ends at `upto` has left."""
        if not self._ends:
            self.progress_at = now
        self._ends.append(upto)
        self.sent = upto

    def acknowledge(self, position: int, credit: int, whole: bool, now: int) -> None:
        """The peer has committed everything up to `position`."""
        self.window = credit
        self.whole = whole
        if position <= self.acked:
            return
        self.acked = position
        self.sent = max(self.sent, position)
        self.progress_at = now
        self.wait = self.pace.resend
        while self._ends and self._ends[0] <= position:
            self._ends.popleft()

    def rewind(self, position: int, now: int) -> bool:
        """The peer misses what follows `position`: send it again, but not for every complaint."""
        if self._ends and position == self.acked and now - self.rewound_at < self.pace.resend // 4:
            return False
        self.sent = self.acked = position
        self.rewound_at = self.progress_at = now
        self.resends += 1
        self._ends.clear()
        return True

    def overdue(self, now: int) -> bool:
        """Whether what is under way has to be sent again; each time it waits twice as long."""
        if not self._ends or now - self.progress_at < self.wait:
            return False
        self.wait = min(2 * self.wait, self.pace.resend_most)
        return True


class Link:
    """Both directions of one peer."""

    def __init__(self, peer: int, pace: Pace, window: int) -> None:
        self.peer = peer
        self.following = Following()
        self.sending = Sending(pace, window)
        self.next_hop = 0
        self.waits_since = 0  # for the peer to ask for our changes
        self.owes_ack = False
        self.gap = False  # and the acknowledgement asks to go back
        self.refused_at = -REFUSED_MS  # when it was last said that its HELLO is refused
        self.trouble = ""  # a sentence: why it does not get on
        self.verified_at = -1  # when its sums and ours were last seen to be equal
