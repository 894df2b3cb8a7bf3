"""A proxy core without sockets, its clock in the test's hand, and telephones that speak to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from proxy.routing.request import Policy
from workers.policy import Script, load_policy
from workers.rehearsal import SECRET, WALL_MS, Rehearsal, Sent, address

__all__ = ["SECRET", "WALL_MS", "Sent", "World", "address", "policy_from"]

DEFAULT_POLICY = Path(__file__).resolve().parents[2] / "conf" / "routing.py"


def policy_from(path: Path) -> Policy:
    """The `on_request` of a script."""
    return load_policy(path).on_request


class World(Rehearsal):
    """A rehearsal of a policy that is a function of the tests, or of the shipped one."""

    def __init__(self, folder: Path, policy: Policy | Script | None = None, **options: Any) -> None:
        if not isinstance(policy, Script):
            policy = Script(policy or policy_from(DEFAULT_POLICY))
        super().__init__(folder, policy, **options)
