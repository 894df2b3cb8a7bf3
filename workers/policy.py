"""Loads the routing script: compiles it, runs it once, takes its `on_request`."""

from __future__ import annotations

import inspect
from pathlib import Path

from proxy.errors import ConfigError
from proxy.routing.request import Policy


def load_policy(path: Path) -> Policy:
    """The `on_request` of a script. Raises ConfigError with the file, the line and the fault."""
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
    return handler
