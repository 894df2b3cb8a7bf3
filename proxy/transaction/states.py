"""The four transaction machines of RFC 3261 §17 with the states of RFC 6026, as data.

Rule 1: everything that decides a state change stands in this file.
Rule 2: every (state, stimulus) pair is listed; what must not happen or does not matter says IGNORE.
Rule 3: timers are never cancelled. One that fires in a state that no longer wants it is ignored
        here, and the transaction is dropped once its last timer is gone.
Rule 4: PASS and the reports come last: they run somebody else's code, and whatever it does, the
        timer that ends the transaction has been started.

All of it is for unreliable transports: over UDP, timers D, I, J and K are not zero (§17.1.1.2).
The diagrams in docs/transactions.md are drawn from these tables.
"""

from __future__ import annotations

from enum import IntEnum


class State(IntEnum):
    """States of a transaction; not every machine uses each."""

    CALLING = 0
    TRYING = 1
    PROCEEDING = 2
    COMPLETED = 3
    CONFIRMED = 4
    ACCEPTED = 5
    TERMINATED = 6


class Stimulus(IntEnum):
    """What may happen to a transaction: messages, orders of the transaction user, timers."""

    REQUEST = 0  # the request again (server)
    ACK = 1  # (server)
    SEND_PROVISIONAL = 2  # the transaction user's response (server)
    SEND_SUCCESS = 3
    SEND_FAILURE = 4
    PROVISIONAL = 5  # a response from the network (client)
    SUCCESS = 6
    FAILURE = 7
    TRANSPORT_ERROR = 8
    RETRANSMIT = 9  # timer A, E or G
    TIMEOUT = 10  # timer B, F or H
    LINGER = 11  # timer D, I, J, K, L or M: late messages have been waited for


class Action(IntEnum):
    """What the layer does on a transition, in the order listed."""

    SEND_RESPONSE = 0  # the one just handed over, and remember it
    RESEND_RESPONSE = 1  # the last one remembered
    SEND_REQUEST = 2
    SEND_ACK = 3  # to a non-2xx final response, hop by hop (§17.1.1.3)
    PASS = 4  # hand the message to the transaction user
    REPORT_TIMEOUT = 5
    REPORT_TRANSPORT_ERROR = 6
    START_RETRANSMIT = 7  # A, E, G: T1 first, then doubled (E and G: at most T2)
    START_RETRANSMIT_T2 = 8  # E in PROCEEDING: T2 at once (§17.1.2.2)
    START_TIMEOUT = 9  # B, F, H: 64*T1
    START_LINGER = 10  # D, J, L, M: 64*T1 (D: at least 32 s)
    START_LINGER_T4 = 11  # I, K: T4


class Found(IntEnum):
    """What the layer made of a message."""

    ABSORBED = 0  # a transaction took it, or it was a retransmission
    NEW_REQUEST = 1
    STRAY_ACK = 2  # to a 2xx, or its transaction died with a worker
    STRAY_RESPONSE = 3


class Tally(IntEnum):
    """What the layer counts: columns of `TransactionLayer.tallies`."""

    ENDED = 0  # + first digit of the final response that a server transaction sent: 2 to 6
    RESENT_T1 = 7  # a client's request again after T1; then after 2*T1, after 4*T1
    RESENT_T2 = 10  # any later one
    REPEATED = 11  # a server's final response by timer G
    UNANSWERED = 12  # a client transaction that timer B or F ended


class Machine(IntEnum):
    """Which of the four."""

    CLIENT_INVITE = 0
    CLIENT_NON_INVITE = 1
    SERVER_INVITE = 2
    SERVER_NON_INVITE = 3


Row = dict[Stimulus, tuple[State, tuple[Action, ...]] | None]
IGNORE = None

_S, _T, _A = State, Stimulus, Action

