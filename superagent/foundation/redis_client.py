"""The only Redis connection pool of a process. Redis may be down: callers catch `LOST` and define their fallback.

A Redis that refuses connections fails at once; one that hangs costs a timeout each time. After a few timeouts in a row
the process's circuit breaker opens: no calls until the pause is over, then one trial call.
"""

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis
from django.conf import settings

from superagent.foundation import breakers

LOST = (
    redis.ConnectionError,
    redis.TimeoutError,
    redis.ResponseError,
)  # down, silent, not asked because of that, or still loading its file
TIMEOUT_SECONDS = 0.5


class NotAsked(redis.ConnectionError):
    """The call was not made, because Redis did not respond to the last calls of this process."""


class CircuitBreaker(breakers.CircuitBreaker):
    """Around exchanges with Redis."""

    name = "redis"

    def check(self) -> None:
        """Raises NotAsked while it is open; the first caller after the pause is let through."""
        if not self.lets_through():
            raise NotAsked("Redis is not asked for a moment: it did not answer the last calls")

    @contextmanager
    def guard(self) -> Iterator[None]:
        """Around one exchange with Redis. Raises NotAsked."""
        self.check()
        try:
            yield
        except redis.TimeoutError:
            self.timed_out()
            raise
        except redis.RedisError:
            self.answered()
            raise
        self.answered()


breaker = CircuitBreaker(failures=3, pause_seconds=2)


@functools.cache
def connection() -> "redis.Redis":
    """Returns a client that is thread-safe, and safe after a fork: the pool notices that the process is another one."""
    return _Redis.from_url(
        settings.REDIS_URL, socket_timeout=TIMEOUT_SECONDS, socket_connect_timeout=TIMEOUT_SECONDS
    )


class _Pipeline(redis.client.Pipeline):
    def execute(self, raise_on_error: bool = True) -> list[Any]:
        with breaker.guard():
            return super().execute(raise_on_error)


class _Redis(redis.Redis):
    """Asks behind the breaker."""

    def execute_command(self, *args: Any, **options: Any) -> Any:
        with breaker.guard():
            return super().execute_command(*args, **options)

    def pipeline(self, transaction: bool = True, shard_hint: Any = None) -> _Pipeline:
        return _Pipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)
