"""Everything sipherd raises on purpose. Uncompiled, so that each class exists once."""

from __future__ import annotations


class SipherdError(Exception):
    """Base of every error raised on purpose; its text is a sentence for an operator."""


class BadMessage(SipherdError):
    """A message that RFC 3261 or a limit forbids.

    `status` is what a request gets for it (400, 413, 416, 420, 483, 505, 513 ...); a response or
    an ACK is dropped and counted under it. The text names the header or element at fault.
    """

    def __init__(self, reason: str, status: int = 400) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status


class BadUri(BadMessage):
    """A message whose URI is malformed; counted apart."""


class ConfigError(SipherdError):
    """A configuration that cannot be used; `mistakes` holds one sentence each."""

    def __init__(self, mistakes: list[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = mistakes


class ShmError(SipherdError):
    """A shared file that cannot be created, attached or trusted."""


class ShmRefused(ShmError):
    """The system does not give a shared file now; what is in it is not at fault."""


class TableFull(ShmError):
    """A table has no room for a new record; what it holds is untouched."""


class LockTimeout(ShmError):
    """A lock was held elsewhere for longer than a worker may wait."""


class CorruptRecord(ShmError):
    """A location record whose payload cannot be what encode() wrote."""


class ClockExhausted(SipherdError):
    """A hybrid clock has no version left; only a broken clock or peer gets it there."""


class BadFrame(SipherdError):
    """A frame of the cluster's bus that is not what the protocol allows; nothing was changed."""


class RestMissing(SipherdError):
    """A peer has told only what changed of a record, and the record here is not the one before."""


class LocateError(SipherdError):
    """A next hop that cannot be reached from here whatever the DNS says."""


class HandedOver(BaseException):
    """Ends a policy here, whose request begins anew in the worker that owns it.

    Not an Exception, as a policy that catches those is not to go on.
    """


class Refused(BadMessage):
    """A request a rule refuses; `headers` are the lines its answer needs beyond the usual."""

    def __init__(self, reason: str, status: int, headers: bytes = b"") -> None:
        super().__init__(reason, status)
        self.headers = headers


class ProfileUnknown(SipherdError):
    """A profile, or a value of one, that the configuration does not know."""
