"""Where in a TOML text a key stands: tomllib reads values only, and a mistake needs its line."""

from __future__ import annotations

import re

_TABLE = re.compile(r"\s*\[\[?\s*([^\[\]]+?)\s*\]\]?\s*(?:#.*)?$")
_KEY = re.compile(r"""\s*((?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')(?:\s*\.\s*[A-Za-z0-9_"'-]+)*)\s*=""")
_QUOTED = re.compile(r'"(?:\\.|[^"\\])*"|\'[^\']*\'')
_LONG_QUOTES = ('"""', "'''")

Lines = dict[tuple[str, ...], int]


def find_lines(text: str) -> Lines:
    """The line of every table and key of `text`, by path; lines count from 1."""
    found: Lines = {}
    table: tuple[str, ...] = ()
    depth, quotes = 0, ""
    for number, line in enumerate(text.splitlines(), 1):
        if quotes:
            quotes = "" if quotes in line else quotes
            continue
        if depth == 0:
            if header := _TABLE.match(line):
                table = _parts(header[1])
                found.setdefault(table, number)
                continue
            if key := _KEY.match(line):
                found.setdefault(table + _parts(key[1]), number)
        quotes = next((mark for mark in _LONG_QUOTES if line.count(mark) % 2), "")
        depth = max(0, depth + _brackets(line))
    return found


def line_of(found: Lines, path: tuple[str, ...]) -> int | None:
    """The line of `path`, or of the closest thing around it that has one."""
    while path:
        if path in found:
            return found[path]
        path = path[:-1]
    return None


def _parts(name: str) -> tuple[str, ...]:
    return tuple(part.strip().strip("\"'") for part in name.split("."))


def _brackets(line: str) -> int:
    """How many brackets of arrays and inline tables `line` leaves open."""
    bare = _QUOTED.sub("", line).partition("#")[0]
    return sum(bare.count(mark) for mark in "[{") - sum(bare.count(mark) for mark in "]}")
