"""Limits of what strangers may try, counted in Redis. Redis lost: everything is let through, and logged as an error."""

import hashlib
from http import HTTPStatus

import structlog
from django.conf import settings
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

from accounts import audit
from superagent.foundation import redis_client
from superagent.foundation.problems import Refusal
from superagent.foundation.redis_client import LOST

# Counts one attempt in a window that begins with the first; answers the count and the seconds that remain.
_COUNT = """
local count = redis.call('INCR', KEYS[1])
if count == 1 then redis.call('EXPIRE', KEYS[1], ARGV[1]) end
return {count, redis.call('TTL', KEYS[1])}
"""

log = structlog.get_logger(__name__)


class TooManyAttempts(Refusal):
    status = HTTPStatus.TOO_MANY_REQUESTS
    code = "too_many_attempts"
    title = "Too many attempts"


def consume(*, name: str, ident: str) -> None:
    """Count an attempt of `ident` against THROTTLES[name] (attempts, seconds). Raises TooManyAttempts."""
    limit, seconds = settings.THROTTLES[name]
    try:
        count, wait = redis_client.connection().eval(_COUNT, 1, _key(name, ident), seconds)
    except LOST as error:
        log.error("throttle_open", throttle=name, error=str(error))
        return
    if count > limit:
        wait = max(int(wait), 1)
        raise TooManyAttempts(f"Try again in {wait} seconds.", headers={"Retry-After": str(wait)})


def forgive(*, name: str, ident: str) -> None:
    """Forget the attempts of `ident`: the last one succeeded."""
    try:
        redis_client.connection().delete(_key(name, ident))
    except LOST as error:
        log.error("throttle_open", throttle=name, error=str(error))


def _key(name: str, ident: str) -> str:
    return f"throttle:{name}:{hashlib.sha256(ident.encode()).hexdigest()[:32]}"


class AddressThrottle(BaseThrottle):
    """Limits one network address, by the view's `throttle_name`."""

    def allow_request(self, request: Request, view: APIView) -> bool:
        name: str = view.throttle_name  # type: ignore[attr-defined]  # views that use this class have it
        consume(name=name, ident=audit.client_address(request._request) or "")
        return True
