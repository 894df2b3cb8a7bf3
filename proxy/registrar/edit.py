"""Changes of the location table that no phone asked for: `ul_add`, `ul_rm`, `ul_rm_contact`."""

from __future__ import annotations

from proxy.cluster.hlc import HybridClock
from proxy.errors import CorruptRecord, LockTimeout
from proxy.registrar.binding import Binding, decode
from proxy.registrar.commit import commit_bindings
from proxy.registrar.layout import REMOVED
from proxy.registrar.rules import RegistrarRules
from proxy.registrar.tombstones import all_of_them, buried, tombstones_of
from proxy.shm.table import Table

ATTEMPTS = 64  # an operator's command should not lose to a busy phone


class Editor:
    """Who changes what: one node's table, by its rules and its clock."""

    def __init__(self, table: Table, rules: RegistrarRules, clock: HybridClock) -> None:
        self.table = table
        self.rules = rules
        self.clock = clock

    def add(self, aor: bytes, binding: Binding, now: int, now_ms: int) -> None:
        """Put `binding` beside the live ones of `aor`, in place of one with the same contact."""
        for _ in range(ATTEMPTS):
            stored, stamp = self._look(aor)
            live = [old for old in stored if old.is_live(now)]
            kept = [old for old in live if old.contact != binding.contact]
            binding.version = self._version(stored, now_ms)
            binding.modified = now
            gone = [old for old in live if old.contact == binding.contact]
            if self._commit(aor, stamp, stored, [*kept, binding], gone, binding.version):
                return
        raise LockTimeout(f"the record of {aor!r} is changing too fast to add a binding")

    def remove_contact(self, aor: bytes, contact: bytes, now: int, now_ms: int) -> bool:
        """Remove the binding with exactly this contact; False when there is none."""
        for _ in range(ATTEMPTS):
            stored, stamp = self._look(aor)
            live = [binding for binding in stored if binding.is_live(now)]
            gone = [binding for binding in live if binding.contact == contact]
            if not gone:
                return False
            kept = [binding for binding in live if binding.contact != contact]
            if self._commit(aor, stamp, stored, kept, gone, self._version(stored, now_ms)):
                return True
        raise LockTimeout(f"the record of {aor!r} is changing too fast to remove a binding")

    def remove(self, aor: bytes, now_ms: int) -> bool:
        """Remove every binding of `aor`; False when it has none here."""
        for _ in range(ATTEMPTS):
            stored, stamp = self._look(aor)
            gone = [binding for binding in stored if not binding.flags & REMOVED]
            if stamp == 0 or (stored and not gone):
                return False
            version = self._version(stored, now_ms)
            if self._commit(aor, stamp, stored, [], all_of_them(), version):
                return True
        raise LockTimeout(f"the record of {aor!r} is changing too fast to be removed")

    def _look(self, aor: bytes) -> tuple[list[Binding], int]:
        payload, stamp = self.table.snapshot(aor)
        try:
            return ([] if payload is None else decode(payload)), stamp
        except CorruptRecord:
            return [], stamp  # what nobody can read is overwritten

    def _version(self, stored: list[Binding], now_ms: int) -> int:
        return self.clock.tick(now_ms, max([old.version for old in stored], default=0))

    def _commit(
        self,
        aor: bytes,
        stamp: int,
        stored: list[Binding],
        kept: list[Binding],
        gone: list[Binding],
        version: int,
    ) -> bool:
        if self.rules.replicated:
            now = (version >> 16) // 1_000
            kept = buried(kept, stored, tombstones_of(gone, now, self.rules.node), version)
        return commit_bindings(self.table, aor, stamp, kept)
