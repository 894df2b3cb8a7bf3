"""The section [cluster]: which nodes share what, by which keys, and what is wrong with that."""

from __future__ import annotations

import ipaddress
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, StrictBool, StrictStr

from proxy.cluster.settings import Pace, Settings
from proxy.errors import ConfigError
from proxy.limits import bounds
from proxy.storage.modes import SQL_ONLY
from workers.setting_types import Endpoint, FilePath, Section, Whole, parse_endpoint

if TYPE_CHECKING:
    from workers.settings import Config

Content = Literal["location", "dialogs", "profiles", "limits", "destinations"]
LOCATION: Final = "location"
DIALOGS: Final = "dialogs"
PROFILES: Final = "profiles"
LIMITS: Final = "limits"
DESTINATIONS: Final = "destinations"

CLUSTER_PORT: Final = 5555
_Z85: Final = (
    "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"
)
_KEY_CHARACTERS: Final = 40
_SCHEMES: Final = ("tcp://", "bin:", "bins:")  # the last two stand in OpenSIPS' table
_EXAMPLE: Final = f'write "tcp://192.0.2.1:{CLUSTER_PORT}", with the address, not a name'

PACE: Final = Pace()
Mistake = tuple[tuple[str, ...], str]


def parse_cluster_url(value: object) -> Endpoint:
    """Where a node listens for other nodes; the port behind it is that of the beats."""
    if isinstance(value, Endpoint):
        return value
    text = value if isinstance(value, str) else ""
    scheme = next((each for each in _SCHEMES if text.startswith(each)), None)
    if scheme is None:
        raise ValueError(f"is no URL of a node: {_EXAMPLE}")
    endpoint = parse_endpoint(text.removeprefix(scheme).removeprefix("//"), CLUSTER_PORT)
    if ipaddress.ip_address(endpoint.host).is_unspecified:
        raise ValueError("stands for any address: name the one that this node always has")
    if endpoint.port == 65_535:
        raise ValueError("has port 65535, and beats need the one behind it")
    return endpoint


def _config_url(value: object) -> Endpoint:
    if isinstance(value, str) and not value.startswith("tcp://"):
        raise ValueError(f"is no tcp URL: {_EXAMPLE}")
    return parse_cluster_url(value)


def is_key(text: str) -> bool:
    """Whether a text is 32 bytes in Z85, as CURVE's keys are written."""
    if len(text) != _KEY_CHARACTERS or not set(text) <= set(_Z85):
        return False
    groups = (text[at : at + 5] for at in range(0, _KEY_CHARACTERS, 5))
    return all(_value(group) < 2**32 for group in groups)


def _value(group: str) -> int:
    value = 0
    for letter in group:
        value = value * 85 + _Z85.index(letter)
    return value


def _key(value: str) -> str:
    if not is_key(value):
        raise ValueError("is no public key: `sipherd keygen` prints one of 40 characters")
    return value


def _node(value: object) -> int:
    number = int(value) if isinstance(value, str) and value.isdecimal() else value
    if isinstance(number, bool) or not isinstance(number, int) or not 0 < number <= bounds.NODE_ID:
        raise ValueError(f"is no number of a node: 1 to {bounds.NODE_ID}")
    return number


def _tag_name(value: str) -> str:
    if not 0 < len(value.encode()) <= bounds.TAG_NAME_BYTES or "/" in value or not value.isascii():
        raise ValueError(f"is no name of a tag: 1 to {bounds.TAG_NAME_BYTES} letters, and no /")
    return value


def _address(value: str) -> str:
    try:
        return str(ipaddress.ip_address(value))
    except ValueError:
        raise ValueError('is no address: write "192.0.2.1" or "2001:db8::1"') from None


class Tag(Section):
    """What makes this node act for a sharing tag: an address that it has, or a command."""

    address: Annotated[StrictStr, AfterValidator(_address)] | None = None


def _tag(value: object) -> object:
    if value == "backup":
        return Tag()
    if isinstance(value, str):
        raise ValueError('must be "backup" or { address = "..." }: no tag is active at the start')
    return value


NodeNumber = Annotated[int, BeforeValidator(_node)]
NodeUrl = Annotated[Endpoint, BeforeValidator(_config_url)]
PublicKey = Annotated[StrictStr, AfterValidator(_key)]
TagName = Annotated[StrictStr, AfterValidator(_tag_name)]
TagSetting = Annotated[Tag, BeforeValidator(_tag)]


class Member(Section):
    """One cluster as this node takes part in it."""

    id: Annotated[Whole, Field(ge=1, le=65_535)] = 1
    peers: dict[NodeNumber, NodeUrl] = Field(default={})
    contents: tuple[Content, ...] | None = None
    seed: StrictBool = False
    tags: dict[TagName, TagSetting] = Field(default={})


class FurtherCluster(Member):
    """One more cluster over the same sockets, with less in it."""

    id: Annotated[Whole, Field(ge=1, le=65_535)]
    contents: tuple[Content, ...]


