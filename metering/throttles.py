"""The request quota and the rate as DRF asks for them: after authentication and permission, so that what is refused
there never takes a unit for good."""

import time
from typing import Any

from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from accounts.principals import Principal
from metering.admission import counters
from metering.middleware import is_counted
from metering.request_path import charging


class RequestQuota(BaseThrottle):
    """Takes a unit of the organization's request quota. Raises QuotaExceeded or RateLimited."""

    def allow_request(self, request: Request, view: Any) -> bool:
        principal = request.auth
        if isinstance(principal, Principal):
            take(request._request, principal)
        return True


def take(request: Any, principal: Principal) -> None:
    """Charge `request` (Django's), unless authentication did; leaves the verdict as `request.charge`, or as
    `request.pace` where only the rate is limited."""
    if not is_counted(request):
        _pace(request, principal)
        return
    charge = getattr(request, "charge", None)
    if charge is None:
        charge = request.charge = charging.charge(
            organization_id=principal.organization_id,
            caller=_caller(principal),
            organization=principal.make_organization,
        )
    if not charge.is_taken:
        clock = principal.test_clock_time
        charge.check(clock.timestamp() if clock else time.time())


def _pace(request: Any, principal: Principal) -> None:
    pace = getattr(request, "pace", None)
    if pace is None:
        pace = request.pace = counters.pace(
            organization_id=principal.organization_id, caller=_caller(principal)
        )
    if pace is not None:
        pace.check()


def _caller(principal: Principal) -> str:
    return str(principal.api_key_id or principal.user_id)
