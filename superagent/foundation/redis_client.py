"""The one connection pool to Redis of a process. Redis may be lost: callers catch `LOST` and say what happens then."""

import functools

import redis
from django.conf import settings

LOST = (
    redis.ConnectionError,
    redis.TimeoutError,
    redis.ResponseError,
)  # down, silent, or still loading its file
TIMEOUT_SECONDS = 1


@functools.cache
def connection() -> "redis.Redis":
    """Thread-safe, and safe after a fork: the pool notices that the process is another one."""
    return redis.Redis.from_url(
        settings.REDIS_URL, socket_timeout=TIMEOUT_SECONDS, socket_connect_timeout=TIMEOUT_SECONDS
    )
