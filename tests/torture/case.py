"""What a torture message is: its name, the section it is in the spirit of, its verdict."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from proxy.sip.message import Message


@dataclass(frozen=True)
class Case:
    """`verdict` is 0 for a message that is read, else the status it is refused with.

    `answer` is what the whole server owes a message that can be read: 0 to go on with it, -1 to
    drop it. `check` looks closer at what was read.
    """

    name: str
    section: str
    verdict: int
    data: bytes
    answer: int = 0
    check: Callable[[Message], bool] | None = None
