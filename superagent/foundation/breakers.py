"""Circuit breakers: a system that hangs is not called for a while, so that not every caller waits for its timeout."""

import time

import structlog

log = structlog.get_logger(__name__)


class CircuitBreaker:
    """Opens after `failures` timeouts in a row, for `pause_seconds`; then one trial call decides.

    Shared by all threads of a process. Two threads that read the state at the same moment may both be let through: that
    costs one more timeout, whereas a lock would cost every call, and could be held during a fork.
    """

    name = "circuit"
    """What the log calls it."""

    def __init__(self, *, failures: int, pause_seconds: float) -> None:
        self._failures = failures
        self.pause_seconds = pause_seconds
        self._failed = 0
        self._closed_again_at = 0.0

    @property
    def is_open(self) -> bool:
        return self._failed >= self._failures

    def lets_through(self) -> bool:
        """Returns whether this call may be made. After the pause, the first caller may."""
        if not self.is_open:
            return True
        now = time.monotonic()
        if now < self._closed_again_at:
            return False
        self._closed_again_at = now + self.pause_seconds
        return True

    def timed_out(self) -> None:
        self._failed += 1
        if self.is_open:
            self._closed_again_at = time.monotonic() + self.pause_seconds
            log.error(f"{self.name}_breaker_open", timeouts=self._failed, pause_seconds=self.pause_seconds)

    def answered(self) -> None:
        """Close the breaker: the system responds, even if it refused."""
        if self._failed:
            if self.is_open:
                log.warning(f"{self.name}_breaker_closed")
            self._failed = 0
