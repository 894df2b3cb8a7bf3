"""The configuration file: read, checked as a whole, and frozen.

All mistakes are reported at once, one sentence each with file and line. Relative paths are taken
from the folder of the file, so that `sipherd ctl -c FILE` works from anywhere.
"""

from __future__ import annotations

import json
import re
import tomllib
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from proxy.errors import ConfigError
from workers import cluster_settings
from workers.setting_types import Section
from workers.settings import Config
from workers.toml_lines import find_lines, line_of

RUNTIME_DIR: Final = "var"


def load(path: Path) -> Config:
    """The configuration in the file `path`; a ConfigError names every mistake in it."""
    path = path.absolute()
    text = _text(path)
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([_syntax_mistake(path, str(error), text)]) from None
    return _validated(path, text, data)


def runtime_dir(path: Path) -> Path:
    """Where the server of this file runs: it goes on while the rest of the file is broken."""
    path = path.absolute()
    text = _text(path)
    try:
        node = tomllib.loads(text).get("node", {})
    except tomllib.TOMLDecodeError:
        node = _node_alone(text)
    value = node.get("runtime_dir", RUNTIME_DIR) if isinstance(node, dict) else RUNTIME_DIR
    if not isinstance(value, str):
        line = line_of(find_lines(text), ("node", "runtime_dir"))
        raise ConfigError([f"{path}:{line}: [node] runtime_dir must be the name of a folder."])
    return path.parent / value


def _node_alone(text: str) -> object:
    """What can be read of [node] runtime_dir in a text that is not TOML as a whole."""
    if number := find_lines(text).get(("node", "runtime_dir")):
        with suppress(tomllib.TOMLDecodeError):
            found = tomllib.loads(text.splitlines()[number - 1])
            return found.get("node", found)
    return {}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror}."]) from None
    except UnicodeDecodeError:
        raise ConfigError([f"{path}: is not UTF-8 text."]) from None


def _syntax_mistake(path: Path, reason: str, text: str) -> str:
    place = re.search(r"^(.*) \(at (?:line (\d+), column (\d+)|end of document)\)$", reason)
    if place is None:
        return f"{path}: {reason}."
    line = place[2] or str(len(text.splitlines()) or 1)
    return f"{path}:{line}: this is not TOML: {place[1]}."


def _validated(path: Path, text: str, data: dict[str, Any]) -> Config:
    lines = find_lines(text)
    mistakes: list[tuple[int, str]] = []
    if "path" in data:
        mistakes.append((line_of(lines, ("path",)) or 1, "unknown setting path"))
        del data["path"]
    data.setdefault("node", {})
    if isinstance(data["node"], dict):
        data["node"].setdefault("runtime_dir", RUNTIME_DIR)
    data.setdefault("storage", {})
    try:
        config = Config.model_validate({**data, "path": path}, context={"folder": path.parent})
    except ValidationError as failure:
        for error in failure.errors():
            where = tuple(str(part) for part in error["loc"])
            mistakes.append((_line(text, lines, where, error), _sentence(error)))
    else:
        found = cluster_settings.mistakes(config)
        mistakes += [(line_of(lines, where) or 1, words) for where, words in found]
    if mistakes:
        raise ConfigError([f"{path}:{line}: {words}." for line, words in sorted(mistakes)])
    return config


def _line(
    text: str, lines: dict[tuple[str, ...], int], path: tuple[str, ...], error: ErrorDetails
) -> int:
    """The line of the key, or of the element itself where the value is an array."""
    line = line_of(lines, path) or 1
    value = error["input"]
    if path[-1:] and path[-1].isdigit() and isinstance(value, str):
        for number, content in enumerate(text.splitlines()[line - 1 :], line):
            if json.dumps(value, ensure_ascii=False) in content or f"'{value}'" in content:
                return number
    return line


_INTERNAL = ("function", "[key]")  # pydantic's own steps on the way to a value
_WORDS = {
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "string_type": "must be text in quotes",
    "bool_type": "must be true or false",
    "tuple_type": "must be a list in [ ]",
    "greater_than_equal": "must be at least {ge}",
    "greater_than": "must be more than {gt}",
    "less_than_equal": "must be at most {le}",
    "string_too_short": "must have at least {min_length} characters",
    "too_short": "must have at least {min_length} entry",
    "too_long": "must have at most {max_length} entries",
    "literal_error": "must be {expected}",
}


def _sentence(error: ErrorDetails) -> str:
    name = _name(error["loc"])
    kind = error["type"]
    if kind == "extra_forbidden":
        what = "section" if len(error["loc"]) == 1 else "setting"
        return f"unknown {what} {name}"
    if kind in {"model_type", "model_attributes_type"}:
        return f"{name} is a section: write {name} on a line of its own"
    context = error.get("ctx") or {}
    if kind == "value_error":
        words = str(context["error"])
    elif kind in _WORDS:
        words = _WORDS[kind].format(**context)
    else:
        words = error["msg"]
    if isinstance(error["input"], (dict, Section)) or {"secret", "urls"} & set(error["loc"]):
        return f"{name} {words}"
    shown = _shown(error["input"])
    return f"{name} {words}, not {shown}" if kind in _WORDS else f"{name} {shown} {words}"


def _name(loc: tuple[int | str, ...]) -> str:
    names = [part for part in loc if isinstance(part, str) and not part.startswith(_INTERNAL)]
    section, *rest = names or ["the file"]
    return f"[{section}] {'.'.join(rest)}" if rest else f"[{section}]"


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 80 else f"{text[:77]}..."
