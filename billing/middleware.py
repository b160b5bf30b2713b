from contextlib import AbstractContextManager

from django.http import HttpRequest

from billing.stripe import patience
from superagent.foundation.middleware import WrappingMiddleware


class StripeBudget(WrappingMiddleware):
    """Limits how long one request may wait for Stripe, over all its calls and retries."""

    def around(self, request: HttpRequest) -> AbstractContextManager[None]:
        return patience.budget(patience.REQUEST_SECONDS)
