"""Signals: blocked from before the first fork on, waited for in one place, read as data.

There is no handler that could run at a bad moment. The supervisor keeps the signals blocked and
reads them from a signalfd in its poll; a child inherits the mask, so a signal that comes between
the fork and `enter_child` stays pending until the child has chosen what it means.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import struct
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

STOP: Final = frozenset({signal.SIGTERM, signal.SIGINT})
QUIT: Final = frozenset({signal.SIGQUIT})
RELOAD: Final = frozenset({signal.SIGHUP})
REOPEN: Final = frozenset({signal.SIGUSR1})
MORE: Final = frozenset({signal.SIGTTIN})
FEWER: Final = frozenset({signal.SIGTTOU})
UPGRADE: Final = frozenset({signal.SIGUSR2})
COMMANDS: Final = STOP | QUIT | RELOAD | REOPEN | MORE | FEWER | UPGRADE
WAITED_FOR: Final = COMMANDS | {signal.SIGCHLD}
# A child is told to stop by its stop_fd alone: what a terminal or an init system sends to the
# whole group must not end a worker that the supervisor wants to end gracefully.
IGNORED_BY_CHILDREN: Final = COMMANDS

# Makes a child write where it is, and go on: no timer of ours uses it.
TRACE: Final = signal.SIGVTALRM

_libc = ctypes.CDLL(None, use_errno=True)
_SIGSET_BYTES: Final = 128
_SIGINFO_BYTES: Final = 128
# To be read at once of what will not come again: the interpreter has the numbers up to this one,
# and would have to make room for a greater one when it is too late to go back.
AT_ONCE: Final = 256
_PR_SET_PDEATHSIG: Final = 1


def block() -> None:
    """Block all signals that the supervisor waits for."""
    signal.pthread_sigmask(signal.SIG_BLOCK, WAITED_FOR)


def enter_child() -> None:
    """Choose what signals mean in a child, then let them in."""
    for number in IGNORED_BY_CHILDREN:
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, WAITED_FOR)


def die_with_parent(parent: int) -> None:
    """Be killed by the kernel when process `parent` ends: no orphan keeps a socket."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it ended before the request
        os.kill(os.getpid(), signal.SIGKILL)


def _signal_fd(numbers: Iterable[int]) -> int:
    mask = ctypes.create_string_buffer(_SIGSET_BYTES)
    _libc.sigemptyset(mask)
    for number in numbers:
        _libc.sigaddset(mask, number)
    fd: int = _libc.signalfd(-1, mask, os.O_NONBLOCK | os.O_CLOEXEC)
    if fd < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return fd


class Waiter:
    """The one place where the supervisor waits: for signals, for readable files, for a deadline."""

    def __init__(self) -> None:
        self.signal_fd = _signal_fd(WAITED_FOR)
        self._infos = bytearray(AT_ONCE)
        self._filled = 0
        self._readers: dict[int, Callable[[], None]] = {}
        self._poll = select.poll()
        self._poll.register(self.signal_fd, select.POLLIN)

    def watch(self, fd: int, reader: Callable[[], None] | None = None) -> None:
        """Wake up, and call `reader`, whenever `fd` is readable."""
        if reader is not None:
            self._readers[fd] = reader
        self._poll.register(fd, select.POLLIN)

    def wait(self, timeout_s: float | None, found: deque[int]) -> None:
        """Wait until something happens; the signals that came are appended to `found`."""
        events = self._poll.poll(None if timeout_s is None else max(0, timeout_s * 1_000))
        for fd, _ in events:
            if reader := self._readers.get(fd):
                reader()
        self._take_signals(found)

    def _take_signals(self, found: deque[int]) -> None:
        """What is read stays in the buffer until it is known what it was."""
        while True:
            if not self._filled:
                try:
                    self._filled = os.readv(self.signal_fd, [self._infos])
                except BlockingIOError:
                    return
            starts = range(0, self._filled, _SIGINFO_BYTES)
            found.extend([struct.unpack_from("=I", self._infos, start)[0] for start in starts])
            self._filled = 0
