"""What a cluster keeps equal, by the names that OpenSIPS' clusterer_list_cap has for it."""

from __future__ import annotations

from typing import Final

from proxy.cluster.counts import PIPE, PROFILE
from proxy.shm import table_ids
from workers.cluster_settings import LIMITS, PROFILES

TABLES: Final = {
    table_ids.LOCATION: "usrloc-contact-repl",
    table_ids.DIALOGS: "dialog-dlg-repl",
    table_ids.DESTINATIONS: "destination-status-repl",
}
COUNTS: Final = {PROFILE: "dialog-prof-repl", PIPE: "ratelimit-pipe-repl"}
COUNTED: Final = {PROFILES: PROFILE, LIMITS: PIPE}  # contents, and the kind of their counts