# RFC 3261 figure 5, RFC 6026 §7.2 (ACCEPTED, timer M)
CLIENT_INVITE: dict[State, Row] = {
    _S.CALLING: {
        _T.RETRANSMIT: (_S.CALLING, (_A.SEND_REQUEST, _A.START_RETRANSMIT)),
        _T.TIMEOUT: (_S.TERMINATED, (_A.REPORT_TIMEOUT,)),
        _T.TRANSPORT_ERROR: (_S.TERMINATED, (_A.REPORT_TRANSPORT_ERROR,)),
        _T.PROVISIONAL: (_S.PROCEEDING, (_A.PASS,)),
        _T.SUCCESS: (_S.ACCEPTED, (_A.START_LINGER, _A.PASS)),
        _T.FAILURE: (_S.COMPLETED, (_A.SEND_ACK, _A.START_LINGER, _A.PASS)),
        _T.LINGER: IGNORE,
    },
    _S.PROCEEDING: {
        _T.RETRANSMIT: IGNORE,
        _T.TIMEOUT: IGNORE,  # from here on timer C, the proxy's, watches (§16.6 step 11)
        _T.TRANSPORT_ERROR: IGNORE,
        _T.PROVISIONAL: (_S.PROCEEDING, (_A.PASS,)),
        _T.SUCCESS: (_S.ACCEPTED, (_A.START_LINGER, _A.PASS)),
        _T.FAILURE: (_S.COMPLETED, (_A.SEND_ACK, _A.START_LINGER, _A.PASS)),
        _T.LINGER: IGNORE,
    },
    _S.COMPLETED: {
        _T.RETRANSMIT: IGNORE,
        _T.TIMEOUT: IGNORE,
        _T.TRANSPORT_ERROR: (_S.TERMINATED, (_A.REPORT_TRANSPORT_ERROR,)),
        _T.PROVISIONAL: IGNORE,
        _T.SUCCESS: IGNORE,
        _T.FAILURE: (_S.COMPLETED, (_A.SEND_ACK,)),
        _T.LINGER: (_S.TERMINATED, ()),
    },
    _S.ACCEPTED: {
        _T.RETRANSMIT: IGNORE,
        _T.TIMEOUT: IGNORE,
        _T.TRANSPORT_ERROR: IGNORE,
        _T.PROVISIONAL: IGNORE,
        _T.SUCCESS: (_S.ACCEPTED, (_A.PASS,)),  # every 2xx of every fork goes up
        _T.FAILURE: IGNORE,
        _T.LINGER: (_S.TERMINATED, ()),
    },
}

# RFC 3261 figure 6
CLIENT_NON_INVITE: dict[State, Row] = {
    _S.TRYING: {
        _T.RETRANSMIT: (_S.TRYING, (_A.SEND_REQUEST, _A.START_RETRANSMIT)),
        _T.TIMEOUT: (_S.TERMINATED, (_A.REPORT_TIMEOUT,)),
        _T.TRANSPORT_ERROR: (_S.TERMINATED, (_A.REPORT_TRANSPORT_ERROR,)),
        _T.PROVISIONAL: (_S.PROCEEDING, (_A.PASS,)),
        _T.SUCCESS: (_S.COMPLETED, (_A.START_LINGER_T4, _A.PASS)),
        _T.FAILURE: (_S.COMPLETED, (_A.START_LINGER_T4, _A.PASS)),
        _T.LINGER: IGNORE,
    },
    _S.PROCEEDING: {
        _T.RETRANSMIT: (_S.PROCEEDING, (_A.SEND_REQUEST, _A.START_RETRANSMIT_T2)),
        _T.TIMEOUT: (_S.TERMINATED, (_A.REPORT_TIMEOUT,)),
        _T.TRANSPORT_ERROR: (_S.TERMINATED, (_A.REPORT_TRANSPORT_ERROR,)),
        _T.PROVISIONAL: (_S.PROCEEDING, (_A.PASS,)),
        _T.SUCCESS: (_S.COMPLETED, (_A.START_LINGER_T4, _A.PASS)),
        _T.FAILURE: (_S.COMPLETED, (_A.START_LINGER_T4, _A.PASS)),
        _T.LINGER: IGNORE,
    },
    _S.COMPLETED: {
        _T.RETRANSMIT: IGNORE,
        _T.TIMEOUT: IGNORE,
        _T.TRANSPORT_ERROR: IGNORE,
        _T.PROVISIONAL: IGNORE,
        _T.SUCCESS: IGNORE,
        _T.FAILURE: IGNORE,
        _T.LINGER: (_S.TERMINATED, ()),
    },
}

