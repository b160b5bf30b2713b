"""The audit trail: who did what to which thing, when and from where. PostgreSQL refuses to change a row of it."""

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

# The request that is being answered, set by accounts.middleware.AuditContext: domain functions need not pass it down.
_request: ContextVar[HttpRequest | None] = ContextVar("audit_request", default=None)

# Why staff do what they are doing, set by the admin: entries of the domain functions that they call tell it.
_reason: ContextVar[str] = ContextVar("audit_reason", default="")


@contextmanager
def because(reason: str) -> Iterator[None]:
    """Entries recorded inside carry `reason` in their detail, unless they have one of their own."""
    token = _reason.set(reason)
    try:
        yield
    finally:
        _reason.reset(token)


def set_request(request: HttpRequest | None) -> None:
    """Entries that are recorded from here on come from `request`; None ends that."""
    _request.set(request)


def current_request() -> HttpRequest | None:
    """The request that is being answered; None in jobs and commands."""
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

    Without `actor` it is whoever makes the request, or the system. `label` is what people call the target, where that
    is not its `str()`. `detail` is JSON without secrets.
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
    """The caller's address, behind as many trusted proxies as ALLAUTH_TRUSTED_PROXY_COUNT says.

    As allauth finds it, but for each line of the access log too, so without parsing all headers.
    """
    if request is None:
        return None
    proxies: int = settings.ALLAUTH_TRUSTED_PROXY_COUNT
    hops = request.META.get("HTTP_X_FORWARDED_FOR", "").split(",") if proxies else []
    forwarded = hops[-proxies] if 0 < proxies <= len(hops) else ""  # fewer hops: the caller went around them
    return _cleaned(forwarded or request.META.get("REMOTE_ADDR", ""))


@functools.lru_cache(maxsize=4096)
def _cleaned(address: str) -> str | None:
    """Without port and brackets; None for what is no address."""
    return clean_client_ip(address) if address else None


def caller_of(request: HttpRequest) -> str:
    """Who asks, as `api_key:…` or `user:…`, as far as it is known without a query; empty for a stranger."""
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
