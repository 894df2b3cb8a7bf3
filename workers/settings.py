"""The settings: one frozen model per section of the configuration file."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, StrictBool, StrictStr, model_validator

from proxy.limits import bounds
from proxy.storage.modes import NO_DB, NONE, SQL_ONLY, DialogMode, Mode, Policy
from workers.cluster_settings import Cluster, contents_of
from workers.setting_types import (
    SIP_PORT,
    DatabaseUrl,
    Domain,
    Endpoint,
    FilePath,
    Fraction,
    ListenAddress,
    NameServer,
    NetworkAddress,
    ProfileName,
    Section,
    Whole,
    parse_endpoint,
    possible_folder,
    readable_file,
)

METRICS_PORT = 9090
PipeAlgorithm = Literal["TAILDROP", "RED", "SBT", "HISTORY", "NETWORK", "FEEDBACK"]


def default_script(package: Path) -> Path:
    """The policy shipped with the program: in the package if installed, else in the sources."""
    installed = package / "conf" / "routing.py"
    return installed if installed.exists() else package.parent / "conf" / "routing.py"


DEFAULT_SCRIPT = default_script(Path(__file__).resolve().parent)


class Node(Section):
    """Who this node is."""

    id: Annotated[Whole, Field(ge=1, le=65_535)] = 1
    domains: tuple[Domain, ...] = ()
    secret: Annotated[StrictStr, Field(min_length=16)] | None = None
    runtime_dir: Annotated[FilePath, AfterValidator(possible_folder)] = Path("var")


class Listen(Section):
    """Where datagrams come in."""

    udp: Annotated[tuple[ListenAddress, ...], Field(min_length=1, max_length=64)] = (
        Endpoint("127.0.0.1", SIP_PORT),
    )
    receive_buffer: Annotated[Whole, Field(ge=65_536, le=1 << 30)] = 4 << 20

    @model_validator(mode="after")
    def _distinct(self) -> Listen:
        if len(set(self.udp)) != len(self.udp):
            raise ValueError("udp names an address twice")
        return self


class Workers(Section):
    """How many processes, and how long they are waited for."""

    udp: Annotated[Whole, Field(ge=1, le=64)] = 2
    inbox_bytes: Annotated[Whole, Field(ge=262_144, le=1 << 30)] = 4 << 20
    slow_seconds: Annotated[Fraction, Field(ge=0.5, le=3_600)] = 2.0
    hang_seconds: Annotated[Fraction, Field(ge=0.5, le=3_600)] = 10.0
    memory_mb: Annotated[Whole, Field(ge=64, le=1_048_576)] = 4_096
    drain_seconds: Annotated[Fraction, Field(ge=0, le=3_600)] = 20.0
    grace_seconds: Annotated[Fraction, Field(ge=0, le=3_600)] = 5.0
    pure: StrictBool = False


class Location(Section):
    """The table of registered phones."""

    capacity: Annotated[Whole, Field(ge=16, le=100_000_000)] = 100_000
    sharing_tag: StrictStr = ""


class Registrar(Section):
    """What a REGISTER may ask for."""

    default_expires: Annotated[Whole, Field(ge=1, le=2**32 - 1)] = 3_600
    min_expires: Annotated[Whole, Field(ge=0, le=2**32 - 1)] = 60
    max_expires: Annotated[Whole, Field(ge=1, le=2**32 - 1)] = 7_200
    max_contacts: Annotated[Whole, Field(ge=1, le=32)] = 10
    expires_jitter: Annotated[Fraction, Field(ge=0, le=0.5)] = 0.1
    when_full: Literal["refuse", "replace"] = "refuse"
    retry_after: Annotated[Whole, Field(ge=0, le=86_400)] = 30
    short_expires: Literal["refuse", "raise"] = "refuse"
    path_mode: Literal["lazy", "strict", "off", "none"] = "lazy"
    cseq_delay: Annotated[Whole, Field(ge=0, le=3_600)] = 20
    match_call_id: StrictBool = False

    @model_validator(mode="after")
    def _ordered(self) -> Registrar:
        if not self.min_expires <= self.default_expires <= self.max_expires:
            raise ValueError("needs min_expires <= default_expires <= max_expires")
        return self


_PLAIN_TEXT = re.compile(r"[^\x00-\x1f\x7f\"\\]*")


def _realm(value: str) -> str:
    if not _PLAIN_TEXT.fullmatch(value):
        raise ValueError("must have no quotes, backslashes or control characters")
    return value


DigestAlgorithm = Literal[
    "MD5", "MD5-sess", "SHA-256", "SHA-256-sess", "SHA-512-256", "SHA-512-256-sess"
]


class Auth(Section):
    """Digest authentication, and what is kept of the database's answers."""

    enabled: StrictBool = False
    realm: Annotated[StrictStr, Field(max_length=256), AfterValidator(_realm)] = ""
    algorithms: Annotated[tuple[DigestAlgorithm, ...], Field(min_length=1)] = ("SHA-256", "MD5")
    qop: Literal["auth", "auth-int", "auth,auth-int"] = "auth"
    allow_rfc2069: StrictBool = False
    check_uri: StrictBool = True
    nonce_lifetime: Annotated[Whole, Field(ge=5, le=86_400)] = 300
    bind_source: StrictBool = False
    nonces: Annotated[Whole, Field(ge=100, le=100_000_000)] = 100_000
    use_domain: StrictBool = True
    calculate_ha1: StrictBool = False
    cache: Annotated[Whole, Field(ge=64, le=100_000_000)] = 100_000
    cache_ttl: Annotated[Whole, Field(ge=1, le=86_400)] = 600
    negative_ttl: Annotated[Whole, Field(ge=1, le=86_400)] = 30
    stale_seconds: Annotated[Whole, Field(ge=1, le=31_536_000)] = 604_800

    @model_validator(mode="after")
    def _ordered(self) -> Auth:
        if self.stale_seconds < self.cache_ttl:
            raise ValueError("needs cache_ttl <= stale_seconds")
        return self


