"""The clusterer: the process that keeps this node's tables equal with other nodes'.

ZeroMQ is imported in the process itself, after the fork: its threads belong to nobody else.
"""

from __future__ import annotations

from workers.child import Child


def run(child: Child) -> int:
    """Follow the other nodes, and tell them, until asked to stop."""
    from workers.clusterer.process import serve

    return serve(child)
