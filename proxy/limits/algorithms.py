"""The algorithms of rate-limit pipes, named as OpenSIPS does; docs/limits.md tells them apart."""

from typing import Final

TAILDROP: Final = 0
RED: Final = 1
SBT: Final = 2
NETWORK: Final = 3
FEEDBACK: Final = 4

NAMES: Final = ("TAILDROP", "RED", "SBT", "NETWORK", "FEEDBACK")
NUMBERS: Final = {name: number for number, name in enumerate(NAMES)} | {"HISTORY": SBT}


def number_of(name: str) -> int:
    """The algorithm of a name, in any case; ValueError for one that does not exist."""
    number = NUMBERS.get(name.upper())
    if number is None:
        raise ValueError(f"there is no algorithm {name}: use one of {', '.join(NUMBERS)}")
    return number
