"""The audit trail: who did what to which object, when and from where. PostgreSQL refuses changes to its rows."""

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any
from uuid import UUID

from allauth.core.internal.httpkit import clean_client_ip
from django.conf import settings
from django.db import models
from django.http import HttpRequest

from accounts.models import ApiKey, AuditEntry, Organization, User
from accounts.principals import Principal
from superagent.foundation import tenancy

Actor = User | ApiKey | Principal

# The current request, set by accounts.middleware.AuditContext, so that domain functions need not pass it down.
_request: ContextVar[HttpRequest | None] = ContextVar("audit_request", default=None)

# The reason that staff gave, set by the admin and recorded with the entries of the domain functions it calls.
_reason: ContextVar[str] = ContextVar("audit_reason", default="")


@contextmanager
def because(reason: str) -> Iterator[None]:
    """Add `reason` to the detail of entries recorded inside, unless they have their own."""
    token = _reason.set(reason)
    try:
        yield
    finally:
        _reason.reset(token)


class AttributedTo:
    """Context: entries recorded inside are attributed to `request`. Not a generator, since every request enters it."""

    __slots__ = ("_asked",)

    def __init__(self, request: HttpRequest) -> None:
        self._asked = request

    def __enter__(self) -> None:
        _request.set(self._asked)

    def __exit__(self, *_: object) -> None:
        _request.set(None)


def current_request() -> HttpRequest | None:
    """Returns the current request; None in jobs and commands."""
    return _request.get()


def record(
    *,
    action: str,
    organization: Organization | None = None,
    actor: Actor | None = None,
    target: models.Model | None = None,
    label: str = "",
    detail: dict[str, Any] | None = None,
    request: HttpRequest | None = None,
) -> AuditEntry:
    """Write an entry in the caller's transaction. `action` is `thing.what_happened`, like `api_key.created`.

    Without `actor`, it is who makes the request, or the system. `label` names the target if its `str()` does not.
    `detail` is JSON without secrets.
    """
    request = request or _request.get()
    actor = actor or _actor_of(request)
    entry = AuditEntry(
        organization=organization,
        actor_id=_user_id(actor),
        actor_label=_label(actor)[:254],
        action=action,
        target_type=(target._meta.model_name or "") if target else "",
        target_id=str(target.pk) if target else "",
        target_label=(label or (str(target) if target else ""))[:254],
        detail=({"reason": reason} if (reason := _reason.get()) else {}) | (detail or {}),
        ip_address=client_address(request),
        request_id=getattr(request, "request_id", ""),
    )
    with tenancy.system("an entry is written for any organization, or for none"):
        entry.save(force_insert=True)
    return entry


def client_address(request: HttpRequest | None) -> str | None:
    """Returns the client's IP address behind ALLAUTH_TRUSTED_PROXY_COUNT trusted proxies.

    The same as allauth's, without parsing all headers: the access log calls it for every request.
    """
    if request is None:
        return None
    proxies: int = settings.ALLAUTH_TRUSTED_PROXY_COUNT
    hops = request.META.get("HTTP_X_FORWARDED_FOR", "").split(",") if proxies else []
    forwarded = (
        hops[-proxies] if 0 < proxies <= len(hops) else ""
    )  # fewer hops: the client bypassed the proxies
    return _cleaned(forwarded or request.META.get("REMOTE_ADDR", ""))


@functools.lru_cache(maxsize=4096)
def _cleaned(address: str) -> str | None:
    """Returns the address without port and brackets; None if it is not one."""
    return clean_client_ip(address) if address else None


def caller_of(request: HttpRequest) -> str:
    """Returns `api_key:…` or `user:…` if it is known without a query, else an empty text."""
    if principal := getattr(request, "principal", None):
        return principal.caller
    user = getattr(request, "_cached_user", None)  # django.contrib.auth's, once a page has looked
    return f"user:{user.pk}" if user is not None and user.is_authenticated else ""


def _actor_of(request: HttpRequest | None) -> Actor | None:
    if request is None:
        return None
    if principal := getattr(request, "principal", None):
        return principal
    user = getattr(request, "user", None)
    return user if isinstance(user, User) or getattr(user, "is_authenticated", False) else None


def _user_id(actor: Actor | None) -> UUID | None:
    if isinstance(actor, Principal):
        return actor.user_id
    if actor is None or isinstance(actor, ApiKey):
        return None
    return actor.pk


def _label(actor: Actor | None) -> str:
    if actor is None:
        return "System"
    if isinstance(actor, Principal):
        return actor.label
    return str(actor)