# RFC 3261 figure 7, RFC 6026 §7.1 (ACCEPTED, timer L; a transport error leaves the state alone)
SERVER_INVITE: dict[State, Row] = {
    _S.PROCEEDING: {
        _T.REQUEST: (_S.PROCEEDING, (_A.RESEND_RESPONSE,)),
        _T.ACK: IGNORE,
        _T.SEND_PROVISIONAL: (_S.PROCEEDING, (_A.SEND_RESPONSE,)),
        _T.SEND_SUCCESS: (_S.ACCEPTED, (_A.SEND_RESPONSE, _A.START_LINGER)),
        _T.SEND_FAILURE: (
            _S.COMPLETED,
            (_A.SEND_RESPONSE, _A.START_RETRANSMIT, _A.START_TIMEOUT),
        ),
        _T.TRANSPORT_ERROR: (_S.PROCEEDING, (_A.REPORT_TRANSPORT_ERROR,)),
        _T.RETRANSMIT: IGNORE,
        _T.TIMEOUT: IGNORE,
        _T.LINGER: IGNORE,
    },
    _S.COMPLETED: {
        _T.REQUEST: (_S.COMPLETED, (_A.RESEND_RESPONSE,)),
        _T.ACK: (_S.CONFIRMED, (_A.START_LINGER_T4,)),
        _T.SEND_PROVISIONAL: IGNORE,
        _T.SEND_SUCCESS: IGNORE,
        _T.SEND_FAILURE: IGNORE,
        _T.TRANSPORT_ERROR: (_S.COMPLETED, (_A.REPORT_TRANSPORT_ERROR,)),
        _T.RETRANSMIT: (_S.COMPLETED, (_A.RESEND_RESPONSE, _A.START_RETRANSMIT)),
        _T.TIMEOUT: (_S.TERMINATED, (_A.REPORT_TIMEOUT,)),
        _T.LINGER: IGNORE,
    },
    _S.CONFIRMED: {
        _T.REQUEST: IGNORE,
        _T.ACK: IGNORE,
        _T.SEND_PROVISIONAL: IGNORE,
        _T.SEND_SUCCESS: IGNORE,
        _T.SEND_FAILURE: IGNORE,
        _T.TRANSPORT_ERROR: IGNORE,
        _T.RETRANSMIT: IGNORE,
        _T.TIMEOUT: IGNORE,
        _T.LINGER: (_S.TERMINATED, ()),
    },
    _S.ACCEPTED: {
        _T.REQUEST: IGNORE,  # absorbed: the callee repeats its 2xx by itself
        _T.ACK: (_S.ACCEPTED, (_A.PASS,)),
        _T.SEND_PROVISIONAL: IGNORE,
        _T.SEND_SUCCESS: (_S.ACCEPTED, (_A.SEND_RESPONSE,)),
        _T.SEND_FAILURE: IGNORE,
        _T.TRANSPORT_ERROR: (_S.ACCEPTED, (_A.REPORT_TRANSPORT_ERROR,)),
        _T.RETRANSMIT: IGNORE,
        _T.TIMEOUT: IGNORE,
        _T.LINGER: (_S.TERMINATED, ()),
    },
}

