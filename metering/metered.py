"""Which requests count against the request quota, and which are only recorded: the way out of an exhausted quota."""

import re
from functools import lru_cache

from django.http import HttpRequest

# Who has used everything up must still be able to see it, pay, change the plan and revoke a stolen key.
_WAY_OUT = re.compile(
    r"api/v1/(?:"
    r"(?:auth|users|organizations|api-keys|quotas|credits|licenses|billing|subscriptions|orders)(?:/|$)"
    r"|reservations/[^/]+/(?:commit|release)$"
    r"|domains/[^/]+/renew$"
    r")"
)


def is_counted(request: HttpRequest) -> bool:
    """True if `request` takes a unit of the quota. An address that leads nowhere has nobody's quota to take it from."""
    match = request.resolver_match
    return match is not None and _is_counted(match.route)


@lru_cache(maxsize=1024)
def _is_counted(route: str) -> bool:
    return _WAY_OUT.match(route) is None