class Routing(Section):
    """The policy."""

    script: Annotated[FilePath, AfterValidator(readable_file)] = DEFAULT_SCRIPT


class Resolver(Section):
    """How host names of next hops are looked up."""

    nameservers: Annotated[tuple[NameServer, ...], Field(max_length=8)] = ()
    timeout_seconds: Annotated[Fraction, Field(ge=0.1, le=10)] = 1.0

    @model_validator(mode="after")
    def _one_port(self) -> Resolver:
        if len({each.port for each in self.nameservers}) > 1:
            raise ValueError("nameservers must all listen on the same port")
        return self


def _needs_aiohttp(value: bool) -> bool:
    if value and find_spec("aiohttp") is None:
        raise ValueError("needs the package aiohttp: pip install 'sipherd[lookups]'")
    return value


class Lookups(Section):
    """The process that asks web servers for the policy."""

    enabled: Annotated[StrictBool, AfterValidator(_needs_aiohttp)] = False
    at_once: Annotated[Whole, Field(ge=1, le=10_000)] = 100
    answer_bytes: Annotated[Whole, Field(ge=256, le=65_536)] = 16_384


class Limits(Section):
    """Bounds on what one worker takes on."""

    transactions: Annotated[Whole, Field(ge=16, le=10_000_000)] = 500_000
    timer_c_seconds: Annotated[Whole, Field(ge=10, le=86_400)] = 181


class Pipe(Section):
    """A rate limit with a name."""

    name: Annotated[StrictStr, Field(min_length=1, max_length=bounds.PIPE_NAME_BYTES)]
    limit: Annotated[Whole, Field(ge=0, le=bounds.PIPE_LIMIT)]
    algorithm: PipeAlgorithm | None = None


class Ratelimit(Section):
    """Pipes: how many requests may pass in how much time."""

    capacity: Annotated[Whole, Field(ge=16, le=65_536)] = 1_024
    timer_interval: Annotated[Whole, Field(ge=1, le=3_600)] = 10
    limit_per_interval: StrictBool = False
    window_size: Annotated[Whole, Field(ge=1, le=3_600)] = 10
    slot_period: Annotated[Whole, Field(ge=10, le=60_000)] = 200
    expire_time: Annotated[Whole, Field(ge=1, le=86_400)] = 3_600
    default_algorithm: PipeAlgorithm = "TAILDROP"
    pipes: tuple[Pipe, ...] = ()

    @model_validator(mode="after")
    def _possible(self) -> Ratelimit:
        window_ms = self.window_size * 1_000
        if window_ms % self.slot_period or window_ms == self.slot_period:
            raise ValueError("needs a window_size of two or more whole slot_periods")
        if window_ms // self.slot_period > bounds.PIPE_SLOTS:
            raise ValueError(f"needs at most {bounds.PIPE_SLOTS} slot_periods in a window_size")
        if len({each.name for each in self.pipes}) != len(self.pipes):
            raise ValueError("pipes names a pipe twice")
        if len(self.pipes) > self.capacity:
            raise ValueError("declares more pipes than its capacity")
        return self


class Flood(Section):
    """The guard against floods from one source."""

    enabled: StrictBool = False
    sampling_time_unit: Annotated[Whole, Field(ge=1, le=60)] = 2
    reqs_density_per_unit: Annotated[Whole, Field(ge=1, le=10_000_000)] = 400
    remove_latency: Annotated[Whole, Field(ge=1, le=86_400)] = 120
    trusted: Annotated[tuple[NetworkAddress, ...], Field(max_length=256)] = ()
    capacity: Annotated[Whole, Field(ge=64, le=16_777_216)] = 65_536


class Overload(Section):
    """How long messages may wait, and what becomes of new work that would make them wait longer."""

    target_ms: Annotated[Whole, Field(ge=1, le=1_000)] = 5
    stale_ms: Annotated[Whole, Field(ge=50, le=32_000)] = 500
    answers_per_second: Annotated[Whole, Field(ge=0, le=1_000_000)] = 10_000
    retry_after: Annotated[Whole, Field(ge=0, le=3_600)] = 10


