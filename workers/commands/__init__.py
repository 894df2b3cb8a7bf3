"""The management commands, named and shaped as OpenSIPS' MI functions.

Each group of commands is a module; its annotated methods say which parameters a command takes.
"""

from __future__ import annotations

import inspect
from typing import Any, Final

from workers.child import Child
from workers.commands.auth import Access
from workers.commands.cluster import Clusters
from workers.commands.command import (
    METHOD_NOT_FOUND,
    NOT_FOUND,
    CommandError,
    Group,
    command,
    invoke,
)
from workers.commands.core import Core
from workers.commands.dialog import Dialogs
from workers.commands.limits import Limits
from workers.commands.location import Phones
from workers.commands.storage import Databases

GROUPS: Final[tuple[type[Group], ...]] = (
    Core,
    Access,
    Clusters,
    Databases,
    Dialogs,
    Limits,
    Phones,
)


class Commands(Group):
    """Everything `sipherd ctl` can ask for."""

    def __init__(self, child: Child) -> None:
        super().__init__(child)
        self._commands = self.commands()
        for group in GROUPS:
            self._commands |= group(child).commands()

    def call(self, name: str, params: list[Any] | dict[str, Any]) -> Any:
        """The result of command `name`; a CommandError says why there is none."""
        method = self._commands.get(name)
        if method is None:
            raise CommandError(METHOD_NOT_FOUND, f"Method not found: {name}")
        return invoke(method, params)

    @command
    def which(self) -> list[str]:
        """List the commands."""
        return sorted(self._commands)

    @command
    def help(self, mi_cmd: str) -> dict[str, str]:
        """Say what a command does and which parameters it takes."""
        method = self._commands.get(mi_cmd)
        if method is None:
            raise CommandError(NOT_FOUND, "unknown MI command")
        takes = ", ".join(inspect.signature(method).parameters)
        return {"Help": inspect.getdoc(method) or "", "Parameters": takes or "none"}
