"""The states of a dialog as a table, OpenSIPS' states by OpenSIPS' numbers.

Rule 1: nothing but what stands here changes a state.
Rule 2: every (state, event) pair is listed; what must not happen or does not matter says IGNORE.
Rule 3: the table is that of one caller with one callee. An INVITE that was forked has a leg for
        each callee, with a state of its own. The whole takes the steps of all its legs, but a BYE
        only with the last leg that is confirmed.

The diagram in docs/dialogs.md is drawn from this table.
"""

from __future__ import annotations

from enum import IntEnum


class State(IntEnum):
    """States of a dialog, or of one leg of it."""

    UNCONFIRMED = 1  # the INVITE has been sent on
    EARLY = 2  # a provisional response came
    CONFIRMED_NA = 3  # a 2xx came, its ACK has not
    CONFIRMED = 4
    DELETED = 5  # ended; the record stays a while


class Event(IntEnum):
    """What may happen to a dialog."""

    PROVISIONAL = 0  # 101 to 199 went upstream
    SUCCESS = 1  # a 2xx went upstream
    SUCCESS_AFTER_BYE = 2  # the same, but somebody has hung up already
    ACK = 3
    BYE = 4  # from either side, with an answer that ends a call (RFC 3261 §15)
    REQUEST = 5  # any other request inside the dialog
    CANCEL = 6
    FAILURE = 7  # a final response of 300 or more went upstream
    GONE = 8  # the INVITE has ended without any answer, or its worker died
    TIMEOUT = 9  # the lifetime is over
    TERMINATE = 10  # we end it: an operator, a ping without answer


class EndReason(IntEnum):
    """Why a dialog ended; `END_WORDS` says it in OpenSIPS' words."""

    NONE = 0
    UPSTREAM_BYE = 1
    DOWNSTREAM_BYE = 2
    LIFETIME_TIMEOUT = 3
    MI_TERMINATION = 4
    PING_TIMEOUT = 5
    REINVITE_PING_TIMEOUT = 6
    SIP_RACE_CONDITION = 7
    CANCELLED = 8
    FAILED = 9
    SETUP_TIMEOUT = 10


END_WORDS: dict[EndReason, str] = {
    EndReason.NONE: "",
    EndReason.UPSTREAM_BYE: "Upstream BYE",
    EndReason.DOWNSTREAM_BYE: "Downstream BYE",
    EndReason.LIFETIME_TIMEOUT: "Lifetime Timeout",
    EndReason.MI_TERMINATION: "MI Termination",
    EndReason.PING_TIMEOUT: "Ping Timeout",
    EndReason.REINVITE_PING_TIMEOUT: "ReINVITE Ping Timeout",
    EndReason.SIP_RACE_CONDITION: "SIP Race Condition",
    EndReason.CANCELLED: "Cancelled",
    EndReason.FAILED: "Failed",
    EndReason.SETUP_TIMEOUT: "Setup Timeout",
}

IGNORE = None
_S, _E = State, Event

TABLE: dict[State, dict[Event, State | None]] = {
    _S.UNCONFIRMED: {
        _E.PROVISIONAL: _S.EARLY,
        _E.SUCCESS: _S.CONFIRMED_NA,
        _E.SUCCESS_AFTER_BYE: _S.CONFIRMED_NA,  # the callee answered all the same
        _E.ACK: IGNORE,
        _E.BYE: IGNORE,  # remembered
        _E.REQUEST: IGNORE,
        _E.CANCEL: IGNORE,  # a request; what ends the dialog is the 487
        _E.FAILURE: _S.DELETED,
        _E.GONE: _S.DELETED,
        _E.TIMEOUT: IGNORE,  # a lifetime begins with the answer
        _E.TERMINATE: _S.DELETED,
    },
    _S.EARLY: {
        _E.PROVISIONAL: _S.EARLY,
        _E.SUCCESS: _S.CONFIRMED_NA,
        _E.SUCCESS_AFTER_BYE: _S.CONFIRMED_NA,
        _E.ACK: IGNORE,
        _E.BYE: IGNORE,  # a caller may end an early dialog (RFC 3261 §15); remembered
        _E.REQUEST: IGNORE,
        _E.CANCEL: IGNORE,
        _E.FAILURE: _S.DELETED,
        _E.GONE: _S.DELETED,
        _E.TIMEOUT: IGNORE,
        _E.TERMINATE: _S.DELETED,
    },
    _S.CONFIRMED_NA: {
        _E.PROVISIONAL: IGNORE,
        _E.SUCCESS: IGNORE,  # the callee repeats it until the ACK comes
        _E.SUCCESS_AFTER_BYE: IGNORE,
        _E.ACK: _S.CONFIRMED,
        _E.BYE: _S.DELETED,
        _E.REQUEST: IGNORE,
        _E.CANCEL: IGNORE,  # too late
        _E.FAILURE: IGNORE,
        _E.GONE: IGNORE,
        _E.TIMEOUT: _S.DELETED,
        _E.TERMINATE: _S.DELETED,
    },
    _S.CONFIRMED: {
        _E.PROVISIONAL: IGNORE,
        _E.SUCCESS: IGNORE,
        _E.SUCCESS_AFTER_BYE: IGNORE,
        _E.ACK: IGNORE,
        _E.BYE: _S.DELETED,
        _E.REQUEST: IGNORE,
        _E.CANCEL: IGNORE,
        _E.FAILURE: IGNORE,
        _E.GONE: IGNORE,
        _E.TIMEOUT: _S.DELETED,
        _E.TERMINATE: _S.DELETED,
    },
    _S.DELETED: {
        _E.PROVISIONAL: IGNORE,
        _E.SUCCESS: _S.CONFIRMED_NA,  # a 2xx crossed what ended it: there is a call after all
        _E.SUCCESS_AFTER_BYE: IGNORE,
        _E.ACK: IGNORE,
        _E.BYE: IGNORE,
        _E.REQUEST: IGNORE,
        _E.CANCEL: IGNORE,
        _E.FAILURE: IGNORE,
        _E.GONE: IGNORE,
        _E.TIMEOUT: IGNORE,
        _E.TERMINATE: IGNORE,
    },
}
EVENTS = len(Event)


def flatten() -> bytes:
    """The table as a flat row, index state * EVENTS + event; 0 stands for IGNORE."""
    flat = bytearray((max(State) + 1) * EVENTS)
    for state, row in TABLE.items():
        for event, to in row.items():
            flat[state * EVENTS + event] = to or 0
    return bytes(flat)
