"""Keyed requests: the same key, body and caller replays the answer; with another body or from another caller it is 409.

The record is stored in the transaction of its effect, so a crash half-way leaves neither. Two requests with one key at
once: the second waits for the first's commit on the unique constraint, then replays. Kept 30 days.
"""

import functools
import hashlib
import json
from collections.abc import Callable
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from superagent.foundation import sealing, tenancy
from superagent.foundation.json_bodies import is_storable
from superagent.foundation.models import IdempotencyRecord
from superagent.foundation.problems import Invalid, Refusal

HEADER = "Idempotency-Key"
REPLAYED = "Idempotent-Replayed"
KEPT_FOR = timedelta(days=30)
SEALED_FOR = timedelta(days=1)
MAX_KEY_LENGTH = 255


class KeyReused(Refusal):
    status = HTTPStatus.CONFLICT
    code = "idempotency_key_reused"
    title = "This idempotency key was used with another body"


def body_hash(body: Any) -> bytes:
    """SHA-256 of the canonical JSON of `body`."""
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(canonical.encode()).digest()


def caller_of(request: Request) -> str:
    """Who asks, the same in every request of one API key or one person."""
    principal = getattr(request, "principal", None)  # set by our authentication
    return principal.caller if principal is not None else f"user:{request.user.pk}"


def claim(
    *, organization_id: UUID, caller: str, endpoint: str, key: str, body: Any
) -> tuple[IdempotencyRecord, bool]:
    """The record of `key`, and whether this call made it. Runs in a transaction. Raises KeyReused.

    An answer is told to none but its caller. Another member or key that comes with the same key is refused, not
    served anew: it may be the same program after its API key was rotated, and what it asks for has been done.
    """
    record = IdempotencyRecord(
        organization_id=organization_id,
        caller=caller,
        endpoint=endpoint,
        key=key,
        body_hash=body_hash(body),
    )
    IdempotencyRecord.objects.bulk_create([record], ignore_conflicts=True)
    stored = IdempotencyRecord.objects.get(organization_id=organization_id, endpoint=endpoint, key=key)
    if stored.caller != caller:
        raise KeyReused("Another member or API key of the organization has used this key: choose a new one.")
    if bytes(stored.body_hash) != record.body_hash:
        raise KeyReused("Send the body of the first request, or choose a new key.")
    return stored, stored.pk == record.pk


def once(
    *,
    organization_id: UUID,
    caller: str,
    endpoint: str,
    key: str,
    body: Any,
    effect: Callable[[], tuple[int, Any]],
    sealed_member: str | None = None,
) -> tuple[int, Any, bool]:
    """Run `effect` at most once for `key`; answers (HTTP status, JSON answer, replayed).

    `effect` must only write rows: what it writes and the record commit together. `sealed_member` names a text of the
    answer that is kept encrypted, and for a day: a lost answer can be asked for until then, a later replay has null
    there. Raises KeyReused.
    """
    with transaction.atomic():
        stored, is_new = claim(
            organization_id=organization_id, caller=caller, endpoint=endpoint, key=key, body=body
        )
        if not is_new:
            return stored.status or HTTPStatus.OK, _replayed(stored, sealed_member), True
        status, answer = effect()
        stored.status, stored.answer = status, answer
        if sealed_member is not None:
            stored.answer, stored.sealed = answer | {sealed_member: None}, sealing.seal(answer[sealed_member])
        stored.save(update_fields=["status", "answer", "sealed"])
        return status, answer, False


def _replayed(stored: IdempotencyRecord, sealed_member: str | None) -> Any:
    is_fresh = timezone.now() - stored.created_at < SEALED_FOR
    if sealed_member is None or stored.answer is None or stored.sealed is None or not is_fresh:
        return stored.answer
    return stored.answer | {sealed_member: sealing.unseal(bytes(stored.sealed))}


def requested_key(request: Request) -> str | None:
    """The key of a request: the body's `idempotency_key` wins; another one in the header is 400."""
    in_header = request.headers.get(HEADER)
    in_body = request.data.get("idempotency_key") if isinstance(request.data, dict) else None
    if in_body is not None and not isinstance(in_body, str):
        raise _invalid("Send the key as a string.")
    if in_body and in_header and in_body != in_header:
        raise _invalid(f"It differs from the {HEADER} header: send one of them.")
    key = in_body or in_header
    if key is not None and not (1 <= len(key) <= MAX_KEY_LENGTH and is_storable(key)):
        raise _invalid(f"Send 1 to {MAX_KEY_LENGTH} characters, none of them NUL.")
    return key


def idempotent(method: Callable[..., Response]) -> Callable[..., Response]:
    """Decorate a DRF view method that only writes rows: honours the request's key, if it has one."""

    @functools.wraps(method)
    def wrapped(view: Any, request: Request, *args: Any, **kwargs: Any) -> Response:
        key = requested_key(request)
        if key is None:
            return method(view, request, *args, **kwargs)
        organization_id = request.organization.pk  # type: ignore[attr-defined]  # set by our authentication
        return _answered_once(method, view, request, args, kwargs, organization_id, key)

    wrapped.is_idempotent = True  # type: ignore[attr-defined]  # for the schema
    return wrapped


def idempotent_for_person(method: Callable[..., Response]) -> Callable[..., Response]:
    """The same for what belongs to the person who asks, whichever organization they act for, or none."""

    @functools.wraps(method)
    def wrapped(view: Any, request: Request, *args: Any, **kwargs: Any) -> Response:
        key = requested_key(request)
        if key is None:
            return method(view, request, *args, **kwargs)
        with tenancy.system("a person's own request may come before they have an organization"):
            return _answered_once(method, view, request, args, kwargs, request.user.pk, key)  # type: ignore[arg-type]  # UUIDs

    wrapped.is_idempotent = True  # type: ignore[attr-defined]  # for the schema
    return wrapped


def _answered_once(
    method: Callable[..., Response],
    view: Any,
    request: Request,
    args: Any,
    kwargs: Any,
    organization_id: UUID,
    key: str,
) -> Response:
    def effect() -> tuple[int, Any]:
        response = method(view, request, *args, **kwargs)
        return response.status_code, json.loads(view.get_renderers()[0].render(response.data))

    status, answer, replayed = once(
        organization_id=organization_id,
        caller=caller_of(request),
        endpoint=f"{request.method} {request.path}",
        key=key,
        body=request.data,
        effect=effect,
    )
    return Response(answer, status, headers=replay_headers(is_replayed=replayed))


def replay_headers(*, is_replayed: bool) -> dict[str, str]:
    return {REPLAYED: "true"} if is_replayed else {}


def forget_old(*, now: datetime) -> int:
    """Delete records older than 30 days, and sealed secrets older than one; returns the number of deleted records."""
    IdempotencyRecord.objects.filter(created_at__lt=now - SEALED_FOR, sealed__isnull=False).update(
        sealed=None
    )
    return IdempotencyRecord.objects.filter(created_at__lt=now - KEPT_FOR).delete()[0]


def _invalid(detail: str) -> Invalid:
    return Invalid.field("/idempotency_key", "invalid", detail)
