"""Which settings a running server takes over, and which take a restart."""

from __future__ import annotations

from typing import Any, Final

from workers.setting_types import Section
from workers.settings import Config

_CANNOT_CHANGE: Final = "cannot change while the server runs: restart it, or put the old value back"

# Everything else is fixed while the server runs: it shapes files, sockets or processes.
LIVE: Final[dict[str, frozenset[str]]] = {
    "node": frozenset({"domains"}),
    "listen": frozenset({"udp"}),
    "workers": frozenset({"udp", "slow_seconds", "hang_seconds", "drain_seconds"}),
    "registrar": frozenset(
        {
            "default_expires",
            "min_expires",
            "max_expires",
            "max_contacts",
            "expires_jitter",
            "when_full",
            "retry_after",
            "short_expires",
            "path_mode",
            "cseq_delay",
        }
    ),
    "auth": frozenset(
        {
            "realm",
            "algorithms",
            "qop",
            "allow_rfc2069",
            "check_uri",
            "nonce_lifetime",
            "bind_source",
            "cache_ttl",
            "negative_ttl",
            "stale_seconds",
        }
    ),
    "routing": frozenset({"script"}),
    "limits": frozenset({"transactions", "timer_c_seconds"}),
    "ratelimit": frozenset({"default_algorithm", "pipes"}),
    "flood": frozenset({"remove_latency", "trusted"}),
    "overload": frozenset({"target_ms", "stale_ms", "answers_per_second", "retry_after"}),
    "dialog": frozenset(
        {
            "automatic",
            "when_full",
            "default_timeout",
            "delete_delay",
            "late_requests",
            "options_ping_interval",
            "reinvite_ping_interval",
            "race_condition_timeout",
        }
    ),
    "cluster": frozenset({"peers", "peer_keys"}),
    "log": frozenset({"level"}),
}


def fixed(config: Config) -> dict[str, dict[str, Any]]:
    """What cannot change while the server runs, in a form that other versions read as well."""
    return {
        section: {
            name: value for name, value in values.items() if name not in LIVE.get(section, ())
        }
        for section, values in config.model_dump(mode="json").items()
    }


def moved(old: dict[str, dict[str, Any]], new: dict[str, dict[str, Any]]) -> list[str]:
    """A sentence for each difference between two such forms; only one knowing a setting is none."""
    return [
        f"[{section}] {name} {_CANNOT_CHANGE}"
        for section, values in new.items()
        for name, value in values.items()
        if name in old.get(section, {}) and old[section][name] != value
    ]


def changes(old: Config, new: Config) -> list[tuple[str, str]]:
    """(section, setting) of everything in which two configurations differ."""
    found = []
    for section in type(old).model_fields:
        ours, theirs = getattr(old, section), getattr(new, section)
        if isinstance(ours, Section):
            found += [
                (section, name)
                for name in type(ours).model_fields
                if getattr(ours, name) != getattr(theirs, name)
            ]
    return found


def mistakes(old: Config, new: Config) -> list[str]:
    """A sentence for each change that a running server cannot take over."""
    return [
        f"[{section}] {name} {_CANNOT_CHANGE}"
        for section, name in changes(old, new)
        if name not in LIVE.get(section, ())
    ]
