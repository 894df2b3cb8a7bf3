"""Who is asking? Digest authentication as a step of the policy (RFC 3261 §22, RFC 7616, RFC 8760).

`authorize` is the whole of it: read the credentials, judge the nonce without any memory, look the
user up, compare, count the use of the nonce, and see that the user owns the address. Nobody learns
from an answer, or from how long it took, whether a user exists: a user who is not there has the
HA1s of nobody, and the same hashes are computed.
"""

from __future__ import annotations

from proxy.errors import BadMessage, LockTimeout
from proxy.limits import bounds
from proxy.limits.counters import (
    AUTH_ACCEPTED,
    AUTH_CHALLENGES,
    AUTH_NO_HASH,
    AUTH_NOT_OWNER,
    AUTH_OTHER_URI,
    AUTH_REPLAYS,
    AUTH_STALE,
    AUTH_UNAVAILABLE,
    AUTH_WRONG,
    LOCK_TIMEOUTS,
    NONCES_EVICTED,
)
from proxy.registrar.answers import FOUND, Answer
from proxy.registrar.questions import AliasQuestion, SubscriberQuestion, UrisQuestion
from proxy.registrar.subscriber import ha1_in, has_ha1
from proxy.routing.exchange import Exchange
from proxy.routing.inquiries import Inquiries
from proxy.routing.nonce import Nonces, serial_of
from proxy.shm.nonce_table import ACCEPTED, EVICTING, NonceTable
from proxy.sip.credentials import Credentials, parse_credentials
from proxy.sip.digest import Verifier, challenge
from proxy.sip.digest_algorithms import HASH_OF, STRENGTH
from proxy.sip.header_ids import AUTHORIZATION, PROXY_AUTHORIZATION
from proxy.sip.uri import Uri, escape_user, parse_uri, unescape_user, uri_equal

RETRY_AFTER = b"Retry-After: 5\r\n"
CREDENTIALS = bounds.CREDENTIALS


class User:
    """Somebody who has shown that they know a password."""

    __slots__ = ("name", "realm")

    def __init__(self, name: bytes, realm: bytes) -> None:
        self.name = name
        self.realm = realm

    @property
    def aor(self) -> bytes:
        """user@realm."""
        return self.name + b"@" + self.realm

    def __repr__(self) -> str:
        return f"User({self.aor!r})"


class AuthenticationRules:
    """What an operator decides about authentication."""

    def __init__(
        self,
        *,
        algorithms: tuple[int, ...],
        realm: bytes = b"",
        default_realm: bytes = b"",
        qop: bytes = b"auth",
        use_domain: bool = True,
        calculate_ha1: bool = False,
        check_uri: bool = True,
        allow_rfc2069: bool = False,
    ) -> None:
        self.algorithms = tuple(each for each in STRENGTH if each in algorithms)
        self.realm = realm
        self.default_realm = default_realm
        self.qop = qop
        self.qops = frozenset(qop.split(b","))
        self.use_domain = use_domain
        self.calculate_ha1 = calculate_ha1
        self.check_uri = check_uri
        self.allow_rfc2069 = allow_rfc2069


