"""Cache for pages and allauth's rate limits that treats a Redis outage as a cache miss."""

import functools
from collections.abc import Callable
from typing import Any

import structlog
from django.core.cache.backends.redis import RedisCache

from superagent.foundation.redis_client import LOST, breaker

log = structlog.get_logger(__name__)


def _without_redis(answer: Callable[..., Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorate a cache method: if Redis is lost, log it and return what `answer` makes of the arguments."""

    def decorate(method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def wrapped(self: RedisCache, *args: Any, **kwargs: Any) -> Any:
            try:
                with breaker.guard():
                    return method(self, *args, **kwargs)
            except LOST as error:
                log.error("cache_lost", operation=method.__name__, error=str(error))
                return answer(*args, **kwargs)

        return wrapped

    return decorate


class ForgivingRedisCache(RedisCache):
    """Django's Redis cache. During an outage it is empty and every lock is free; rate limits do not apply and an alarm
    is logged.
    """

    get = _without_redis(lambda key, default=None, version=None: default)(RedisCache.get)
    add = _without_redis(lambda *args, **kwargs: True)(RedisCache.add)
    set = _without_redis(lambda *args, **kwargs: None)(RedisCache.set)
    touch = _without_redis(lambda *args, **kwargs: False)(RedisCache.touch)
    delete = _without_redis(lambda *args, **kwargs: False)(RedisCache.delete)
    get_many = _without_redis(lambda keys, version=None: {})(RedisCache.get_many)
    has_key = _without_redis(lambda *args, **kwargs: False)(RedisCache.has_key)
    set_many = _without_redis(lambda data, *args, **kwargs: list(data))(RedisCache.set_many)
    delete_many = _without_redis(lambda *args, **kwargs: None)(RedisCache.delete_many)
