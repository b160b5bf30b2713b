from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from billing.stripe import patience


class StripeBudget:
    """What one request may spend on waiting for Stripe, with all its calls and retries."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if self.is_async:
            return self._async_call(request)
        with patience.budget(patience.REQUEST_SECONDS):
            response: HttpResponseBase = self.get_response(request)
        return response

    async def _async_call(self, request: HttpRequest) -> HttpResponseBase:
        with patience.budget(patience.REQUEST_SECONDS):
            response: HttpResponseBase = await self.get_response(request)
        return response
