"""What a management command is: a method marked `@command`, its parameters, its refusals.

Values come as JSON or, from `sipherd ctl`, as text, and are made what the annotation asks.
"""

from __future__ import annotations

import inspect
import select
import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

from workers.child import Child

INVALID_PARAMS: Final = -32_602
METHOD_NOT_FOUND: Final = -32_601
NOT_FOUND: Final = 404
LOOK_MS: Final = 5

Function = TypeVar("Function", bound=Callable[..., Any])
Found = TypeVar("Found")


class CommandError(Exception):
    """A refusal: a JSON-RPC error with `code` and its text."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


def command(function: Function) -> Function:
    """Mark a method as a management command."""
    function.is_command = True  # type: ignore[attr-defined]
    return function


class Group:
    """Commands of one subject; `child` is the process that answers them."""

    def __init__(self, child: Child) -> None:
        self._child = child

    def commands(self) -> dict[str, Callable[..., Any]]:
        """The commands of this group by name."""
        return {
            name: method
            for name, method in inspect.getmembers(self, inspect.ismethod)
            if getattr(method, "is_command", False)
        }

    def _await(self, look: Callable[[], Found | None], seconds: float) -> Found | None:
        """What `look` finds within its time; None: nothing. This process beats meanwhile."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            found = look()
            if found is not None:
                return found
            self._child.beat()
            select.poll().poll(LOOK_MS)
        return None


def invoke(method: Callable[..., Any], params: list[Any] | dict[str, Any]) -> Any:
    """Call a command with parameters as they came; a CommandError says what is wrong with them."""
    signature = inspect.signature(method, eval_str=True)
    try:
        if isinstance(params, list):
            bound = signature.bind(*_gathered(params, signature))
        else:
            bound = signature.bind(**params)
    except TypeError as error:
        raise CommandError(INVALID_PARAMS, f"Invalid params: {error}") from None
    for key, value in bound.arguments.items():
        bound.arguments[key] = _typed(key, value, signature.parameters[key].annotation)
    return method(*bound.args, **bound.kwargs)


def text(value: bytes) -> str:
    """Bytes of a message as JSON can hold them."""
    return value.decode("utf-8", "backslashreplace")


def _gathered(params: list[Any], signature: inspect.Signature) -> list[Any]:
    """Plain values in order; what is left over belongs to a last parameter that is a list."""
    takes = [parameter.annotation for parameter in signature.parameters.values()]
    last = len(takes) - 1
    if last < 0 or len(params) <= len(takes) or takes[last] not in {list[str], list[str] | None}:
        return params
    words = [str(word) for word in params[last:]]
    return [*params[:last], ",".join(words)]


def _typed(key: str, value: Any, wanted: Any) -> Any:
    """`value` as its parameter wants it: the command line knows only text."""
    try:
        if wanted is int:
            return int(str(value), 0) if not isinstance(value, bool) else value
        if wanted is bool:
            return str(value).lower() in {"true", "1", "yes", "brief", "on"}
        if wanted is str:
            return "" if value is None else str(value)
    except ValueError:
        raise CommandError(INVALID_PARAMS, f"Invalid params: {key} must be a number") from None
    if value is None:
        return []
    if isinstance(value, str):
        return value.replace(",", " ").split()
    return [str(each) for each in value] if isinstance(value, list) else [str(value)]
