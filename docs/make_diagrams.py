"""Writes docs/transactions.md from the tables of proxy/transaction/states.py, and the end of
docs/dialogs.md from that of proxy/dialog/states.py.

    python docs/make_diagrams.py [--check]

With --check nothing is written; exit status 1 if the page on disk differs.
"""

from __future__ import annotations

import sys
from pathlib import Path

from proxy.dialog import states as dialog
from proxy.transaction.states import FIRST, TABLES, Action, Machine, Stimulus

PAGE = Path(__file__).with_name("transactions.md")
DIALOGS = Path(__file__).with_name("dialogs.md")
BELOW = "do not edit below -->\n"
TITLES = {
    Machine.CLIENT_INVITE: "INVITE client (RFC 3261 §17.1.1, RFC 6026 §7.2)",
    Machine.CLIENT_NON_INVITE: "non-INVITE client (RFC 3261 §17.1.2)",
    Machine.SERVER_INVITE: "INVITE server (RFC 3261 §17.2.1, RFC 6026 §7.1)",
    Machine.SERVER_NON_INVITE: "non-INVITE server (RFC 3261 §17.2.2)",
}
# retransmit, timeout, linger: the RFC's letters in each machine
LETTERS = {
    Machine.CLIENT_INVITE: {"RETRANSMIT": "A", "TIMEOUT": "B", "COMPLETED": "D", "ACCEPTED": "M"},
    Machine.CLIENT_NON_INVITE: {"RETRANSMIT": "E", "TIMEOUT": "F", "COMPLETED": "K"},
    Machine.SERVER_INVITE: {"RETRANSMIT": "G", "TIMEOUT": "H", "CONFIRMED": "I", "ACCEPTED": "L"},
    Machine.SERVER_NON_INVITE: {"COMPLETED": "J"},
}
HEAD = """# The transaction machines

Drawn from `proxy/transaction/states.py` by `python docs/make_diagrams.py`; do not edit. What is not
drawn is ignored on purpose (the tables list it). Over UDP no timer is zero.
"""


def label(machine: Machine, state: str, stimulus: Stimulus) -> str:
    """A stimulus in the RFC's words."""
    letters = LETTERS[machine]
    if stimulus in (Stimulus.RETRANSMIT, Stimulus.TIMEOUT):
        return f"timer {letters[stimulus.name]}"
    if stimulus is Stimulus.LINGER:
        return f"timer {letters[state]}"
    return stimulus.name.lower().replace("_", " ")


def words(actions: tuple[Action, ...]) -> str:
    """Actions in lower case, comma-separated."""
    return ", ".join(action.name.lower().replace("_", " ") for action in actions)


def diagram(machine: Machine) -> str:
    """One machine as a Mermaid state diagram."""
    first, actions = FIRST[machine]
    lines = [f"    [*] --> {first.name}: request / {words(actions) or 'pass'}"]
    for state, row in TABLES[machine].items():
        for stimulus, entry in row.items():
            if entry is None:
                continue
            to = "[*]" if entry[0].name == "TERMINATED" else entry[0].name
            does = f" / {words(entry[1])}" if entry[1] else ""
            lines.append(f"    {state.name} --> {to}: {label(machine, state.name, stimulus)}{does}")
    return "\n".join(["```mermaid", "stateDiagram-v2", *lines, "```"])


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    for machine in Machine:
        parts.append(f"## {TITLES[machine]}\n\n{diagram(machine)}\n")
    return "\n".join(parts)


def dialog_page() -> str:
    """docs/dialogs.md with its diagram drawn anew."""
    lines = ["    [*] --> UNCONFIRMED: INVITE"]
    for state, row in dialog.TABLE.items():
        for to in dialog.State:
            events = [event for event, entry in row.items() if entry is to]
            if events:
                words = ", ".join(event.name.lower().replace("_", " ") for event in events)
                lines.append(f"    {state.name} --> {to.name}: {words}")
    diagram = "\n".join(["```mermaid", "stateDiagram-v2", *lines, "```"])
    return DIALOGS.read_text().partition(BELOW)[0] + BELOW + "\n" + diagram + "\n"


if __name__ == "__main__":
    pages = {PAGE: page(), DIALOGS: dialog_page()}
    if "--check" in sys.argv[1:]:
        sys.exit(any(path.read_text() != text for path, text in pages.items()))
    for path, text in pages.items():
        path.write_text(text)
