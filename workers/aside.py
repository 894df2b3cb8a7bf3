"""Files that cannot be trusted are kept for whoever wants to know why."""

from __future__ import annotations

from pathlib import Path
from typing import Final

BAD_FILES: Final = 3


def put_aside(path: Path) -> Path:
    """Rename a file that cannot be trusted to `.bad-1`, older ones to `.bad-2` and `.bad-3`."""
    for number in range(BAD_FILES, 1, -1):
        older = Path(f"{path}.bad-{number - 1}")
        if older.exists():
            older.rename(f"{path}.bad-{number}")
    return path.rename(f"{path}.bad-1")
