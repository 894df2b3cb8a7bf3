"""The registrar's rules as the configuration has them."""

from __future__ import annotations

import random

from proxy.registrar.rules import RegistrarRules
from workers.child import Child


def domains_of(child: Child) -> tuple[bytes, ...]:
    """The configured domains as they stand in URIs."""
    return tuple(domain.lower().encode() for domain in child.config.node.domains)


def rules_of(child: Child) -> RegistrarRules:
    """The registrar's rules: those of [registrar], by the same names, and what others say."""
    config = child.config
    return RegistrarRules(
        [*domains_of(child), *(listener.host for listener in child.listeners)],
        **dict(config.registrar),
        uniform=random.random,
        tag=config.location.sharing_tag.encode(),
        replicated=config.replicates("location"),
        node=config.node.id,
    )
