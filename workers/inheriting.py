"""How a program that is started learns that there is something to take over."""

from __future__ import annotations

from typing import Final

VARIABLE: Final = "SIPHERD_HANDOVER"  # the descriptor of what it has to know
TRIAL: Final = "SIPHERD_TRIAL"  # only see whether it could
