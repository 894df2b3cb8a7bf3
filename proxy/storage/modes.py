"""When registrations and calls are written, by the names OpenSIPS has for it."""

from __future__ import annotations

from typing import Final, Literal

NO_DB: Final = "single-instance-no-db"
WRITE_THROUGH: Final = "single-instance-sql-write-through"
WRITE_BACK: Final = "single-instance-sql-write-back"
SQL_ONLY: Final = "sql-only"

Mode = Literal[
    "single-instance-no-db",
    "single-instance-sql-write-through",
    "single-instance-sql-write-back",
    "sql-only",
]

# OpenSIPS' db_mode of its dialog module.
REALTIME: Final = "realtime"
DELAYED: Final = "delayed"
SHUTDOWN: Final = "shutdown"
NONE: Final = "none"

DialogMode = Literal["none", "realtime", "delayed", "shutdown"]
Policy = Literal["failover", "parallel", "round-robin"]
