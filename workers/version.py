"""Which version of the program this process is.

Read once, when the program starts: a version that is installed meanwhile is not yet this one.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Final


def _installed() -> str:
    try:
        return version("sipherd")
    except PackageNotFoundError:
        return "not installed"


VERSION: Final = _installed()
