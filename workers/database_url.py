"""URLs of databases: where they are kept, and what is wrong with one. None is ever shown whole."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

MYSQL: Final = ("mysql", "mysql+mysqldb", "mariadb", "mariadb+mysqldb")
ENVIRONMENT: Final = "env:"
FILE: Final = "file:"


def read_url(value: str, folder: Path) -> str:
    """The URL that `value` is, or that the variable `env:NAME` or the file `file:NAME` holds."""
    url = _kept_elsewhere(value, folder)
    parts = urlsplit(url)
    if parts.scheme == "sqlite":
        path = url.removeprefix("sqlite:///")
        if path in {url, "", ":memory:"}:
            raise ValueError('must name a file: "sqlite:///var/sipherd.db"')
        return f"sqlite:///{os.path.normpath(folder / path)}"
    if parts.scheme not in MYSQL:
        raise ValueError('must be a URL such as "mysql://user:password@host/opensips"')
    if not parts.hostname or not unquote(parts.path).strip("/"):
        raise ValueError('must name a host and a database: "mysql://user:password@host/opensips"')
    return "mysql+mysqldb" + url[len(parts.scheme) :]


def _kept_elsewhere(value: str, folder: Path) -> str:
    if value.startswith(ENVIRONMENT):
        name = value.removeprefix(ENVIRONMENT)
        if name not in os.environ:
            raise ValueError(f"needs the environment variable {name}, which is not set")
        return os.environ[name].strip()
    if value.startswith(FILE):
        path = folder / value.removeprefix(FILE)
        try:
            return path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            raise ValueError(f"needs the file {path}, which cannot be read") from None
    return value