# RFC 3261 figure 8
SERVER_NON_INVITE: dict[State, Row] = {
    _S.TRYING: {
        _T.REQUEST: IGNORE,
        _T.ACK: IGNORE,
        _T.SEND_PROVISIONAL: (_S.PROCEEDING, (_A.SEND_RESPONSE,)),
        _T.SEND_SUCCESS: (_S.COMPLETED, (_A.SEND_RESPONSE, _A.START_LINGER)),
        _T.SEND_FAILURE: (_S.COMPLETED, (_A.SEND_RESPONSE, _A.START_LINGER)),
        _T.TRANSPORT_ERROR: IGNORE,
        _T.RETRANSMIT: IGNORE,
        _T.TIMEOUT: IGNORE,
        _T.LINGER: IGNORE,
    },
    _S.PROCEEDING: {
        _T.REQUEST: (_S.PROCEEDING, (_A.RESEND_RESPONSE,)),
        _T.ACK: IGNORE,
        _T.SEND_PROVISIONAL: (_S.PROCEEDING, (_A.SEND_RESPONSE,)),
        _T.SEND_SUCCESS: (_S.COMPLETED, (_A.SEND_RESPONSE, _A.START_LINGER)),
        _T.SEND_FAILURE: (_S.COMPLETED, (_A.SEND_RESPONSE, _A.START_LINGER)),
        _T.TRANSPORT_ERROR: (_S.TERMINATED, (_A.REPORT_TRANSPORT_ERROR,)),
        _T.RETRANSMIT: IGNORE,
        _T.TIMEOUT: IGNORE,
        _T.LINGER: IGNORE,
    },
    _S.COMPLETED: {
        _T.REQUEST: (_S.COMPLETED, (_A.RESEND_RESPONSE,)),
        _T.ACK: IGNORE,
        _T.SEND_PROVISIONAL: IGNORE,
        _T.SEND_SUCCESS: IGNORE,
        _T.SEND_FAILURE: IGNORE,
        _T.TRANSPORT_ERROR: (_S.TERMINATED, (_A.REPORT_TRANSPORT_ERROR,)),
        _T.RETRANSMIT: IGNORE,
        _T.TIMEOUT: IGNORE,
        _T.LINGER: (_S.TERMINATED, ()),
    },
}

TABLES: dict[Machine, dict[State, Row]] = {
    Machine.CLIENT_INVITE: CLIENT_INVITE,
    Machine.CLIENT_NON_INVITE: CLIENT_NON_INVITE,
    Machine.SERVER_INVITE: SERVER_INVITE,
    Machine.SERVER_NON_INVITE: SERVER_NON_INVITE,
}
# What a transaction does when it is made; a server transaction waits for its user's response.
FIRST: dict[Machine, tuple[State, tuple[Action, ...]]] = {
    Machine.CLIENT_INVITE: (
        _S.CALLING,
        (_A.SEND_REQUEST, _A.START_RETRANSMIT, _A.START_TIMEOUT),
    ),
    Machine.CLIENT_NON_INVITE: (
        _S.TRYING,
        (_A.SEND_REQUEST, _A.START_RETRANSMIT, _A.START_TIMEOUT),
    ),
    Machine.SERVER_INVITE: (_S.PROCEEDING, ()),
    Machine.SERVER_NON_INVITE: (_S.TRYING, ()),
}
STIMULI: dict[Machine, tuple[Stimulus, ...]] = {
    machine: tuple(next(iter(table.values()))) for machine, table in TABLES.items()
}


def flatten(machine: Machine) -> tuple[tuple[int, tuple[int, ...]] | None, ...]:
    """The table of one machine as a flat row: index state * len(Stimulus) + stimulus."""
    table = TABLES[machine]
    flat: list[tuple[int, tuple[int, ...]] | None] = []
    for state in State:
        row = table.get(state, {})
        for stimulus in Stimulus:
            entry = row.get(stimulus)
            flat.append(entry and (int(entry[0]), tuple(int(action) for action in entry[1])))
    return tuple(flat)
