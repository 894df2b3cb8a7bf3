"""Loads the routing script: compiles it, runs it once, takes its handlers.

Its code is kept as it was compiled, so that a process that is replaced serves by the same script
as its siblings whatever has become of the file.
"""

from __future__ import annotations

import inspect
import marshal
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from proxy.errors import ConfigError
from proxy.routing.node import ReplyHandler
from proxy.routing.request import Policy

# To a handler that nothing runs: its script, the script's names, and the question how many.
_IDLE_REFERENCES: Final = 3


@dataclass(frozen=True, slots=True)
class Script:
    """What a routing script has to say."""

    on_request: Policy
    on_reply: ReplyHandler | None = None
    namespace: dict[str, object] = field(default_factory=dict, repr=False)

    def test_itself(self) -> None:
        """Run the script's `self_test`, if it has one. Raises ConfigError when that fails."""
        test = self.namespace.get("self_test")
        if not inspect.isfunction(test):
            return
        try:
            test()
        except Exception as error:
            name = self.namespace["__file__"]
            raise ConfigError([f"{name}: self_test of the routing script: {error!r}."]) from error

    def let_go(self) -> bool:
        """Free a script that was replaced; False while a call still runs by it.

        Its functions and its names hold each other, and nothing collects cycles in a worker.
        """
        if sys.getrefcount(self.on_request) > _IDLE_REFERENCES:
            return False
        self.namespace.clear()
        return True


def load_policy(path: Path) -> Script:
    """The handlers of a script. Raises ConfigError with the file, the line and the fault."""
    return run_script(compile_script(path), path)


def compile_script(path: Path) -> bytes:
    """The code of a script, as marshal writes it; nothing of it has been run."""
    try:
        return marshal.dumps(compile(path.read_bytes(), str(path), "exec"))
    except OSError as error:
        raise ConfigError(
            [
                f"The routing script {path} cannot be read: {error.strerror}. "
                "[routing] script names another."
            ]
        ) from None
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None) or 1
        raise ConfigError(
            [f"{path}:{line}: the routing script is no valid Python: {error}."]
        ) from None


def run_script(code: bytes, path: Path) -> Script:
    """The handlers of a compiled script. Raises ConfigError when it fails, or has none."""
    namespace: dict[str, object] = {"__name__": "sipherd_routing", "__file__": str(path)}
    try:
        exec(marshal.loads(code), namespace)
    except Exception as error:
        message = f"{path}: running the routing script failed: {error!r}."
        raise ConfigError([message]) from error
    handler = namespace.get("on_request")
    if not inspect.iscoroutinefunction(handler):
        raise ConfigError([f"{path}: the routing script has no `async def on_request(request)`."])
    on_reply = namespace.get("on_reply")
    if on_reply is not None and not inspect.isfunction(on_reply):
        raise ConfigError([f"{path}: on_reply is no function."])
    if inspect.iscoroutinefunction(on_reply):
        raise ConfigError(
            [f"{path}: on_reply must be a plain `def`: a response cannot wait for anything."]
        )
    return Script(handler, on_reply, namespace)