class Authentication:
    """What one worker needs to authenticate."""

    def __init__(
        self, rules: AuthenticationRules, nonces: Nonces, used: NonceTable, inquiries: Inquiries
    ) -> None:
        self.rules = rules
        self.nonces = nonces
        self.used = used
        self.inquiries = inquiries
        self.verifier = Verifier()

    # -- realm, credentials, challenge ----------------------------------------------------------

    def realm_of(self, request: Exchange, uri: Uri) -> bytes:
        """The realm of a request about this address: the configured one, else its domain."""
        if self.rules.realm:
            return self.rules.realm
        domains = request.node.identity.domains
        # Where the domain tells no users apart, invented subdomains must not fill the cache.
        named = domains.serves(uri.host) if self.rules.use_domain else uri.host in domains.served
        return uri.host if named else self.rules.default_realm

    def realm_about(self, request: Exchange, www: bool) -> bytes:
        """The realm of the To (as a registrar) or From address."""
        return self.realm_of(request, address_asked(request, www))

    def credentials(self, request: Exchange, header: int, realm: bytes) -> Credentials | None:
        """The credentials for our realm under the strongest algorithm of ours (§22.3)."""
        message = request.message
        best: Credentials | None = None
        algorithms = self.rules.algorithms
        rank = len(algorithms)
        index = message.first_of(header)
        count = 0
        while index >= 0:
            count += 1
            if count > CREDENTIALS:
                raise BadMessage("Too many credentials")
            given = parse_credentials(message.value(index))
            if given is not None and given.realm == realm:
                for place in range(rank):
                    if algorithms[place] == given.algorithm:
                        best = given
                        rank = place
                        break
            index = message.next_of(index)
        return best

    def challenge(self, request: Exchange, www: bool, realm: bytes, stale: bool) -> None:
        """Answer 401 or 407 with a header for each algorithm, the strongest first (RFC 8760)."""
        name = b"WWW-Authenticate: " if www else b"Proxy-Authenticate: "
        lines = b""
        for algorithm in self.rules.algorithms:
            nonce = self.nonces.make(request.node.wall_ms, realm, algorithm, request.source.host)
            lines += name + challenge(realm, nonce, algorithm, self.rules.qop, stale) + b"\r\n"
        request.node.counters.add(AUTH_CHALLENGES, 1)
        request.refuse(401 if www else 407, lines)

    # -- the steps of a decision ----------------------------------------------------------------

    def is_usable(self, request: Exchange, given: Credentials) -> bool:
        """Whether credentials are of a form that was asked for, and for this request."""
        if given.qop == 0:
            if not self.rules.allow_rfc2069 or given.algorithm not in (1, 3, 5):
                return False
        elif given.qop_text not in self.rules.qops:
            return False
        if not self.rules.check_uri or given.uri == request.message.request_uri:
            return True
        if uri_equal(parse_uri(given.uri), parse_uri(request.message.request_uri)):
            return True
        request.node.counters.add(AUTH_OTHER_URI, 1)
        return False

    def matches(self, request: Exchange, given: Credentials, answer: Answer) -> bool:
        """Whether the response proves the password; as much work for those who do not exist."""
        kind = HASH_OF[given.algorithm]
        record = answer.body if answer.state == FOUND else b""
        method = request.method.encode()
        body = request.message.body if given.qop == 2 else b""
        right = self.verifier.matches(given, method, body, ha1_in(record, kind))
        if record and not has_ha1(record, kind):
            request.node.counters.add(AUTH_NO_HASH, 1)
            return False
        return right and answer.state == FOUND

    def use_nonce(self, request: Exchange, given: Credentials, issued_ms: int) -> int:
        """Count one use of a nonce: 1, or 0 for a replay, or -1 while that cannot be told."""
        node = request.node
        twin = self.nonces.twin(request.message.data, request.source.hostport)
        nc = given.nc if given.nc else 1
        try:
            verdict = self.used.use(serial_of(given.nonce), issued_ms, nc, twin, node.wall)
        except LockTimeout:
            node.counters.add(LOCK_TIMEOUTS, 1)
            return -1
        if verdict == EVICTING:
            node.counters.add(NONCES_EVICTED, 1)
        return 1 if verdict in (ACCEPTED, EVICTING) else 0

    def question(self, given: Credentials) -> SubscriberQuestion:
        """What to ask about whoever gave these credentials."""
        rules = self.rules
        return SubscriberQuestion(
            given.username,
            given.realm,
            use_domain=rules.use_domain,
            calculate_ha1=rules.calculate_ha1,
        )

    def consume(self, request: Exchange, realm: bytes) -> None:
        """Take our credentials off what will be relayed: nobody behind us needs them (§22.3)."""
        message = request.message
        for header in (AUTHORIZATION, PROXY_AUTHORIZATION):
            index = message.first_of(header)
            while index >= 0:
                given = parse_credentials(message.value(index))
                if given is not None and given.realm == realm:
                    request.relaying.amended().edit(index, None)
                index = message.next_of(index)

    # -- who may be who -------------------------------------------------------------------------

    def is_at_home(self, request: Exchange, user: User, uri: Uri) -> bool:
        """Whether an address is in the user's own domain, or in one that shares its realm."""
        if uri.host != user.realm and self.realm_of(request, uri) != user.realm:
            return False
        if uri.host == user.realm and request.method != "REGISTER":
            return True  # with any port; a REGISTER would make another record for each
        return request.node.identity.is_ours(uri)

    def is_own(self, request: Exchange, user: User, uri: Uri) -> bool:
        """Whether an address is the user's by its spelling alone."""
        return spells(uri.user, user.name) and self.is_at_home(request, user, uri)

    async def owns(self, request: Exchange, user: User, uri: Uri) -> bool | None:
        """Whether an address is the user's, by `dbaliases` or `uri` too; None: nobody can tell."""
        if self.is_own(request, user, uri):
            return True
        alias = await self.inquiries.find(AliasQuestion(unescape_user(uri.user), uri.host))
        if alias is not None and alias.state == FOUND:
            name, _, domain = alias.body.partition(b"\0")
            if name == user.name and domain == user.realm:
                return True
        if not uri.user or not self.is_at_home(request, user, uri):
            return False  # a domain is nobody's, and another domain's names are not in `uri`
        uris = await self.inquiries.find(UrisQuestion(user.name, user.realm))
        if uris is not None and unescape_user(uri.user) in uris.body.split(b"\0"):
            return True
        return None if alias is None or uris is None else False


