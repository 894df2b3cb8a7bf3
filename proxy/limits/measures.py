"""Columns of the shared counter matrix behind the named statistics: messages, and times.

Messages are counted by method and by status code in both directions. Times go into histograms:
how long messages waited before they were read, and how long it took until what was decided about
them had been sent. Prometheus gets them all, `get_statistics` none: OpenSIPS has no names for them.
"""

from __future__ import annotations

from typing import Final

from proxy.limits import counters

# A message is of the first of these that it begins with; responses go by their code.
METHODS: Final = (
    "ACK",
    "BYE",
    "CANCEL",
    "INFO",
    "INVITE",
    "MESSAGE",
    "NOTIFY",
    "OPTIONS",
    "PRACK",
    "PUBLISH",
    "REFER",
    "REGISTER",
    "SUBSCRIBE",
    "UPDATE",
    "other",
)
METHOD_COUNT: Final = len(METHODS)
FIRST_CODE: Final = 100
CODES: Final = 600  # 100 to 699

# What times are told apart by.
CLASSES: Final = ("REGISTER", "INVITE", "OPTIONS", "other request", "response")
CLASS_COUNT: Final = len(CLASSES)
# Upper ends of the steps, in microseconds; what is over is in one more.
STEPS_US: Final = (
    *(100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000),
    *(100_000, 250_000, 500_000, 1_000_000),
)
STEPS: Final = len(STEPS_US) + 1
HISTOGRAM: Final = STEPS + 1  # and the sum, in microseconds

RECEIVED_METHOD: Final = counters.COLUMNS  # behind the room that named ones have
SENT_METHOD: Final = RECEIVED_METHOD + METHOD_COUNT
RECEIVED_CODE: Final = SENT_METHOD + METHOD_COUNT
SENT_CODE: Final = RECEIVED_CODE + CODES
WAITED: Final = SENT_CODE + CODES  # one histogram
TAKEN: Final = WAITED + HISTOGRAM  # one for each of CLASSES
COLUMNS: Final = TAKEN + CLASS_COUNT * HISTOGRAM
