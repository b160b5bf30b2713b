"""Middleware of accounts: where audit entries come from, and the system scope of the admin."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest, HttpResponseBase
from django.urls import reverse

from accounts import audit, staff_access
from superagent.foundation import tenancy


class _Around:
    """A middleware that opens something for the time of the request, sync and async."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if self._is_async:
            return self._async_call(request)
        with self.around(request):
            return self.get_response(request)

    async def _async_call(self, request: HttpRequest) -> HttpResponseBase:
        with self.around(request):
            return await self.get_response(request)

    @contextmanager
    def around(self, request: HttpRequest) -> Iterator[None]:
        raise NotImplementedError


class AuditContext(_Around):
    """Audit entries know the request that they are written in."""

    @contextmanager
    def around(self, request: HttpRequest) -> Iterator[None]:
        audit.follow(request)
        try:
            yield
        finally:
            audit.follow(None)


class AdminScope(_Around):
    """Staff look after every organization: for those who may enter, the admin's pages run in the system scope."""

    @contextmanager
    def around(self, request: HttpRequest) -> Iterator[None]:
        is_page = hasattr(request, "user")  # API requests have none: the cheapest question comes first
        is_admin = is_page and request.path_info.startswith(reverse("admin:index"))
        if not is_admin or not staff_access.may_enter(request):
            yield
        else:
            staff_access.note_presence(request)
            with tenancy.system("admin"):
                yield