def spells(user: bytes, name: bytes) -> bool:
    """Whether the user part of a URI stands for a name, by whatever escapes (RFC 3261 §19.1.4)."""
    plain = unescape_user(user)
    if plain == name and b"%" not in name:
        return True
    return plain == unescape_user(escape_user(name))  # ü is %C3%BC in a URI, and % is %25


def address_asked(request: Exchange, www: bool) -> Uri:
    """The address that has to be the user's: To for a registrar, From for a proxy."""
    message = request.message
    return parse_uri((message.to_addr if www else message.from_addr).uri)


async def behind_alias(inquiries: Inquiries, uri: Uri) -> bytes | None:
    """The URI of the user whose alias this is; None when it is none, or nobody can tell."""
    if not uri.is_sip or not uri.user:
        return None
    found = await inquiries.find(AliasQuestion(unescape_user(uri.user), uri.host))
    if found is None or found.state != FOUND:
        return None
    name, _, domain = found.body.partition(b"\0")
    raw = b"sip:" + escape_user(name) + b"@" + domain
    return parse_uri(raw).raw


async def authorize(
    request: Exchange, auth: Authentication, realm: bytes | None, www: bool, own: bool
) -> User | None:
    """Who sent the request; None when it has been answered instead (401, 407, 403, 503)."""
    node = request.node
    uri = address_asked(request, www)
    realm = auth.realm_of(request, uri) if realm is None else realm
    header = AUTHORIZATION if www else PROXY_AUTHORIZATION
    given = auth.credentials(request, header, realm)
    if given is None or not auth.is_usable(request, given):
        auth.challenge(request, www, realm, False)
        return None
    issued_ms = auth.nonces.issued_ms(given.nonce, realm, given.algorithm, request.source.host)
    if issued_ms == 0:
        auth.challenge(request, www, realm, False)
        return None
    if not auth.nonces.is_fresh(issued_ms, node.wall_ms):
        node.counters.add(AUTH_STALE, 1)
        auth.challenge(request, www, realm, True)
        return None
    question = auth.question(given)
    answer = auth.inquiries.known(question)
    if answer is None:
        if not request.hold():
            return None
        answer = await auth.inquiries.find(question)
        if answer is None:
            unavailable(request)
            return None
    if not auth.matches(request, given, answer):
        node.counters.add(AUTH_WRONG, 1)
        auth.challenge(request, www, realm, False)
        return None
    used = auth.use_nonce(request, given, issued_ms)
    if used < 0:
        unavailable(request)
        return None
    if not used:
        node.counters.add(AUTH_REPLAYS, 1)
        auth.challenge(request, www, realm, True)
        return None
    user = User(given.username, realm)
    if own and not auth.is_own(request, user, uri):
        if not request.hold():
            return None
        owner = await auth.owns(request, user, uri)
        if owner is None:
            unavailable(request)
            return None
        if not owner:
            node.counters.add(AUTH_NOT_OWNER, 1)
            request.answer(403, b"Forbidden auth ID", b"", b"")
            return None
    node.counters.add(AUTH_ACCEPTED, 1)
    if request.method != "REGISTER":
        auth.consume(request, realm)
    return user


def unavailable(request: Exchange) -> None:
    """Nobody can tell: come back later, and keep your password."""
    request.node.counters.add(AUTH_UNAVAILABLE, 1)
    request.refuse(503, RETRY_AFTER)
