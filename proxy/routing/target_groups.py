"""Which targets are tried at the same time (RFC 3261 §16.6: by q). Pure."""

from __future__ import annotations

from proxy.limits.bounds import BRANCHES
from proxy.registrar.lookup import Target


def grouped(targets: list[Target]) -> list[list[Target]]:
    """Those of equal q together, the best group last; at most BRANCHES, those of the best q."""
    if len(targets) > BRANCHES:
        targets = sorted(targets, key=wanted, reverse=True)[:BRANCHES]
    groups: list[list[Target]] = []
    for target in sorted(targets, key=wanted):
        if groups and groups[-1][0].q == target.q:
            groups[-1].append(target)
        else:
            groups.append([target])
    return groups


def wanted(target: Target) -> int:
    """How much a target is wanted: its q."""
    return target.q
