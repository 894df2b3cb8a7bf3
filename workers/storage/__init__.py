"""The storage process: the only one that knows a database driver.

SQLAlchemy and the driver are imported in the process itself, after the fork: no other carries them.
"""

from __future__ import annotations

from workers.child import Child


def run(child: Child) -> int:
    """Serve databases until asked to stop."""
    from workers.storage.process import serve

    return serve(child)