class Cluster(Member):
    """How this node shares what it knows with others."""

    bind: NodeUrl | None = None
    key_file: FilePath | None = None
    peer_keys: dict[NodeNumber, PublicKey] = Field(default={})
    insecure: StrictBool = False
    from_database: StrictBool = False
    beat_ms: Annotated[Whole, Field(ge=20, le=10_000)] = PACE.beat
    silence_ms: Annotated[Whole, Field(ge=100, le=120_000)] = PACE.silence
    seed_fallback_interval: Annotated[Whole, Field(ge=0, le=3_600)] = PACE.seed_wait // 1_000
    repair_seconds: Annotated[Whole, Field(ge=1, le=86_400)] = PACE.repair // 1_000
    max_clock_lead_seconds: Annotated[Whole, Field(ge=1, le=3_600)] = 60
    enable_rerouting: StrictBool = True
    further: Annotated[tuple[FurtherCluster, ...], Field(max_length=bounds.CLUSTERS - 1)] = ()

    @property
    def is_used(self) -> bool:
        """Whether this node takes part in any cluster."""
        return self.bind is not None

    @property
    def clusters(self) -> tuple[Member, ...]:
        """Every cluster this node takes part in; none where there is no [cluster]."""
        return (self, *self.further) if self.is_used else ()

    @property
    def numbers(self) -> tuple[int, ...]:
        """The clusters' ids."""
        return tuple(each.id for each in self.clusters)

    @property
    def tag_names(self) -> tuple[str, ...]:
        """The sharing tags of all clusters; each has its name to itself."""
        return tuple(name for each in self.clusters for name in each.tags)


def contents_of(config: Config, member: Member) -> frozenset[str]:
    """What a cluster keeps equal: what is asked for, else everything that is switched on."""
    if member.contents is not None:
        return frozenset(member.contents)
    chosen = {LIMITS, DESTINATIONS}
    if config.storage.mode != SQL_ONLY:
        chosen.add(LOCATION)
    if config.dialog.enabled:
        chosen |= {DIALOGS, PROFILES}
    return frozenset(chosen)


def hearing_profiles(config: Config) -> list[int]:
    """The clusters whose nodes tell each other how many calls are in a profile.

    Not where they have the calls themselves: there they count them.
    """
    contents = {each.id: contents_of(config, each) for each in config.cluster.clusters}
    return [n for n, each in contents.items() if PROFILES in each and DIALOGS not in each]


def longest_life_s(config: Config, contents: frozenset[str]) -> int:
    """How long a record may live without a new version: so long it could come back."""
    lives = [config.registrar.max_expires]
    if DIALOGS in contents:
        lives.append(config.dialog.default_timeout)
    return max(lives)


def brain_settings(config: Config, member: Member, peers: tuple[int, ...]) -> Settings:
    """The settings of one cluster's brain; its tables are the store's to name."""
    cluster = config.cluster
    pace = Pace(
        beat=cluster.beat_ms,
        silence=cluster.silence_ms,
        seed_wait=cluster.seed_fallback_interval * 1_000,
        repair=cluster.repair_seconds * 1_000,
        longest_life_s=longest_life_s(config, contents_of(config, member)),
    )
    return Settings(
        config.node.id,
        peers,
        cluster=member.id,
        seed=member.seed,
        tags=tuple(member.tags),
        pace=pace,
        rerouting=cluster.enable_rerouting,
        max_lead_ms=cluster.max_clock_lead_seconds * 1_000,
    )


# -- what is wrong with it -------------------------------------------------------------------------


def mistakes(config: Config) -> list[Mistake]:
    """What no single setting shows: the path of the setting in the file, and a sentence."""
    cluster = config.cluster
    if not cluster.is_used:
        found = [*_of_sharing_tags(config)]
        if cluster != Cluster():
            words = f"[cluster] needs bind, this node's own address: {_EXAMPLE.split(',')[0]}"
            found.append((("cluster",), words))
        return found
    return [
        *_of_the_node(config),
        *_of_keys(cluster),
        *_of_clusters(config),
        *_of_sharing_tags(config),
    ]


def _of_sharing_tags(config: Config) -> Iterator[Mistake]:
    for section, tag in (
        ("dialog", config.dialog.sharing_tag),
        ("location", config.location.sharing_tag),
    ):
        if tag and tag not in config.cluster.tag_names:
            where = (section, "sharing_tag")
            yield where, f'[{section}] sharing_tag: [cluster] tags has no "{tag}"'


