"""Cached users, domains and groups of addresses, by OpenSIPS' names where it has any."""

from __future__ import annotations

import time
from ipaddress import ip_network
from typing import Any, Final

from proxy.registrar.answers import ABSENT, FOUND, Answers
from proxy.routing.address_groups import AddressGroups, Entry
from workers.access_tables import ADDRESSES, DOMAINS, AccessTables
from workers.commands.command import NOT_FOUND, CommandError, Group, command, text
from workers.errands import Errand, send_errand

SCAN_BATCH: Final = 500
KINDS: Final = {b"s": "subscribers", b"a": "aliases", b"u": "uris"}
UNAVAILABLE: Final = 500
GRACE_S: Final = 1.0


class Access(Group):
    """Commands about users, domains and addresses."""

    # Users

    @command
    def auth_cache(self) -> dict[str, Any]:
        """Count what is cached of the database's answers, and the nonces in use."""
        tables = self._tables()
        counts = {f"{name}": 0 for name in KINDS.values()}
        absent = 0
        cursor = 0
        while True:
            rows, cursor = tables.answers.scan(cursor, SCAN_BATCH)
            for key, payload in rows:
                if payload[:1] == bytes((FOUND,)):
                    counts[KINDS.get(key[:1], "subscribers")] += 1
                elif payload[:1] == bytes((ABSENT,)):
                    absent += 1
            self._child.beat()
            if cursor == 0:
                break
        nonces = tables.nonces
        return {
            **counts,
            "absent": absent,
            "capacity": tables.answers.capacity,
            "nonces": nonces.count if nonces else 0,
            "nonces_capacity": nonces.capacity if nonces else 0,
            "nonces_evicted": nonces.evicted if nonces else 0,
        }

    @command
    def auth_show(self, user: str, realm: str) -> dict[str, Any]:
        """Show what is cached of a user: never the password or what stands for it."""
        answer = self._answers().look(_key(user, realm))
        if answer.state not in (FOUND, ABSENT):
            raise CommandError(NOT_FOUND, "User not cached")
        present = answer.body[0] if answer.state == FOUND else 0
        return {
            "user": user,
            "realm": realm,
            "state": "known" if answer.state == FOUND else "absent",
            "age": int(time.time()) - answer.fetched,
            "algorithms": [
                name
                for bit, name in enumerate(("MD5", "SHA-256", "SHA-512-256"))
                if present >> bit & 1
            ],
        }

    @command
    def auth_drop(self, user: str = "", realm: str = "") -> str:
        """Forget what is cached of a user, or of everybody: the next request asks the database."""
        if user:
            if not self._answers().forget(_key(user, realm)):
                raise CommandError(NOT_FOUND, "User not cached")
            return "OK"
        answers = self._answers()
        cursor = 0
        while True:
            rows, cursor = answers.table.scan(cursor, SCAN_BATCH)
            for key, _ in rows:
                answers.forget(key)
            self._child.beat()
            if cursor == 0:
                return "OK"

    # Domains

    @command
    def domain_reload(self) -> str:
        """Read the table `domain` anew."""
        return self._reload(DOMAINS)

    @command
    def domain_dump(self) -> dict[str, Any]:
        """List the domains of the table `domain`; the configured ones are in the file."""
        return {
            "Domains": [
                {
                    "name": text(row[0] or b""),
                    "attributes": text(row[1] or b""),
                    "accept_subdomain": int((row[2] or b"0") != b"0"),
                }
                for row in self._rows(DOMAINS)
            ]
        }

    # Addresses

    @command
    def address_reload(self) -> str:
        """Read the table `address` anew."""
        return self._reload(ADDRESSES)

    @command
    def address_dump(self) -> dict[str, Any]:
        """List the single addresses of the table `address`."""
        return self._partition(whole=True)

    @command
    def subnet_dump(self) -> dict[str, Any]:
        """List the networks of the table `address`."""
        return self._partition(whole=False)

    def _partition(self, whole: bool) -> dict[str, Any]:
        groups = AddressGroups()
        groups.replace(self._rows(ADDRESSES))
        listed = [_shape(entry) for entry in groups.entries if _is_host(entry) == whole]
        return {"Partitions": [{"name": "default", "Destinations": listed}]}

    def _reload(self, number: int) -> str:
        """Have the first worker ask for a list; OK when the rows are there."""
        page = self._tables().lists
        before = page.generation(number)
        worker = self._child.tables.shards.owner(0)  # any that serves
        if not send_errand(self._child, worker, Errand.RELOAD_LIST, bytes((number,))):
            raise CommandError(UNAVAILABLE, "The first worker's inbox is full: try again")

        def published() -> str | None:
            return "OK" if page.generation(number) != before else None

        answer = self._await(published, self._child.config.storage.wait_seconds + GRACE_S)
        if answer is None:
            raise CommandError(UNAVAILABLE, "No rows have come, the old ones are kept: see the log")
        return answer

    def _rows(self, number: int) -> list[list[bytes | None]]:
        page = self._tables().lists
        for _ in range(10):
            found = page.read(number)
            if found is not None:
                return found[1]
        raise CommandError(UNAVAILABLE, "The list is being replaced: try again")

    def _tables(self) -> AccessTables:
        tables = self._child.tables.access
        if tables is None:
            raise CommandError(UNAVAILABLE, "No database is in use: name one in [storage] urls")
        return tables

    def _answers(self) -> Answers:
        return Answers(self._tables().answers, ttl=1, negative_ttl=1, stale_seconds=1)


def _key(user: str, realm: str) -> bytes:
    return b"s" + realm.encode() + b"\0" + user.encode()


def _is_host(entry: Entry) -> bool:
    return entry.mask == (128 if ":" in entry.ip else 32)


def _shape(entry: Entry) -> dict[str, Any]:
    """An entry as OpenSIPS' address_dump prints it: a mask of bits, or of a network an address."""
    network = ip_network(f"{entry.ip}/{entry.mask}", strict=False)
    return {
        "grp": entry.group,
        "ip": entry.ip if _is_host(entry) else str(network.network_address),
        "mask": str(entry.mask) if _is_host(entry) else str(network.netmask),
        "port": entry.port,
        "proto": entry.proto,
        "pattern": entry.pattern or None,
        "context_info": entry.context_info or None,
    }
