"""Which program this process runs, and how another one takes its place in the same process.

The supervisor's number stays, and with it its children, its sockets and its files: `exec` keeps
what is not marked to be closed. What the program that comes has to know lies in a file without a
name, whose descriptor an environment variable tells.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NoReturn

from workers.version import VERSION


@dataclass(frozen=True, slots=True)
class Program:
    """A command, and the version that it is, or was when it was started."""

    executable: str
    arguments: tuple[str, ...]
    path: str  # PYTHONPATH
    version: str

    @classmethod
    def running(cls) -> Program:
        """This process's own, as it was called: what is found there now may be another one."""
        path = os.environ.get("PYTHONPATH", "")
        return cls(sys.executable, tuple(sys.orig_argv[1:]), path, VERSION)

    def pinned(self) -> Program:
        """The same with symbolic links resolved: what is found there stays this one."""
        folder, name = os.path.split(self.executable)  # the name may link out of its environment
        script = sys.argv[0]
        return Program(
            os.path.join(os.path.realpath(folder), name),
            tuple(os.path.realpath(each) if each == script else each for each in self.arguments),
            os.pathsep.join(map(os.path.realpath, filter(None, self.path.split(os.pathsep)))),
            self.version,
        )

    def __str__(self) -> str:
        return " ".join([self.executable, *self.arguments])

    def take_over(self, environment: Mapping[str, str], fds: Iterable[int]) -> NoReturn:
        """Become this program, which keeps `fds`. Raises OSError where it cannot be run."""
        variables = {**os.environ, **environment, "PYTHONPATH": self.path}
        if not self.path:
            del variables["PYTHONPATH"]
        kept = list(fds)
        for fd in kept:
            os.set_inheritable(fd, True)
        try:
            os.execve(self.executable, [self.executable, *self.arguments], variables)
        except OSError:
            for fd in kept:
                os.set_inheritable(fd, False)
            raise
