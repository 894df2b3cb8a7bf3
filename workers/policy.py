"""Loads the routing script: compiles it, runs it once, takes its handlers."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from pathlib import Path

from proxy.errors import ConfigError
from proxy.routing.node import ReplyHandler
from proxy.routing.request import Policy


@dataclass(frozen=True, slots=True)
class Script:
    """What a routing script has to say."""

    on_request: Policy
    on_reply: ReplyHandler | None = None


def load_policy(path: Path) -> Script:
    """The handlers of a script. Raises ConfigError with the file, the line and the fault."""
    try:
        code = compile(path.read_bytes(), str(path), "exec")
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
    namespace: dict[str, object] = {"__name__": "sipherd_routing", "__file__": str(path)}
    try:
        exec(code, namespace)
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
    return Script(handler, on_reply)
