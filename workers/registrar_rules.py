"""The registrar's rules as the configuration has them."""

from __future__ import annotations

import random

from proxy.registrar.rules import RegistrarRules
from workers.child import Child


def domains_of(child: Child) -> tuple[bytes, ...]:
    """The configured domains as they stand in URIs."""
    return tuple(domain.lower().encode() for domain in child.config.node.domains)


def rules_of(child: Child) -> RegistrarRules:
    """The registrar's rules: the configured ones, and our own addresses as domains."""
    registrar = child.config.registrar
    return RegistrarRules(
        [*domains_of(child), *(listener.host for listener in child.listeners)],
        default_expires=registrar.default_expires,
        min_expires=registrar.min_expires,
        max_expires=registrar.max_expires,
        expires_jitter=registrar.expires_jitter,
        uniform=random.random,
        max_contacts=registrar.max_contacts,
        when_full=registrar.when_full,
        retry_after=registrar.retry_after,
        short_expires=registrar.short_expires,
        path_mode=registrar.path_mode,
        cseq_delay=registrar.cseq_delay,
        match_call_id=registrar.match_call_id,
        tag=child.config.location.sharing_tag.encode(),
        replicated=child.config.replicates("location"),
        node=child.config.node.id,
    )
