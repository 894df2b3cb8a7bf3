"""The domains we serve: the configured ones, and those of the `domain` table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


class Domains:
    """Asked of every request; `replace` takes over the table's rows while we run."""

    def __init__(self, configured: Iterable[bytes]) -> None:
        self.configured = frozenset(domain.lower() for domain in configured)
        self.served = self.configured
        self.parents: frozenset[bytes] = frozenset()  # whose subdomains are ours as well

    def replace(self, rows: Sequence[Sequence[bytes | None]]) -> None:
        """Rows of `domain`, attrs, `accept_subdomain`: beside the configured domains, those."""
        listed = set(self.configured)
        parents = set()
        for row in rows:
            name = (row[0] or b"").strip().lower()
            if name:
                listed.add(name)
                if (row[2] or b"0") != b"0":
                    parents.add(name)
        self.parents = frozenset(parents)
        self.served = frozenset(listed)

    def serves(self, host: bytes) -> bool:
        """Whether a host is ours."""
        return host in self.served or (len(self.parents) > 0 and self.is_below(host))

    def is_below(self, host: bytes) -> bool:
        """Whether a host is a subdomain of one whose subdomains are ours."""
        while True:
            _, dot, host = host.partition(b".")
            if not dot:
                return False
            if host in self.parents:
                return True
