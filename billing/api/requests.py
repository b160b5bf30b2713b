"""What the API views of billing share."""

from datetime import datetime

from rest_framework.request import Request

from accounts.api.requests import caller_of as user_of
from accounts.api.requests import organization_of, parsed
from accounts.roles import Scope
from superagent.foundation import clock

__all__ = ["READ_WRITE", "now_of", "organization_of", "parsed", "user_of"]

READ_WRITE = {"GET": Scope.BILLING_READ, "POST": Scope.BILLING_WRITE, "DELETE": Scope.BILLING_WRITE}


def now_of(request: Request) -> datetime:
    return clock.now(organization_of(request))
