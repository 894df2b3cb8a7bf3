"""What one program leaves to the next in the same process: descriptors, and the children.

The form has a number of its own, and unknown fields are passed over, so that versions of the
program can follow each other either way. Whatever does not fit is refused before anything changes.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from proxy.errors import SipherdError
from proxy.limits import counters
from workers.inheriting import TRIAL, VARIABLE
from workers.program import Program
from workers.version import VERSION

FORM: Final = 1
# Of how the processes of a node talk to each other, beyond the layouts of files: errands,
# questions, mailboxes. Raised when old and new processes would not understand each other.
FAMILY: Final = 2
MOST_BYTES: Final = 64 << 20


class HandoverError(SipherdError):
    """What was handed over cannot be gone on with."""


class Model(BaseModel):
    """A part of the form."""

    model_config = ConfigDict(extra="ignore", frozen=True, ser_json_inf_nan="constants")


class Place(Model):
    """A child, or the place of one: what the supervisor knows of it."""

    role: str
    index: int
    row: int
    image: int
    generation: int
    number: int
    leaving: bool
    pid: int
    stop_fd: int
    started_at: float
    up_at: float | None
    ever_up: bool
    heartbeat_at: float
    respawn_at: float | None
    failures: tuple[float, ...]


class Crew(Model):
    """A generation of workers; its slots are the places that bear its number."""

    number: int
    endpoints: tuple[str, ...]
    step: str
    deadline: float
    version: int


class Command(Model):
    """A program, as it is called."""

    executable: str
    arguments: tuple[str, ...]
    path: str
    version: str

    @classmethod
    def of(cls, program: Program) -> Command:
        """The same in the form."""
        return cls(
            executable=program.executable,
            arguments=program.arguments,
            path=program.path,
            version=program.version,
        )

    @property
    def program(self) -> Program:
        """How to run it."""
        return Program(self.executable, self.arguments, self.path, self.version)


class Image(Model):
    """A program that has had this process, and can be given it back."""

    number: int
    command: Command  # where its files are, whatever links point to by now
    edition: str = Field(repr=False)  # what it served by, in a form of its own
    area: int  # the descriptor of its area of editions, at which its children look


class Handover(Model):
    """Everything that is handed over."""

    form: int
    family: int
    pid: int
    image: int  # the number of the one that takes over
    command: Command  # how the server was called
    before: Image | None  # whom to give everything back to
    own: Image | None  # of the one that takes over: it is given back what it had
    failed: str  # why
    reload_asked: bool
    settings: dict[str, dict[str, Any]] = Field(repr=False)
    counters: tuple[str, ...]
    edition: int
    nice: int
    lock: int
    files: dict[str, int]
    sockets: dict[str, tuple[int, ...]]
    events: dict[str, tuple[int, ...]]
    pipes: dict[str, tuple[int, int]]
    children: tuple[Place, ...]
    generations: tuple[Crew, ...]  # the one that serves last
    backlog: str  # of log lines

    def descriptors(self) -> Iterator[int]:
        """All that has to stay open."""
        yield self.lock
        yield from self.files.values()
        for several in (*self.sockets.values(), *self.events.values(), *self.pipes.values()):
            yield from several
        yield from (place.stop_fd for place in self.children if place.stop_fd >= 0)
        yield from (image.area for image in (self.before, self.own) if image is not None)

    def check(self) -> None:
        """Raise HandoverError unless this is for us, and every descriptor what it should be."""
        if (self.form, self.family) != (FORM, FAMILY):
            raise HandoverError(
                "the processes of the running version talk to each other in another way than "
                "those of this one: stop the server and start it"
            )
        if self.counters != counters.NAMES[: len(self.counters)]:
            raise HandoverError(
                "the running version counts other things, or in another order: "
                "stop the server and start it"
            )
        numbers = list(self.descriptors())
        if len(set(numbers)) != len(numbers):
            raise HandoverError("two things that were handed over have the same descriptor")
        _expect(_is_file, [self.lock, *self.files.values()], "file")
        _expect(_is("socket:["), [fd for fds in self.sockets.values() for fd in fds], "socket")
        stops = [place.stop_fd for place in self.children if place.stop_fd >= 0]
        events = [fd for fds in self.events.values() for fd in fds]
        _expect(_is("anon_inode:[eventfd]"), [*events, *stops], "eventfd")
        _expect(_is("pipe:["), [fd for fds in self.pipes.values() for fd in fds], "pipe")


def _is_file(fd: int) -> bool:
    return stat.S_ISREG(os.fstat(fd).st_mode)


def _is(kind: str) -> Any:
    return lambda fd: os.readlink(f"/proc/self/fd/{fd}").startswith(kind)


def _expect(test: Any, fds: list[int], what: str) -> None:
    for fd in fds:
        try:
            good = test(fd)
        except OSError:
            good = False
        if not good:
            raise HandoverError(f"descriptor {fd} should be a {what} and is none")


def write(handover: Handover) -> int:
    """The descriptor of a file without a name that holds it."""
    fd = os.memfd_create("sipherd-handover", os.MFD_CLOEXEC)
    with os.fdopen(os.dup(fd), "wb") as file:
        file.write(handover.model_dump_json().encode())
    return fd


def is_waiting(environment: MutableMapping[str, str]) -> bool:
    """Whether something was handed to this process that it has not taken over."""
    return VARIABLE in environment


def is_trial(environment: MutableMapping[str, str]) -> bool:
    """Whether it is only to be seen that this process could take it over."""
    return TRIAL in environment


def read(environment: MutableMapping[str, str]) -> Handover:
    """What was handed to this process, unchecked but for its form."""
    try:
        fd = int(environment[VARIABLE])
        data = os.pread(fd, MOST_BYTES, 0)
        handover = Handover.model_validate_json(data)
    except (OSError, ValueError) as error:
        what = error.title if isinstance(error, ValidationError) else str(error)
        raise HandoverError(f"what was handed over cannot be read: {what}") from None
    if handover.pid != (os.getppid() if TRIAL in environment else os.getpid()):
        raise HandoverError("what was handed over is another process's")
    return handover


def accept(handover: Handover, environment: MutableMapping[str, str]) -> None:
    """It is this process's from now on; what was duplicated is not needed twice."""
    os.close(int(environment.pop(VARIABLE)))
    duplicated = [*handover.files.values(), *([handover.own.area] if handover.own else [])]
    for fd in handover.descriptors():
        if fd in duplicated:
            os.close(fd)
        else:
            os.set_inheritable(fd, False)


def returned(handover: Handover, reason: str) -> Handover:
    """The same for the program before, which goes on as if nothing had happened."""
    before = handover.before
    assert before is not None
    return handover.model_copy(
        update={"image": before.number, "before": None, "own": before, "failed": reason}
    )


@dataclass(slots=True)
class Lineage:
    """The program of this process, and where it comes from."""

    number: int = 1  # of programs that this process has been
    command: Program = field(default_factory=Program.running)
    pinned: Program = field(default_factory=lambda: Program.running().pinned())
    before: Image | None = None  # to be given back to, until all children are this program's
    failed: str = ""  # why this one was given back what it had

    @classmethod
    def of(cls, handover: Handover) -> Lineage:
        """That of a program which has taken over."""
        command = replace(handover.command.program, version=VERSION)
        return cls(handover.image, command, before=handover.before, failed=handover.failed)
