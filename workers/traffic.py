"""What a worker's messages are and how long they take, counted by the batch.

A message is judged by its first bytes, before anybody parses it. Times are those of a turn: from
when the kernel received its oldest message until everything that was decided has been sent.
"""

from __future__ import annotations

import cython

from proxy.constants import INTERNAL_LISTENER
from proxy.limits import measures
from proxy.shm.slots import Counters
from proxy.sip.address import Address
from proxy.transaction.layer import Transaction

RECEIVED_METHOD = measures.RECEIVED_METHOD
SENT_METHOD = measures.SENT_METHOD
RECEIVED_CODE = measures.RECEIVED_CODE - measures.FIRST_CODE
SENT_CODE = measures.SENT_CODE - measures.FIRST_CODE
WAITED = measures.WAITED
TAKEN = measures.TAKEN
CLASS_COUNT = measures.CLASS_COUNT
HISTOGRAM = measures.HISTOGRAM
STEPS = measures.STEPS
OTHER = measures.METHOD_COUNT - 1
OTHER_CLASS = measures.CLASSES.index("other request")
RESPONSE_CLASS = measures.CLASSES.index("response")
LONGEST = 12  # methods in letters, and more than one to spare
BYTES = 256
if not cython.compiled:
    FIRST_OF, LENGTH = [OTHER] * BYTES, [0] * OTHER
    FIRST, SECOND, THIRD = [0] * OTHER, [0] * OTHER, [0] * OTHER
    CLASS_OF, ENDS_US = [OTHER_CLASS] * (OTHER + 1), [0] * STEPS
for byte in range(BYTES):
    FIRST_OF[byte] = OTHER
for place in range(OTHER - 1, -1, -1):
    word = measures.METHODS[place].encode()
    FIRST_OF[word[0]], LENGTH[place] = place, len(word)
    FIRST[place], SECOND[place], THIRD[place] = word[0], word[1], word[2]
for place, method in enumerate(measures.METHODS):
    known = method in measures.CLASSES
    CLASS_OF[place] = measures.CLASSES.index(method) if known else OTHER_CLASS
for place, end_us in enumerate(measures.STEPS_US):
    ENDS_US[place] = end_us


def method_of(data: bytes) -> int:
    """Which of measures.METHODS a request is, by three letters and how long the word is."""
    p = data
    if len(data) < LONGEST:
        return OTHER
    at = FIRST_OF[p[0]]
    while at < OTHER and FIRST[at] == p[0]:
        if p[1] == SECOND[at] and p[2] == THIRD[at] and p[LENGTH[at]] == ord(" "):
            return at
        at += 1
    return OTHER


def code_of(data: bytes) -> int:
    """The status code of a response; 0 for anything else."""
    p = data
    if len(data) < 12 or p[0] != ord("S") or p[1] != ord("I") or p[2] != ord("P"):
        return 0
    if p[3] != ord("/") or p[7] != ord(" "):
        return 0
    code = 100 * (p[8] - 48) + 10 * (p[9] - 48) + (p[10] - 48)
    return code if 100 <= code < 700 else 0


def step_of(time_us: int) -> int:
    """Which step of a histogram a time belongs to."""
    step = 0
    while step < STEPS - 1 and time_us > ENDS_US[step]:
        step += 1
    return step


class Traffic:
    """One worker's counts of messages and times, in its row of the matrix."""

    def __init__(self, counters: Counters) -> None:
        self.counters = counters
        if not cython.compiled:
            self.seen = [0] * CLASS_COUNT
        for kind in range(CLASS_COUNT):
            self.seen[kind] = 0

    def received(self, batch: list[tuple[int, bytes, int, bytes]]) -> None:
        """Count a batch as a socket or an inbox gives it."""
        for listener, _, _, data in batch:
            code = code_of(data)
            if code:
                self.counters.add(RECEIVED_CODE + code, 1)
                self.seen[RESPONSE_CLASS] += 1
            elif listener != INTERNAL_LISTENER:
                method = method_of(data)
                self.counters.add(RECEIVED_METHOD + method, 1)
                self.seen[CLASS_OF[method]] += 1

    def sent(self, outbox: list[tuple[bytes, Address, int, Transaction | None]]) -> None:
        """Count what leaves."""
        for data, _, _, _ in outbox:
            code = code_of(data)
            if code:
                self.counters.add(SENT_CODE + code, 1)
            else:
                self.counters.add(SENT_METHOD + method_of(data), 1)

    def settle(self, waited_ns: int, taken_ns: int) -> None:
        """A turn is over: its messages had waited so long, and have taken so long with that."""
        total = 0
        for kind in range(CLASS_COUNT):
            count = self.seen[kind]
            if count:
                total += count
                self.seen[kind] = 0
                self.observe(TAKEN + kind * HISTOGRAM, count, (waited_ns + taken_ns) // 1_000)
        self.observe(WAITED, total, waited_ns // 1_000)

    def observe(self, histogram: int, count: int, time_us: int) -> None:
        """Enter so many of one time."""
        self.counters.add(histogram + step_of(time_us), count)
        self.counters.add(histogram + STEPS, count * time_us)
