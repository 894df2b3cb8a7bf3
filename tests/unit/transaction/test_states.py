"""The tables are complete, and say what the RFCs say where it is easy to get wrong."""

import pytest

from proxy.transaction.states import (
    FIRST,
    STIMULI,
    TABLES,
    Action,
    Machine,
    State,
    Stimulus,
    flatten,
)


@pytest.mark.parametrize("machine", Machine)
def test_every_pair_is_listed(machine: Machine) -> None:
    for state, row in TABLES[machine].items():
        assert tuple(row) == STIMULI[machine] or set(row) == set(STIMULI[machine]), state


@pytest.mark.parametrize("machine", Machine)
def test_every_state_is_reached_and_left(machine: Machine) -> None:
    table = TABLES[machine]
    reached = {FIRST[machine][0]}
    for row in table.values():
        reached |= {entry[0] for entry in row.values() if entry}
    assert reached == {*table, State.TERMINATED}
    for state, row in table.items():
        assert any(entry and entry[0] is not state for entry in row.values()), state


@pytest.mark.parametrize("machine", Machine)
def test_every_state_ends_by_timers_alone_or_waits_for_the_user(machine: Machine) -> None:
    """No state keeps a transaction for ever once nobody speaks to it."""
    waits = {State.PROCEEDING, State.TRYING, State.CALLING}
    for state, row in TABLES[machine].items():
        ends = [row[s] for s in (Stimulus.TIMEOUT, Stimulus.LINGER) if row[s]]
        assert state in waits or ends, state


def test_success_of_an_invite_is_accepted_not_terminated() -> None:
    """RFC 6026 §4: the state that RFC 3261 lacked."""
    client = TABLES[Machine.CLIENT_INVITE][State.CALLING][Stimulus.SUCCESS]
    server = TABLES[Machine.SERVER_INVITE][State.PROCEEDING][Stimulus.SEND_SUCCESS]
    assert client is not None
    assert server is not None
    assert client[0] is State.ACCEPTED
    assert server[0] is State.ACCEPTED


def test_only_failures_of_an_invite_are_acknowledged() -> None:
    for state, row in TABLES[Machine.CLIENT_INVITE].items():
        for stimulus, entry in row.items():
            if entry and Action.SEND_ACK in entry[1]:
                assert stimulus is Stimulus.FAILURE, state
    for row in TABLES[Machine.CLIENT_NON_INVITE].values():
        assert not any(entry and Action.SEND_ACK in entry[1] for entry in row.values())


@pytest.mark.parametrize("machine", Machine)
def test_the_flat_table_says_the_same(machine: Machine) -> None:
    flat = flatten(machine)
    for state in State:
        for stimulus in Stimulus:
            entry = TABLES[machine].get(state, {}).get(stimulus)
            assert flat[state * len(Stimulus) + stimulus] == entry
