"""What an operator decides about registrations."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from proxy.limits.bounds import CONTACTS_PER_REGISTER, EXPIRES_SECONDS, REMEMBERED_BYTES, TAG_BYTES
from proxy.registrar.domains import Domains
from proxy.registrar.methods import methods_mask

PATH_MODES = ("none", "off", "lazy", "strict")
BRIEF_LIMIT = 3600  # RFC 3261 §10.3-7: nothing of an hour or more is ever "too brief"
KNOWN_ALLOWS = 1024


def no_jitter() -> float:
    """The draw of a registrar that shortens nothing."""
    return 0.0


class RegistrarRules:
    """The settings of one registrar, checked once; ValueError names the one that cannot be."""

    def __init__(
        self,
        domains: Iterable[bytes],
        *,
        default_expires: int = 3600,
        min_expires: int = 60,
        max_expires: int = 7200,
        expires_jitter: float = 0.0,
        uniform: Callable[[], float] = no_jitter,
        max_contacts: int = 10,
        when_full: str = "replace",
        retry_after: int = 30,
        short_expires: str = "refuse",
        cseq_delay: int = 20,
        path_mode: str = "lazy",
        match_call_id: bool = False,
        replicated: bool = False,
        node: int = 1,
        tag: bytes = b"",
    ) -> None:
        self.domains = Domains(domains)
        self.default_expires = default_expires
        self.min_expires = min_expires
        self.max_expires = max_expires or EXPIRES_SECONDS
        self.expires_jitter = expires_jitter
        self.uniform = uniform
        self.max_contacts = max_contacts or CONTACTS_PER_REGISTER
        self.replace_when_full = when_full == "replace"
        self.retry_after = b"Retry-After: %d\r\n" % retry_after
        self.refuse_brief = short_expires == "refuse"
        self.cseq_delay = cseq_delay
        self.takes_path = path_mode != "none"
        self.echoes_path = path_mode in ("lazy", "strict")
        self.demands_path = path_mode == "strict"
        self.match_call_id = match_call_id
        self.replicated = replicated  # what is removed leaves a tombstone
        self.node = node
        self.tag = tag
        self._masks: dict[bytes, int] = {}
        self._check(when_full, short_expires, path_mode, retry_after)

    def _check(self, when_full: str, short_expires: str, path_mode: str, retry_after: int) -> None:
        longest = self.max_expires
        for holds, sentence in (
            (0 <= self.min_expires <= longest, "min_expires must be between 0 and max_expires"),
            (longest <= EXPIRES_SECONDS, f"max_expires must be at most {EXPIRES_SECONDS}"),
            (
                self.min_expires <= self.default_expires <= longest,
                "default_expires must be between min_expires and max_expires",
            ),
            (0 <= self.expires_jitter < 1, "expires_jitter must be at least 0 and below 1"),
            (
                0 < self.max_contacts <= CONTACTS_PER_REGISTER,
                f"max_contacts must be between 0 and {CONTACTS_PER_REGISTER}",
            ),
            (when_full in ("replace", "refuse"), "when_full must be replace or refuse"),
            (short_expires in ("refuse", "raise"), "short_expires must be refuse or raise"),
            (path_mode in PATH_MODES, f"path_mode must be one of {', '.join(PATH_MODES)}"),
            (retry_after >= 0, "retry_after must not be negative"),
            (self.cseq_delay >= 0, "cseq_delay must not be negative"),
            (0 < self.node <= 0xFFFF, "the node's id must be between 1 and 65535"),
            (len(self.tag) <= TAG_BYTES, f"a tag must have at most {TAG_BYTES} bytes"),
        ):
            if not holds:
                raise ValueError(sentence)

    def methods_of(self, allow: bytes) -> int:
        """The bits of an Allow value; there are few kinds of phones, so they are remembered."""
        mask = self._masks.get(allow)
        if mask is None:
            mask = methods_mask(allow)
            if len(allow) > REMEMBERED_BYTES:
                return mask
            if len(self._masks) >= KNOWN_ALLOWS:
                self._masks.clear()
            self._masks[allow] = mask
        return mask

    def is_brief(self, seconds: int) -> bool:
        """Whether a wish for `seconds` is one RFC 3261 §10.3-7 lets us refuse with 423."""
        return self.refuse_brief and 0 < seconds < self.min_expires and seconds < BRIEF_LIMIT

    def granted(self, seconds: int) -> int:
        """What a wish for `seconds` > 0 gets: bounded, then shortened by the jitter."""
        if seconds < self.min_expires:
            return self.min_expires
        if seconds > self.max_expires:
            seconds = self.max_expires
        if self.expires_jitter <= 0.0:
            return seconds
        share: float = self.uniform()
        cut = seconds * self.expires_jitter * share
        shortened = seconds - int(cut)
        if shortened < self.min_expires:
            shortened = self.min_expires
        return shortened if shortened > 0 else 1
