"""What a worker needs to know of users, domains and addresses; see proxy/routing/authentication.py.

Users and aliases are asked for one by one. The lists of domains and addresses are read by the first
worker and published to all; each takes over what is new once a second.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from proxy.errors import ShmError
from proxy.registrar.answers import Answers
from proxy.registrar.questions import ALIAS, SUBSCRIBER, URIS, Field
from proxy.routing.authentication import Authentication, AuthenticationRules
from proxy.routing.inquiries import Inquiries
from proxy.routing.node import Node
from proxy.routing.nonce import Nonces
from proxy.routing.pending import Pending
from proxy.sip.digest_algorithms import NAMES
from proxy.storage.kinds import Kind, Status
from workers.access_tables import ADDRESSES, DOMAINS, AccessTables
from workers.child import Child
from workers.errands import Errand, send_errand
from workers.settings import Auth

WORKERS_PER_NODE: Final = 1_024  # of which the nonces of two nodes never meet
LIST_KINDS: Final = {DOMAINS: Kind.DOMAINS, ADDRESSES: Kind.ADDRESSES}
KINDS: Final = {SUBSCRIBER: Kind.SUBSCRIBER, ALIAS: Kind.ALIASES, URIS: Kind.URIS}
RETRY_SECONDS: Final = 5.0
REFUSED_SECONDS: Final = 300.0  # a database without the table will not have it in five

AskStorage = Callable[[int, list[Field], Pending], None]


class Lists:
    """The lists of the database: loaded by one worker, taken over by all."""

    def __init__(self, child: Child, tables: AccessTables, node: Node, ask: AskStorage) -> None:
        self.child = child
        self.page = tables.lists
        self.node = node
        self.ask = ask
        self.seen = dict.fromkeys(LIST_KINDS, 0)
        self.load_at = dict.fromkeys(LIST_KINDS, 0.0 if child.first else float("inf"))

    def turn(self) -> None:
        """Once a second: ask for what is due, take over what is new."""
        for number in LIST_KINDS:
            if self.node.now >= self.load_at[number]:
                self.load(number)
        self.refresh()

    def refresh(self) -> None:
        """Take over what somebody has published."""
        for number in LIST_KINDS:
            if self.page.generation(number) != self.seen[number]:
                self.take_over(number)

    def begin_anew(self) -> None:
        """Take over what was published, by objects that are new, and have it read once more."""
        self.seen = dict.fromkeys(LIST_KINDS, 0)
        if self.child.first:
            self.load_at = dict.fromkeys(LIST_KINDS, self.node.now)
        self.refresh()

    def load(self, number: int) -> None:
        """Ask the database for a list; again after a while, until it answers."""
        self.load_at[number] = self.node.now + RETRY_SECONDS
        pending = Pending()
        pending.waiter = ListWaiter(partial(self.loaded, number))
        self.ask(LIST_KINDS[number], [], pending)

    def loaded(self, number: int, pending: Pending) -> None:
        """The database has answered, or has not."""
        fetched = pending.result
        if fetched and fetched.status == Status.FAILED:
            self.load_at[number] = self.node.now + REFUSED_SECONDS
        if not fetched or fetched.status != Status.ANSWERED:
            return
        self.load_at[number] = float("inf")
        try:
            self.page.publish(number, fetched.rows)
        except ShmError as error:
            self.child.log.error("list too long", reason=error)

    def take_over(self, number: int) -> None:
        """Use the list that somebody has published."""
        found = self.page.read(number)
        if found is None:
            return  # being published at this moment
        self.seen[number], rows = found
        if number == DOMAINS:
            self.node.identity.domains.replace(rows)
            self.node.rules.domains.replace(rows)
        else:
            self.node.addresses.replace(rows)
            if self.node.addresses.bad_rows and self.child.first:
                bad = self.node.addresses.bad_rows
                self.child.log.warning("address rows ignored", rows=bad)


class ListWaiter:
    """Who waits for a list."""

    def __init__(self, loaded: Callable[[Pending], None]) -> None:
        self.loaded = loaded

    def resume(self, pending: Pending) -> None:
        """The answer, or LATE."""
        self.loaded(pending)


def access_of(child: Child, node: Node, ask: AskStorage) -> Lists | None:
    """Let a worker's node know what the database knows; None where no database is used."""
    tables = child.tables.access
    if tables is None:
        return None
    settings = child.config.auth
    answers = answers_of(child.config.auth, tables)

    def ask_kind(kind: bytes, fields: list[Field], pending: Pending) -> None:
        ask(KINDS[kind], fields, pending)

    node.inquiries = Inquiries(node, answers, ask_kind, partial(tell_others, child))
    if tables.nonces is not None:
        rules, nonces = rules_of(child, settings), nonces_of(child, settings)
        node.authentication = Authentication(rules, nonces, tables.nonces, node.inquiries)
    lists = Lists(child, tables, node, ask)
    node.errands[int(Errand.CREDENTIALS)] = node.inquiries.told
    node.errands[int(Errand.RELOAD_LIST)] = lambda data: lists.load(data[0])
    lists.refresh()
    return lists


def answers_of(settings: Auth, tables: AccessTables) -> Answers:
    """What is kept of the database's answers, for as long as is configured."""
    return Answers(
        tables.answers,
        ttl=settings.cache_ttl,
        negative_ttl=settings.negative_ttl,
        stale_seconds=settings.stale_seconds,
    )


def use_rules(child: Child, node: Node) -> None:
    """Let a worker's node authenticate by the settings of another edition."""
    tables, settings = child.tables.access, child.config.auth
    if tables is None:
        return
    node.inquiries.answers = answers_of(settings, tables)
    if node.authentication is None:
        return
    nonces = node.authentication.nonces
    nonces.lifetime_ms, nonces.binds_source = settings.nonce_lifetime * 1_000, settings.bind_source
    node.authentication = Authentication(
        rules_of(child, settings), nonces, node.authentication.used, node.inquiries
    )


def nonces_of(child: Child, settings: Auth) -> Nonces:
    """The nonces of a worker, different from those of all others."""
    return Nonces(
        child.secret,
        child.config.node.id * WORKERS_PER_NODE + child.index,
        lifetime_ms=settings.nonce_lifetime * 1_000,
        binds_source=settings.bind_source,
    )


def rules_of(child: Child, settings: Auth) -> AuthenticationRules:
    """The configured rules."""
    domains = child.config.node.domains
    numbers = {name.decode(): number for number, name in NAMES.items()}
    return AuthenticationRules(
        algorithms=tuple(numbers[name] for name in settings.algorithms),
        realm=settings.realm.encode(),
        default_realm=domains[0].encode() if domains else child.listeners[0].host,
        qop=settings.qop.encode(),
        use_domain=settings.use_domain,
        calculate_ha1=settings.calculate_ha1,
        check_uri=settings.check_uri,
        allow_rfc2069=settings.allow_rfc2069,
    )


def tell_others(child: Child, news: bytes) -> None:
    """Pass on to the other workers what the database has said of a key."""
    tables = child.tables
    for worker in tables.places.at_work():
        if worker != child.index and tables.inboxes[worker] is not None:
            send_errand(child, worker, Errand.CREDENTIALS, news)
