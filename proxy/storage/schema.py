"""OpenSIPS 3.x's tables, column by column, so that its databases and tools work as they are.

Names, types, defaults and versions are OpenSIPS'; nothing is added. SQLAlchemy's metadata is data
about tables and touches no database: engines and drivers live in `workers/storage`.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import (
    CHAR,
    BigInteger,
    Column,
    DateTime,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.types import UserDefinedType

METADATA: Final = MetaData()
NEVER_MODIFIED: Final = "1900-01-01 00:00:01"
MYSQL: Final = ("mysql", "mariadb")
TABLE_OPTIONS: Final[dict[str, Any]] = {
    f"{dialect}_{option}": value
    for dialect in MYSQL
    for option, value in (("engine", "InnoDB"), ("charset", "utf8mb4"))
}

UNSIGNED: Final = Integer().with_variant(mysql.INTEGER(unsigned=True), *MYSQL)
UNSIGNED_SMALL: Final = SmallInteger().with_variant(mysql.SMALLINT(unsigned=True), *MYSQL)
# SQLite counts up only in a column that is called INTEGER, and takes 63 bits in it.
UNSIGNED_BIG: Final = (
    BigInteger().with_variant(mysql.BIGINT(unsigned=True), *MYSQL).with_variant(Integer(), "sqlite")
)


class _AsItIs(UserDefinedType[Any]):
    """A DATETIME in SQLite, where anything may stand in its place: nothing is made of it here."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "DATETIME"


TIME: Final = DateTime().with_variant(_AsItIs(), "sqlite")
HUNDREDTHS: Final = Float().with_variant(mysql.FLOAT(10, 2), *MYSQL)


def _id() -> Column[Any]:
    return Column("id", UNSIGNED, primary_key=True, autoincrement=True)


def _text(name: str, width: int, default: str | None = "") -> Column[Any]:
    """A text that may not be NULL; `default` None: it must be given."""
    return Column(name, CHAR(width), nullable=False, server_default=default)


def _maybe(name: str, width: int) -> Column[Any]:
    return Column(name, CHAR(width), nullable=True)


def _number(name: str, default: int | None, kind: Any = UNSIGNED) -> Column[Any]:
    given = None if default is None else str(default)
    return Column(name, kind, nullable=False, server_default=given)


def _modified() -> Column[Any]:
    return Column("last_modified", TIME, nullable=False, server_default=NEVER_MODIFIED)


def _table(name: str, *parts: Any) -> Table:
    return Table(name, METADATA, *parts, **TABLE_OPTIONS)


