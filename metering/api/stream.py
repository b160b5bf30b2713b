"""usage/stream: the live counters of the usage period as server-sent events.

Format: https://html.spec.whatwg.org/multipage/server-sent-events.html. An async view: an open stream costs no thread.
It looks into Redis once a second and asks PostgreSQL only when something was counted, from one of few threads that
give their connection back at once.
"""

import asyncio
import contextvars
import json
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from importlib import import_module
from typing import Any, TypeVar
from uuid import UUID

from django.conf import settings
from django.contrib.auth import get_user
from django.db import connection
from django.http import HttpRequest, HttpResponseBase, StreamingHttpResponse
from django.utils import timezone
from rest_framework.exceptions import APIException
from rest_framework.request import Request

from accounts import access, roles, sessions
from accounts.authentication import ApiKeyAuthentication, AuthenticatedRequest, JwtAuthentication
from accounts.models import Organization
from accounts.permissions import MissingScope
from accounts.principals import Principal
from accounts.roles import Scope
from metering import throttles
from metering.admission import open_streams
from metering.quotas import live
from superagent.foundation import clock, contract, problems, tenancy
from superagent.foundation.identifiers import uuid7
from superagent.foundation.problems import Forbidden, Refusal

POLL_SECONDS = 1.0
HEARTBEAT_SECONDS = 15.0
ADMISSION_SECONDS = 30.0
"""How long a revoked key or an ended session still streams."""
POSTGRES_SECONDS = 10.0
"""How often PostgreSQL is asked when nothing says that it changed: a lost Redis, the turn of a period."""
LONGEST = timedelta(minutes=15)
RETRY_MILLISECONDS = 2000

_threads = ThreadPoolExecutor(max_workers=4, thread_name_prefix="usage-stream")
Result = TypeVar("Result")


class NotAuthenticated(Refusal):
    status = 401
    code = "not_authenticated"
    title = "Authentication is needed"


@dataclass(frozen=True, slots=True)
class Admission:
    """Who may stream, and for which organization. `principal` is None for a portal session, which is not metered."""

    organization: Organization
    principal: Principal | None
    caller: UUID


async def stream(request: AuthenticatedRequest) -> HttpResponseBase:
    if request.method != "GET":
        return problems.json_response(request, _NotAllowed())
    name = uuid7().hex
    try:
        admission = await _in_thread(_admit, request)
        if admission.principal is not None:
            request.organization = admission.organization
            request.principal = admission.principal
            await _in_thread(throttles.take, request, admission.principal)
        await _in_thread(contract.hold_query, request)
        await _in_thread(_enter, admission, name)
    except Refusal as refusal:
        return problems.json_response(request, refusal)
    return _Stream(
        admission,
        name,
        _events(request, admission, name),
        content_type="text/event-stream",
        headers={"Cache-Control": "no-cache", "Content-Encoding": "identity", "X-Accel-Buffering": "no"},
    )


class _NotAllowed(Refusal):
    status = 405
    code = "method_not_allowed"
    title = "Use GET"

    def __init__(self) -> None:
        super().__init__(headers={"Allow": "GET"})


