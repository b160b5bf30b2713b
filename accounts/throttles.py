"""Rate limits by network, user, organization or recipient, as configured in settings.THROTTLES.

Counted by foundation.rate_limits. Without Redis everything is allowed, and logged as an error.
"""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

from django.conf import settings
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from accounts import audit, security_events
from accounts.models import User
from accounts.security_events import Kind
from superagent.foundation import rate_limits
from superagent.foundation.problems import Refusal
from superagent.foundation.rate_limits import Limit, Use

REASONS = {
    "guess_pair": "Too many failed attempts from your network.",
    "guess_device": "Too many failed attempts.",
    "guess_network": "Too many logins from your network have failed.",
    "guess_account": "Too many logins to this account have failed, from many networks.",
}


class TooManyAttempts(Refusal):
    status = HTTPStatus.TOO_MANY_REQUESTS
    code = "too_many_attempts"
    title = "Too many attempts"

    def __init__(self, name: str, wait_seconds: int, why: str = "") -> None:
        self.name = name
        self.wait_seconds = max(wait_seconds, 1)
        again = f"Try again in {in_words(self.wait_seconds)}."
        super().__init__(f"{why} {again}".strip(), headers={"Retry-After": str(self.wait_seconds)})


def consume(*, name: str, ident: str) -> None:
    """Count an attempt of `ident` against THROTTLES[name] (attempts, seconds). Raises TooManyAttempts."""
    take(use_of(name, ident))


def consume_network(*, name: str, address: str | None) -> None:
    """Count an attempt from `address` against its network, and the wider one around it. Raises TooManyAttempts."""
    take(*network_uses(name, address))


@contextmanager
def counted(*, name: str, ident: str) -> Iterator[None]:
    """Count what runs inside, unless it raises a refusal. Raises TooManyAttempts before it runs."""
    use = use_of(name, ident)
    take(use)
    try:
        yield
    except Exception:
        rate_limits.give_back(use)
        raise


def allows(*, name: str, ident: str) -> bool:
    """Count an attempt; returns False if there were too many. For actions that are skipped silently."""
    try:
        consume(name=name, ident=ident)
    except TooManyAttempts:
        return False
    return True


def take(*uses: Use, user: User | None = None, passes: Callable[[], bool] | None = None) -> list[Use]:
    """Take units of each limit in order, so that a request refused by the first counts against no wider one.

    If `passes()`, a limit that is reached neither refuses nor counts. A refusal is recorded as a security event of
    `user`. Returns what was taken. Raises TooManyAttempts.
    """
    taken = []
    for use in uses:
        balance = rate_limits.take(use)[0]
        if balance.is_allowed:
            taken.append(use)
        elif passes is None or not passes():
            name = use.limit.name
            security_events.note(kind=Kind.LIMIT_REACHED, user=user, limit=name)
            raise TooManyAttempts(name, balance.wait_seconds, REASONS.get(name, ""))
    return taken


def use_of(name: str, ident: str, factor: int = 1) -> Use:
    return Use(_limit(name, factor), hashlib.sha256(ident.encode()).hexdigest()[:32])


def network_uses(name: str, address: str | None) -> list[Use]:
    return rate_limits.network_uses(_limit(name), address)


def _limit(name: str, factor: int = 1) -> Limit:
    quantity, seconds = settings.THROTTLES[name]
    return Limit(name, quantity * factor, seconds)


def in_words(seconds: int) -> str:
    """Returns a duration in words, rounded up: “40 seconds”, “3 minutes”, “8 hours”."""
    for name, size in (("hour", 3600), ("minute", 60)):
        if seconds > size:
            return f"{-(-seconds // size)} {name}s"
    return "1 second" if seconds == 1 else f"{seconds} seconds"


class NetworkThrottle(BaseThrottle):
    """Limits the client's network by each of the view's `throttle_names`."""

    def allow_request(self, request: Request, view: Any) -> bool:
        names: tuple[str, ...] = view.throttle_names
        for name in names:
            consume_network(name=name, address=audit.client_address(request._request))
        return True
