"""What the clusterer knows of its earlier lives: one small file in the runtime folder.

The epoch rises at every start, also when the file was lost or the clock set back (one of the two).
It is written before the first frame leaves. When it cannot be, on a full disk, the node goes on:
the shared page and the clock know better than an old file.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson

from workers.child import Child

FILE: Final = "cluster.json"

HIGHEST: Final = 1 << 62  # of an epoch: it has to fit into the frames for ever
AGAIN_MS: Final = 5_000  # before a file that could not be written is tried again

Rows = list[list[str | None]]
Order = tuple[str, dict[str, Any]]  # its name and arguments


@dataclass(slots=True)
class Memory:
    """The epoch of this life; what the tables were when which clusters were synced; the nodes."""

    child: Child
    file: Path
    epoch: int
    tables: list[int] = field(default_factory=list)
    synced: list[int] = field(default_factory=list)
    nodes: Rows | None = None  # of the database, as it was last read
    standing: list[Order] = field(default_factory=list)  # orders that hold until the server stops
    failure: str = ""  # why the file is not as it should be

    def write(self) -> None:
        """Replace the file, whole or not at all; a failure is said once, and tried again."""
        try:
            self._replace()
        except OSError as error:
            if not self.failure:
                self.child.log.error("cluster file not written", file=self.file, reason=error)
            self.failure = str(error)
        else:
            self.failure = ""

    def _replace(self) -> None:
        beside = self.file.with_suffix(".new")
        data = {
            "epoch": self.epoch,
            "tables": self.tables,
            "synced": self.synced,
            "nodes": self.nodes,
            "standing": self.standing,
        }
        fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640)
        with os.fdopen(fd, "wb") as out:
            out.write(orjson.dumps(data))
            out.flush()
            os.fsync(fd)
        beside.rename(self.file)


def recall(child: Child, wall: int) -> Memory:
    """Begin a new life: a higher epoch, and what may still be believed."""
    file = child.config.node.runtime_dir / FILE
    before = _read(file)
    epoch, page = before.get("epoch"), child.tables.cluster
    known = epoch if isinstance(epoch, int) and epoch < HIGHEST else 0
    last = 0 if page is None else page.incarnation()
    memory = Memory(child, file, max(known + 1, last + 1, wall))
    if last:  # the same server, whose clusterer was replaced
        memory.standing = _orders(before.get("standing"))
    memory.tables = tables_of(child)
    # Tables that were begun anew since hold nothing, whatever was synced before.
    if before.get("tables") == memory.tables:
        synced = before.get("synced")
        memory.synced = [each for each in _listed(synced) if isinstance(each, int)]
    nodes = before.get("nodes")
    if isinstance(nodes, list) and all(map(_is_row, nodes)):
        memory.nodes = nodes
    memory.write()
    return memory


def tables_of(child: Child) -> list[int]:
    """What tells the tables from others of the same name: each is made with a seed of its own."""
    tables = child.tables
    kept = (tables.location, tables.dialogs, tables.destinations)
    return [0 if table is None else table.seed for table in kept]


def _listed(found: object) -> list[Any]:
    return found if isinstance(found, list) else []


def _is_row(row: object) -> bool:
    return isinstance(row, list) and all(each is None or isinstance(each, str) for each in row)


def _orders(found: object) -> list[Order]:
    orders: list[Order] = []
    for each in _listed(found):
        with suppress(ValueError, TypeError):
            name, arguments = each
            if isinstance(name, str) and isinstance(arguments, dict):
                orders.append((name, arguments))
    return orders


def _read(file: Path) -> dict[str, Any]:
    try:
        found = orjson.loads(file.read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return {}
    return found if isinstance(found, dict) else {}
