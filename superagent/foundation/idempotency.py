"""Keyed requests: the same key and body replays the answer, the same key with another body is 409.

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
from rest_framework.request import Request
from rest_framework.response import Response

from superagent.foundation.json_bodies import is_storable
from superagent.foundation.models import IdempotencyRecord
from superagent.foundation.problems import FieldError, Invalid, Refusal

HEADER = "Idempotency-Key"
KEPT_FOR = timedelta(days=30)
MAX_KEY_LENGTH = 255


class KeyReused(Refusal):
    status = HTTPStatus.CONFLICT
    code = "idempotency_key_reused"
    title = "This idempotency key was used with another body"


def body_hash(body: Any) -> bytes:
    """SHA-256 of the canonical JSON of `body`."""
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(canonical.encode()).digest()


def once(
    *, organization_id: UUID, endpoint: str, key: str, body: Any, effect: Callable[[], tuple[int, Any]]
) -> tuple[int, Any, bool]:
    """Run `effect` at most once for `key`; answers (HTTP status, JSON answer, replayed).

    `effect` must only write rows: what it writes and the record commit together. Raises KeyReused.
    """
    fingerprint = body_hash(body)
    with transaction.atomic():
        record = IdempotencyRecord(
            organization_id=organization_id, endpoint=endpoint, key=key, body_hash=fingerprint
        )
        IdempotencyRecord.objects.bulk_create([record], ignore_conflicts=True)
        stored = IdempotencyRecord.objects.get(organization_id=organization_id, endpoint=endpoint, key=key)
        if bytes(stored.body_hash) != fingerprint:
            raise KeyReused("Send the body of the first request, or choose a new key.")
        if stored.pk != record.pk:
            return stored.status or HTTPStatus.OK, stored.answer, True
        stored.status, stored.answer = effect()
        stored.save(update_fields=["status", "answer"])
        return stored.status, stored.answer, False


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
    """Decorate a DRF view method that only writes rows: honours the request's key, if it has one.

    A person without an organization has nowhere to keep it.
    """

    @functools.wraps(method)
    def wrapped(view: Any, request: Request, *args: Any, **kwargs: Any) -> Response:
        key = requested_key(request)
        organization = getattr(request, "organization", None)  # set by our authentication
        if key is None or organization is None:
            return method(view, request, *args, **kwargs)

        def effect() -> tuple[int, Any]:
            response = method(view, request, *args, **kwargs)
            return response.status_code, json.loads(view.get_renderers()[0].render(response.data))

        route = request.resolver_match.route if request.resolver_match else request.path
        status, answer, replayed = once(
            organization_id=organization.pk,
            endpoint=f"{request.method} {route}"[:100],
            key=key,
            body=request.data,
            effect=effect,
        )
        return Response(answer, status, headers={"Idempotent-Replayed": "true"} if replayed else None)

    return wrapped


def forget_old(*, now: datetime) -> int:
    """Delete records older than 30 days; answers how many."""
    return IdempotencyRecord.objects.filter(created_at__lt=now - KEPT_FOR).delete()[0]


def _invalid(detail: str) -> Invalid:
    return Invalid(f"idempotency_key: {detail}", errors=[FieldError("/idempotency_key", "invalid", detail)])