version = _table(
    "version",
    Column("table_name", CHAR(32), nullable=False),
    _number("table_version", 0),
    UniqueConstraint("table_name", name="t_name_idx"),
)
location = _table(
    "location",
    Column("contact_id", UNSIGNED_BIG, primary_key=True, autoincrement=True),
    _text("username", 64),
    _maybe("domain", 64),
    Column("contact", Text, nullable=False),
    _maybe("received", 255),
    _maybe("path", 255),
    _number("expires", None),
    _number("q", 1, HUNDREDTHS),
    _text("callid", 255, "Default-Call-ID"),
    _number("cseq", 13, Integer),
    _modified(),
    _number("flags", 0, Integer),
    _maybe("cflags", 255),
    _text("user_agent", 255),
    _maybe("socket", 64),
    Column("methods", Integer, nullable=True),
    _maybe("sip_instance", 255),
    Column("kv_store", Text, nullable=True),
    _maybe("attr", 255),
    Index("username_domain_idx", "username", "domain"),  # not OpenSIPS': sql-only asks by user
)
dialog = _table(
    "dialog",
    Column("dlg_id", UNSIGNED_BIG, primary_key=True, autoincrement=False),
    _text("callid", 255, None),
    _text("from_uri", 255, None),
    _text("from_tag", 64, None),
    _text("to_uri", 255, None),
    _text("to_tag", 64, None),
    _maybe("mangled_from_uri", 255),
    _maybe("mangled_to_uri", 255),
    _text("caller_cseq", 11, None),
    _text("callee_cseq", 11, None),
    _number("caller_ping_cseq", None),
    _number("callee_ping_cseq", None),
    Column("caller_route_set", Text, nullable=True),
    Column("callee_route_set", Text, nullable=True),
    _maybe("caller_contact", 255),
    _maybe("callee_contact", 255),
    _text("caller_sock", 64, None),
    _text("callee_sock", 64, None),
    _number("state", None),
    _number("start_time", None),
    _number("timeout", None),
    Column("vars", LargeBinary, nullable=True),
    Column("profiles", Text, nullable=True),
    _maybe("script_flags", 255),
    _number("module_flags", 0),
    _number("flags", 0),
    _maybe("rt_on_answer", 64),
    _maybe("rt_on_timeout", 64),
    _maybe("rt_on_hangup", 64),
)
subscriber = _table(
    "subscriber",
    _id(),
    _text("username", 64),
    _text("domain", 64),
    _text("password", 25),
    _text("ha1", 64),
    _text("ha1_sha256", 64),
    _text("ha1_sha512t256", 64),
    UniqueConstraint("username", "domain", name="account_idx"),
    Index("username_idx", "username"),
)
uri = _table(
    "uri",
    _id(),
    _text("username", 64),
    _text("domain", 64),
    _text("uri_user", 64),
    _modified(),
    UniqueConstraint("username", "domain", "uri_user", name="uri_account_idx"),
)
dbaliases = _table(
    "dbaliases",
    _id(),
    _text("alias_username", 64),
    _text("alias_domain", 64),
    _text("username", 64),
    _text("domain", 64),
    UniqueConstraint("alias_username", "alias_domain", name="alias_idx"),
    Index("target_idx", "username", "domain"),
)
domain = _table(
    "domain",
    _id(),
    _text("domain", 64),
    _maybe("attrs", 255),
    _number("accept_subdomain", 0),
    _modified(),
    UniqueConstraint("domain", name="domain_idx"),
)
address = _table(
    "address",
    _id(),
    _number("grp", 0, UNSIGNED_SMALL),
    _text("ip", 50, None),
    _number("mask", 32, UNSIGNED_SMALL),
    _number("port", 0, UNSIGNED_SMALL),
    _text("proto", 4, "any"),
    _maybe("pattern", 64),
    _maybe("context_info", 32),
)
clusterer = _table(
    "clusterer",
    Column("id", Integer, primary_key=True, autoincrement=True),
    _number("cluster_id", None, Integer),
    _number("node_id", None, Integer),
    _text("url", 64, None),
    _number("state", 1, Integer),
    _number("no_ping_retries", 3, Integer),
    _number("priority", 50, Integer),
    _maybe("sip_addr", 64),
    _maybe("flags", 64),
    _maybe("description", 64),
    UniqueConstraint("cluster_id", "node_id", name="clusterer_idx"),
)
dispatcher = _table(
    "dispatcher",
    _id(),
    _number("setid", 0, Integer),
    _text("destination", 192),
    _maybe("socket", 128),
    _number("state", 0, Integer),
    _number("probe_mode", 0),
    _text("weight", 64, "1"),
    _number("priority", 0, Integer),
    _text("attrs", 128),
    _text("description", 64),
)
load_balancer = _table(
    "load_balancer",
    _id(),
    _number("group_id", 0),
    _text("dst_uri", 128, None),
    _text("resources", 255, None),
    _number("probe_mode", 0),
    _maybe("attrs", 255),
    _text("description", 128),
    Index("dsturi_idx", "dst_uri"),
)


def _account(name: str, *more: Column[Any]) -> Table:
    return _table(
        name,
        _id(),
        _text("method", 16),
        _text("from_tag", 64),
        _text("to_tag", 64),
        _text("callid", 64),
        _text("sip_code", 3),
        _text("sip_reason", 32),
        Column("time", TIME, nullable=False),
        *more,
        _number("setuptime", 0),
        Column("created", TIME, nullable=True),
        Index("callid_idx" if name == "acc" else "missed_callid_idx", "callid"),
    )


acc = _account("acc", _number("duration", 0), _number("ms_duration", 0))
missed_calls = _account("missed_calls")

VERSIONS: Final = {
    location: 1013,
    dialog: 12,
    subscriber: 8,
    uri: 2,
    dbaliases: 2,
    domain: 4,
    address: 5,
    clusterer: 4,
    dispatcher: 9,
    load_balancer: 3,
    acc: 7,
    missed_calls: 5,
}
