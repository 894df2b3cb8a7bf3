"""Whether a database may be asked, and when one that failed is tried again. Pure: time comes in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

FIRST_DELAY_S: Final = 0.25
LONGEST_DELAY_S: Final = 5.0
STREAK_S: Final = 60.0  # failures this near to each other are one trouble, whatever was between


class Breaker:
    """Closed: asked. Open: left alone until a moment that moves away with every failed try."""

    def __init__(self, uniform: Callable[[], float]) -> None:
        self._uniform = uniform  # 0 to 1: nodes that lost one database must not come back as one
        self.failures = 0
        self.streak = 0
        self.failed_at = 0.0
        self.retry_at = 0.0
        self.allowed = True  # what the operator says (db_set)

    @property
    def closed(self) -> bool:
        """Whether the last attempt succeeded, or there was none."""
        return self.failures == 0 and self.allowed

    def may_try(self, now: float) -> bool:
        """Whether the database may be asked at all now."""
        return self.allowed and (self.failures == 0 or now >= self.retry_at)

    def succeeded(self) -> None:
        """It answered."""
        self.failures = 0

    def failed(self, now: float) -> None:
        """It could not be reached, or could not serve anybody."""
        self.streak = self.streak + 1 if now - self.failed_at < STREAK_S else 1
        delay = min(LONGEST_DELAY_S, FIRST_DELAY_S * 2.0 ** min(self.streak - 1, 10))
        self.failures += 1
        self.failed_at = now
        self.retry_at = now + delay * (0.5 + self._uniform() / 2)

    def try_again(self) -> None:
        """Forget when it failed last (`db_set ... ignore_retries`)."""
        self.retry_at = 0.0