def _of_the_node(config: Config) -> Iterator[Mistake]:
    cluster = config.cluster
    if config.node.secret is None:
        yield (
            ("cluster",),
            "[cluster] needs a [node] secret, the same on every node: without it no node could "
            "go on with another's calls",
        )
    if cluster.silence_ms < 3 * cluster.beat_ms:
        yield (
            ("cluster", "silence_ms"),
            f"[cluster] silence_ms must be at least three beats, {3 * cluster.beat_ms}",
        )
    if cluster.from_database:
        if not config.uses_storage:
            where = ("cluster", "from_database")
            yield where, "[cluster] from_database needs a database: name it in [storage] urls"
        if any(each.peers for each in cluster.clusters):
            where = ("cluster", "peers")
            yield where, "[cluster] has peers and from_database: it is one or the other"


def _of_keys(cluster: Cluster) -> Iterator[Mistake]:
    if cluster.insecure:
        if cluster.key_file is not None or cluster.peer_keys:
            where = ("cluster", "insecure")
            yield where, "[cluster] has keys and insecure = true: it is one or the other"
        return
    if cluster.key_file is None:
        yield (
            ("cluster",),
            "[cluster] needs key_file, made by `sipherd keygen`, or insecure = true, with which "
            "anybody who reaches the port can register and delete phones",
        )
    else:
        try:
            read_secret_key(cluster.key_file)
        except ConfigError as error:
            yield ("cluster", "key_file"), f"[cluster] key_file {error.mistakes[0]}"
    known = {node for each in cluster.clusters for node in each.peers}
    if missing := sorted(known - set(cluster.peer_keys)):
        nodes = ", ".join(map(str, missing))
        yield ("cluster", "peer_keys"), f"[cluster] peer_keys lacks the public key of node {nodes}"
    unknown = sorted(set(cluster.peer_keys) - known)
    if unknown and not cluster.from_database:
        nodes = ", ".join(map(str, unknown))
        yield (
            ("cluster", "peer_keys"),
            f"[cluster] peer_keys has a key of node {nodes}, which is no peer",
        )
    if len(set(cluster.peer_keys.values())) < len(cluster.peer_keys):
        yield ("cluster", "peer_keys"), "[cluster] peer_keys gives two nodes the same key"


def _of_clusters(config: Config) -> Iterator[Mistake]:
    cluster = config.cluster
    if len(set(cluster.numbers)) < len(cluster.numbers):
        yield ("cluster", "further"), "[cluster] gives two clusters the same id"
    if len(set(cluster.tag_names)) < len(cluster.tag_names):
        yield ("cluster", "tags"), "[cluster] gives two sharing tags the same name"
    if len(cluster.tag_names) > bounds.CLUSTER_TAGS:
        yield ("cluster", "tags"), f"[cluster] has more than {bounds.CLUSTER_TAGS} sharing tags"
    urls: dict[int, Endpoint] = {}
    for member in cluster.clusters:
        name = f"[cluster] {member.id}:" if cluster.further else "[cluster]"
        path = ("cluster",) if member is cluster else ("cluster", "further")
        if not member.peers and not cluster.from_database:
            yield path, f"{name} needs peers, or from_database = true"
        for node, url in member.peers.items():
            if node == config.node.id:
                yield (*path, "peers"), f"{name} peers names node {node}, which is this one"
            elif url == cluster.bind:
                yield (*path, "peers"), f"{name} peers: node {node} has the address of this one"
            if urls.setdefault(node, url) != url:
                yield (*path, "peers"), f"{name} peers: node {node} has two addresses"
        if len(set(member.peers.values())) < len(member.peers):
            yield (*path, "peers"), f"{name} peers gives two nodes the same address"
        if len(member.peers) >= bounds.CLUSTER_NODES:
            yield (*path, "peers"), f"{name} peers: at most {bounds.CLUSTER_NODES - 1} of them"
        yield from _of_contents(config, member, name, (*path, "contents"))


def _of_contents(
    config: Config, member: Member, name: str, path: tuple[str, ...]
) -> Iterator[Mistake]:
    contents = member.contents or ()
    if LOCATION in contents and config.storage.mode == SQL_ONLY:
        yield path, f"{name} contents: with mode sql-only the database holds the phones, not us"
    if config.registrar.match_call_id and LOCATION in contents_of(config, member):
        words = "has location, and [registrar] match_call_id keeps what nodes cannot tell apart"
        yield path, f"{name} contents {words}"
    for content in (DIALOGS, PROFILES):
        if content in contents and not config.dialog.enabled:
            yield path, f"{name} contents has {content}, but [dialog] is not enabled"


def read_secret_key(file: Path) -> str:
    """The secret key in a file; a ConfigError says why there is none."""
    try:
        mode = file.stat().st_mode
        text = file.read_text(encoding="ascii").strip()
    except OSError as error:
        raise ConfigError([f'"{file}" cannot be read: {error.strerror}']) from None
    except UnicodeDecodeError:
        text = ""
    if not stat.S_ISREG(mode) or not is_key(text):
        raise ConfigError([f'"{file}" holds no secret key: `sipherd keygen` makes one'])
    if mode & 0o027:
        raise ConfigError([f'"{file}" can be read by others: chmod 600 {file}'])
    return text