class Storage(Section):
    """Databases: which, and what is written to them when."""

    urls: Annotated[
        tuple[DatabaseUrl, ...],
        Field(min_length=1, max_length=8, repr=False, validate_default=True),
    ] = ("sqlite:///var/sipherd.db",)
    mode: Mode = NO_DB
    policy: Policy = "failover"
    interval_seconds: Annotated[Fraction, Field(ge=0.1, le=3_600)] = 10.0
    wait_seconds: Annotated[Fraction, Field(ge=0.1, le=30)] = 3.0
    parked: Annotated[Whole, Field(ge=1, le=1_000_000)] = 20_000
    list_bytes: Annotated[Whole, Field(ge=4_096, le=1 << 30)] = 1 << 20

    @model_validator(mode="after")
    def _sensible(self) -> Storage:
        if len(set(self.urls)) != len(self.urls):
            raise ValueError("urls names a database twice")
        if self.mode == SQL_ONLY and self.policy == "parallel":
            raise ValueError("mode sql-only keeps nothing to bring a second database up to date")
        return self


class Dialog(Section):
    """The calls that are tracked."""

    enabled: StrictBool = False
    automatic: StrictBool = True
    capacity: Annotated[Whole, Field(ge=16, le=50_000_000)] = 20_000
    when_full: Literal["relay", "refuse"] = "relay"
    default_timeout: Annotated[Whole, Field(ge=1, le=31_536_000)] = 43_200
    delete_delay: Annotated[Whole, Field(ge=0, le=3_600)] = 5
    late_requests: Literal["refuse", "relay"] = "refuse"
    sharing_tag: StrictStr = ""
    options_ping_interval: Annotated[Whole, Field(ge=1, le=86_400)] = 30
    reinvite_ping_interval: Annotated[Whole, Field(ge=1, le=86_400)] = 300
    race_condition_timeout: Annotated[Whole, Field(ge=1, le=3_600)] = 5
    db_mode: DialogMode = NONE
    db_update_period: Annotated[Whole, Field(ge=1, le=86_400)] = 60
    cdr_file: FilePath | None = None
    cdr_variables: Annotated[tuple[StrictStr, ...], Field(max_length=32)] = ()
    profiles: Annotated[tuple[ProfileName, ...], Field(max_length=32)] = ()
    profiles_no_value: Annotated[tuple[ProfileName, ...], Field(max_length=32)] = ()

    @model_validator(mode="after")
    def _distinct(self) -> Dialog:
        names = self.profiles + self.profiles_no_value
        if len(set(names)) != len(names):
            raise ValueError("profiles and profiles_no_value name a profile twice")
        return self

    @property
    def is_stored(self) -> bool:
        """Whether calls are written to a database."""
        return self.enabled and self.db_mode != NONE


class LogSettings(Section):
    """What is written where."""

    level: Literal["debug", "info", "notice", "warning", "error"] = "info"
    format: Literal["text", "json"] = "text"
    file: FilePath | None = None


def _metrics_address(value: object) -> object:
    return parse_endpoint(value, METRICS_PORT)


class Metrics(Section):
    """Figures for Prometheus."""

    listen: Annotated[Endpoint | None, BeforeValidator(_metrics_address)] = None


class Config(Section):
    """The whole file. `path` is where it was read from."""

    node: Node = Field(default_factory=Node)
    listen: Listen = Field(default_factory=Listen)
    workers: Workers = Field(default_factory=Workers)
    location: Location = Field(default_factory=Location)
    registrar: Registrar = Field(default_factory=Registrar)
    auth: Auth = Field(default_factory=Auth)
    routing: Routing = Field(default_factory=Routing)
    resolver: Resolver = Field(default_factory=Resolver)
    lookups: Lookups = Field(default_factory=Lookups)
    limits: Limits = Field(default_factory=Limits)
    ratelimit: Ratelimit = Field(default_factory=Ratelimit)
    flood: Flood = Field(default_factory=Flood)
    overload: Overload = Field(default_factory=Overload)
    storage: Storage = Field(default_factory=Storage)
    dialog: Dialog = Field(default_factory=Dialog)
    cluster: Cluster = Field(default_factory=Cluster)
    log: LogSettings = Field(default_factory=LogSettings)
    metrics: Metrics = Field(default_factory=Metrics)
    path: Path = Field(default=Path("sipherd.toml"), exclude=True)

    @property
    def uses_storage(self) -> bool:
        """Whether a storage process is needed: a database is named, or something asks for one."""
        named = "urls" in self.storage.model_fields_set
        asked = self.auth.enabled or self.dialog.is_stored or self.cluster.from_database
        return named or asked or self.storage.mode != NO_DB

    def replicates(self, content: str) -> bool:
        """Whether any cluster of this node keeps a table equal on several nodes."""
        return any(content in contents_of(self, each) for each in self.cluster.clusters)

    @property
    def folder(self) -> Path:
        """The folder that relative paths of the file start from."""
        return self.path.parent
