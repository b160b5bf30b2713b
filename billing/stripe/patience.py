"""How long anybody waits for Stripe: a person a few seconds in all, and nobody while it does not answer.

- **Budget**: what a web request may spend on all its calls and their retries together.
- **Slots**: of the threads that answer requests, only half may wait for Stripe at a time; the others serve the rest.
- **Breaker**: after a few time-outs in a row Stripe is left alone for a while, by all processes (Redis tells them), and
  callers are refused at once. Then one call of each process tries.
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
    """Stripe is not asked now. `str()` says why."""


@contextmanager
def budget(seconds: float) -> Iterator[None]:
    """All calls within take `seconds` at most, together; of two budgets the shorter one counts."""
    end = time.monotonic() + seconds
    before = _deadline.get()
    token = _deadline.set(end if before is None else min(end, before))
    try:
        yield
    finally:
        _deadline.reset(token)


def seconds_left() -> float | None:
    """None for jobs, which nobody waits for."""
    deadline = _deadline.get()
    return None if deadline is None else deadline - time.monotonic()


@contextmanager
def slot() -> Iterator[None]:
    """A place among those who wait for Stripe while somebody waits for them. Raises OutOfPatience."""
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
    """Tells the other processes by a key that ends by itself; without Redis each finds out alone."""

    name = "stripe"

    def __init__(self) -> None:
        super().__init__(failures=FAILURES, pause_seconds=PAUSE_SECONDS)
        self._looked_at = 0.0
        self._is_told = False

    def check(self) -> None:
        """Raises OutOfPatience while Stripe is left alone."""
        if not self.lets_through() or (not self.is_open and self._others_say()):
            raise OutOfPatience("Stripe does not answer: it is asked again in a moment")

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
        """Stripe answers again."""
        self._failed, self._is_told = 0, False
        try:
            redis_client.connection().delete(SHARED_KEY)
        except redis_client.LOST:
            return

    def is_known_to_be_silent(self) -> bool:
        """For operators: here or in another process."""
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
