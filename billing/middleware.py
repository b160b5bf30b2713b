from contextlib import AbstractContextManager

from django.http import HttpRequest

from billing.stripe import patience
from superagent.foundation.middleware import WrappingMiddleware


class StripeBudget(WrappingMiddleware):
    """What one request may spend on waiting for Stripe, with all its calls and retries."""

    def around(self, request: HttpRequest) -> AbstractContextManager[None]:
        return patience.budget(patience.REQUEST_SECONDS)
