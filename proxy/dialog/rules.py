"""What the operator has decided about dialogs."""

from __future__ import annotations

from proxy.dialog.due import Intervals


class DialogRules:
    """The settings of `[dialog]` that decisions need; `node` and `setup_seconds` come from others.

    `setup_seconds` is how long an INVITE may go on without a sign of life before its worker must
    have died: longer than timer C and the patience after a CANCEL.
    """

    def __init__(
        self,
        *,
        node: int = 1,
        automatic: bool = True,
        refuse_when_full: bool = False,
        default_timeout: int = 43_200,
        intervals: Intervals | None = None,
        refuse_late: bool = True,
        setup_seconds: int = 301,
        tag: bytes = b"",
        replicated: bool = False,
    ) -> None:
        self.node = node
        self.automatic = automatic
        self.refuse_when_full = refuse_when_full
        self.default_timeout = default_timeout
        self.intervals = intervals or Intervals()
        self.refuse_late = refuse_late
        self.delete_delay = self.intervals.delete_delay
        self.setup_seconds = setup_seconds
        self.tag = tag
        self.replicated = replicated  # other nodes have to know that a dialog has ended