class _Stream(StreamingHttpResponse):
    """Counted as open until the server closes it, however it ended."""

    def __init__(self, admission: Admission, name: str, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._admission, self._name = admission, name

    def close(self) -> None:
        super().close()
        organization_id, caller = self._admission.organization.pk, self._admission.caller
        open_streams.leave(organization_id=organization_id, caller=caller, stream=self._name)


def _enter(admission: Admission, name: str) -> None:
    open_streams.enter(organization_id=admission.organization.pk, caller=admission.caller, stream=name)


async def _events(request: HttpRequest, admission: Admission, name: str) -> AsyncIterator[bytes]:
    """`usage` events whenever a counter changed, comments as heartbeats. A client that reconnects with the
    Last-Event-ID of the present state is not sent it again."""
    sent = request.headers.get("Last-Event-ID", "")
    begun = admitted_at = beat_at = time.monotonic()
    asked_at = 0.0
    seen: str | None = None
    yield f"retry: {RETRY_MILLISECONDS}\n\n".encode()
    while time.monotonic() - begun < LONGEST.total_seconds():
        now = time.monotonic()
        if now - admitted_at >= ADMISSION_SECONDS:
            admitted_at = now
            try:
                admission = await _in_thread(_admit, request)
                await _in_thread(_enter, admission, name)
            except Refusal:
                return
        version = await _in_thread(live.version, admission.organization.pk)
        if version is None or version != seen or now - asked_at >= POSTGRES_SECONDS:
            seen, asked_at = version, now
            body = await _in_thread(_snapshot, admission.organization)
            version_name = sha256(body.encode()).hexdigest()[:16]
            if version_name != sent:
                sent, beat_at = version_name, now
                yield f"id: {version_name}\nevent: usage\ndata: {body}\n\n".encode()
        if now - beat_at >= HEARTBEAT_SECONDS:
            beat_at = now
            yield b": still here\n\n"
        await asyncio.sleep(POLL_SECONDS)


async def _in_thread(function: Callable[..., Result], *arguments: Any) -> Result:
    """In one of our threads, with no tenant scope of another stream and no connection left behind."""

    def run() -> Result:
        try:
            return function(*arguments)
        finally:
            connection.close()

    context = contextvars.copy_context()
    return await asyncio.get_running_loop().run_in_executor(_threads, context.run, run)


def _snapshot(organization: Organization) -> str:
    with tenancy.isolated(), tenancy.system("the clock of a stream's organization"):
        organization = Organization.objects.get(pk=organization.pk)
    with tenancy.isolated(), tenancy.tenant(organization):
        return json.dumps(live.snapshot(organization, clock.now(organization)))


def _admit(request: HttpRequest) -> Admission:
    """By API key or access token, else by the portal's session. Raises Refusal."""
    with tenancy.isolated():
        if "Authorization" in request.headers:
            return _by_credential(request)
        return _by_session(request)


def _by_credential(request: HttpRequest) -> Admission:
    plain = AuthenticatedRequest()
    plain.method, plain.META = "GET", request.META
    asked = Request(plain, parser_context={"view": stream, "kwargs": {}})
    try:
        for authentication in (ApiKeyAuthentication(), JwtAuthentication()):
            found = authentication.authenticate(asked)
            if found is not None:
                break
    except APIException as error:
        raise _unauthenticated(str(error.detail)) from error
    principal = found[1] if found else None
    if not isinstance(principal, Principal):
        raise _unauthenticated("Send an API key or an access token as a Bearer credential.")
    if not principal.allows(Scope.USAGE_READ):
        raise MissingScope(f"The credential lacks the scope {Scope.USAGE_READ}.")
    caller = principal.api_key_id or principal.user_id
    assert caller is not None, "a principal is a key or a person"
    return Admission(plain.organization, principal, caller)


def _by_session(request: HttpRequest) -> Admission:
    engine = import_module(settings.SESSION_ENGINE)
    request.session = engine.SessionStore(request.COOKIES.get(settings.SESSION_COOKIE_NAME))
    request.user = get_user(request)
    # The middleware that ends sessions is for pages; and a stream of a tab left open is no sign that somebody is there.
    if not request.user.is_authenticated or sessions.is_over(request.session, now=timezone.now()):
        raise _unauthenticated("Sign in, or send an API key as a Bearer credential.")
    membership = access.current_membership(request)
    if membership is None or not roles.allows(membership.role, Scope.USAGE_READ):
        raise Forbidden("Your role does not include the usage of an organization.")
    return Admission(membership.organization, None, request.user.pk)


def _unauthenticated(detail: str) -> NotAuthenticated:
    return NotAuthenticated(detail, headers={"WWW-Authenticate": 'Bearer realm="SuperAgent API"'})
