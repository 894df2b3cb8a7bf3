"""The rows of the child table: a new kind of process is one row here."""

from __future__ import annotations

from workers import clusterer, control, lookups, storage, timekeeper, udp_worker
from workers.child import ChildSpec
from workers.settings import Config

STORAGE_GRACE_S = 10.0  # the last changes have to be written

CLUSTERER_GRACE_S = 4.0  # other nodes have to hear of the last changes


def child_specs(config: Config) -> list[ChildSpec]:
    """The children of a node, workers last so that their number may grow."""
    grace_s = config.workers.grace_seconds
    optional = []
    if config.lookups.enabled:
        optional.append(ChildSpec("lookups", lookups.run, grace_s=grace_s))
    if config.uses_storage:
        optional.append(ChildSpec("storage", storage.run, grace_s=grace_s + STORAGE_GRACE_S))
    if config.cluster.is_used:
        optional.append(ChildSpec("clusterer", clusterer.run, grace_s=grace_s + CLUSTERER_GRACE_S))
    return [
        *optional,
        ChildSpec("timekeeper", timekeeper.run, grace_s=grace_s),
        ChildSpec("control", control.run, grace_s=grace_s),
        ChildSpec(
            "udp worker",
            udp_worker.run,
            count=config.workers.udp,
            reads_sockets=True,
            grace_s=grace_s,
        ),
    ]
