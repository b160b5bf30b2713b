"""Timeouts and circuit breaker for Stripe: web requests wait a few seconds in all, and not at all while it is down.

- **Budget**: the time that a web request may spend on all its calls and retries.
- **Slots**: only half of the request threads may wait for Stripe at a time.
- **Breaker**: after a few timeouts in a row calls are refused at once for a while, in all processes (through Redis).
  Then each process tries one call.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import structlog
from django.conf import settings

from superagent.foundation import redis_client
from superagent.foundation.breakers import CircuitBreaker

REQUEST_SECONDS = 8.0  # a page takes ten at most, and does more than to wait
SLOT_SECONDS = 0.25
FAILURES = 3
PAUSE_SECONDS = 20
LOOK_SECONDS = 1.0
SHARED_KEY = "stripe:does_not_answer"

log = structlog.get_logger(__name__)

_deadline: ContextVar[float | None] = ContextVar("stripe_deadline", default=None)
_slots = threading.BoundedSemaphore(max(1, settings.WEB_THREADS // 2))


class OutOfPatience(Exception):
    """The call is not made. `str()` gives the reason."""


@contextmanager
def budget(seconds: float) -> Iterator[None]:
    """Limits all calls within to `seconds` together; of nested budgets the shorter one applies."""
    end = time.monotonic() + seconds
    before = _deadline.get()
    token = _deadline.set(end if before is None else min(end, before))
    try:
        yield
    finally:
        _deadline.reset(token)


def seconds_left() -> float | None:
    """Returns the rest of the budget; None for jobs, which have none."""
    deadline = _deadline.get()
    return None if deadline is None else deadline - time.monotonic()


@contextmanager
def slot() -> Iterator[None]:
    """Holds one of the slots for requests that wait for Stripe. Raises OutOfPatience."""
    if _deadline.get() is None:
        yield
        return
    if not _slots.acquire(timeout=SLOT_SECONDS):
        raise OutOfPatience("too many requests wait for Stripe already")
    try:
        yield
    finally:
        _slots.release()


class StripeBreaker(CircuitBreaker):
    """Shared by all processes through a Redis key that expires; without Redis each process has its own."""

    name = "stripe"

    def __init__(self) -> None:
        super().__init__(failures=FAILURES, pause_seconds=PAUSE_SECONDS)
        self._looked_at = 0.0
        self._is_told = False

    def check(self) -> None:
        """Raises OutOfPatience while the breaker is open."""
        if not self.lets_through() or (not self.is_open and self._others_say()):
            raise OutOfPatience("Stripe does not respond; the next try is in a moment")

    def timed_out(self) -> None:
        was_open = self.is_open
        super().timed_out()
        if self.is_open:
            self._tell(was_open=was_open)

    def answered(self) -> None:
        if self.is_open:
            self.reset()
        super().answered()

    def reset(self) -> None:
        """Close the breaker: Stripe responds again."""
        self._failed, self._is_told = 0, False
        try:
            redis_client.connection().delete(SHARED_KEY)
        except redis_client.LOST:
            return

    def is_known_to_be_silent(self) -> bool:
        """True if the breaker is open in this or another process; for operators."""
        return self.is_open or self._others_say()

    def _tell(self, *, was_open: bool) -> None:
        try:
            redis_client.connection().set(SHARED_KEY, 1, ex=int(self.pause_seconds))
        except redis_client.LOST as error:
            log.warning("stripe_breaker_not_shared", error=str(error), was_open=was_open)

    def _others_say(self) -> bool:
        now = time.monotonic()
        if now - self._looked_at >= LOOK_SECONDS:
            self._looked_at = now
            try:
                self._is_told = bool(redis_client.connection().exists(SHARED_KEY))
            except redis_client.LOST:
                self._is_told = False
        return self._is_told


breaker = StripeBreaker()
