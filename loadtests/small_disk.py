"""A file system of a few mebibytes, in memory, that can be filled to its last block."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

FILLER: Final = "filler"
SIZES: Final = (1 << 20, 1 << 12)


def may_mount() -> bool:
    """Whether this process may mount a file system at all."""
    return os.geteuid() == 0


@contextmanager
def small_disk(folder: Path, mebibytes: int) -> Iterator[None]:
    """`folder` is that file system for a while."""
    options = ["-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs"]
    subprocess.run(["mount", *options, str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill_up(folder: Path) -> int:
    """Take every block that is left; how many bytes that were."""
    taken = 0
    descriptor = os.open(folder / FILLER, os.O_CREAT | os.O_WRONLY)
    try:
        for size in SIZES:
            try:
                while True:
                    os.posix_fallocate(descriptor, taken, size)
                    taken += size
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
    finally:
        os.close(descriptor)
    return taken


def make_room(folder: Path) -> None:
    """Give it back."""
    (folder / FILLER).unlink()
