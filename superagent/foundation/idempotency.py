"""Keyed requests: the same key, body and caller replays the answer; with another body or from another caller it is 409.

`idempotent` is for what only writes rows: the record is stored in the transaction of its effect, so a crash half-way
leaves neither. Two requests with one key at once: the second waits for the first's commit on the unique constraint,
then replays. `idempotent_call` is for what calls outside. Records are kept for 30 days.
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
from rest_framework.exceptions import ValidationError
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
    """Returns the SHA-256 of the canonical JSON of `body`."""
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(canonical.encode()).digest()


def caller_of(request: Request) -> str:
    """Returns an id of the caller that is the same in every request of one API key or one person."""
    principal = getattr(request, "principal", None)  # set by our authentication
    return principal.caller if principal is not None else f"user:{request.user.pk}"


def claim(
    *, organization_id: UUID, caller: str, endpoint: str, key: str, body: Any
) -> tuple[IdempotencyRecord, bool]:
    """Returns the record of `key`, and whether this call created it. Runs in a transaction. Raises KeyReused.

    A response is replayed to its own caller only. The same key from another member or API key is refused, not executed:
    it may be the same program after its API key was rotated, and the request has been carried out already.
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
    """Run `effect` at most once for `key`. Returns the HTTP status, the JSON response, and whether it is a replay.

    `effect` must only write rows: they and the record commit together. `sealed_member` names a string of the response
    that is encrypted and kept for a day: until then a lost response can be requested again; later replays have null
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
    """Returns the key of a request: the body's `idempotency_key`, else the header. Raises Invalid if they differ."""
    in_header = request.headers.get(HEADER)
    in_body = request.data.get("idempotency_key") if isinstance(request.data, dict) else None
    if in_body is not None and not isinstance(in_body, str):
        raise Invalid.field("/idempotency_key", "invalid", "Send the key as a string.")
    if in_body and in_header and in_body != in_header:
        raise Invalid.field(
            "/idempotency_key", "invalid", f"It differs from the {HEADER} header: send one of them."
        )
    key = in_body or in_header
    if key is not None and not (1 <= len(key) <= MAX_KEY_LENGTH and is_storable(key)):
        raise Invalid.field(
            "/idempotency_key", "invalid", f"Send 1 to {MAX_KEY_LENGTH} characters, none of them NUL."
        )
    return key


def forget_old(*, now: datetime) -> int:
    """Delete records older than 30 days, and sealed secrets older than one. Returns the number of deleted records."""
    IdempotencyRecord.objects.filter(created_at__lt=now - SEALED_FOR, sealed__isnull=False).update(
        sealed=None
    )
    return IdempotencyRecord.objects.filter(created_at__lt=now - KEPT_FOR).delete()[0]


# --- Views

View = Callable[..., Response]


def idempotent(method: View) -> View:
    """Decorate a view method that only writes rows: honors the request's idempotency key, if it has one."""
    return _in_one_transaction(method, _organization_of, secret=None)


def idempotent_with_secret(name: str) -> Callable[[View], View]:
    """`idempotent` for a response whose member `name` is a secret: replayed for a day, then null."""
    return lambda method: _in_one_transaction(method, _organization_of, secret=name)


def idempotent_for_person(method: View) -> View:
    """`idempotent` for what belongs to a user, whichever organization the request is for, if any."""

    keyed = _in_one_transaction(method, _person_of, secret=None)

    @functools.wraps(keyed)
    def wrapped(*args: Any, **kwargs: Any) -> Response:
        with tenancy.system("a person's own request may come before they have an organization"):
            return keyed(*args, **kwargs)

    return wrapped


def idempotent_call(method: View) -> View:
    """Decorate a view method that calls an outside system, which cannot be part of a transaction.

    The key is stored before the call and the response after it. A repetition that finds no response calls again, with
    the time of the first request as `request.asked_at`, so that the outside system gets the same request and returns
    its first result. A refusal is not stored, so it can be retried. The key of an invalid body stays free, as it does
    when key and effect share a transaction.
    """

    @functools.wraps(method)
    def wrapped(view: Any, request: Any, *args: Any, **kwargs: Any) -> Response:
        key = requested_key(request)
        if key is None:
            request.asked_at = timezone.now()
            return method(view, request, *args, **kwargs)
        record = _stored_before_the_call(request, key)
        if record.status is not None:
            return _answer(record.answer, record.status, is_replayed=True)
        request.asked_at = record.created_at
        try:
            response = method(view, request, *args, **kwargs)
        except (Invalid, ValidationError):
            IdempotencyRecord.objects.filter(pk=record.pk, status=None).delete()
            raise
        answer = _as_json(view, response)
        IdempotencyRecord.objects.filter(pk=record.pk).update(status=response.status_code, answer=answer)
        return _answer(answer, response.status_code, is_replayed=False)

    return _marked(wrapped)


def _in_one_transaction(method: View, owner_of: Callable[[Request], UUID], *, secret: str | None) -> View:
    @functools.wraps(method)
    def wrapped(view: Any, request: Request, *args: Any, **kwargs: Any) -> Response:
        key = requested_key(request)
        if key is None:
            return method(view, request, *args, **kwargs)

        def effect() -> tuple[int, Any]:
            response = method(view, request, *args, **kwargs)
            return response.status_code, _as_json(view, response)

        status, answer, is_replayed = once(
            organization_id=owner_of(request),
            caller=caller_of(request),
            endpoint=_endpoint_of(request),
            key=key,
            body=request.data,
            effect=effect,
            sealed_member=secret,
        )
        return _answer(answer, status, is_replayed=is_replayed)

    return _marked(wrapped)


def _stored_before_the_call(request: Request, key: str) -> IdempotencyRecord:
    with transaction.atomic():
        record, _is_new = claim(
            organization_id=_organization_of(request),
            caller=caller_of(request),
            endpoint=_endpoint_of(request),
            key=key,
            body=request.data,
        )
    return record


def _organization_of(request: Request) -> UUID:
    """Returns the organization whose scope authentication opened."""
    organization_id = tenancy.current().organization_id
    assert organization_id is not None, "a keyed request needs an organization"
    return organization_id


def _person_of(request: Request) -> UUID:
    return UUID(str(request.user.pk))


def _endpoint_of(request: Request) -> str:
    return f"{request.method} {request.path}"


def _as_json(view: Any, response: Response) -> Any:
    return json.loads(view.get_renderers()[0].render(response.data))


def _answer(answer: Any, status: int, *, is_replayed: bool) -> Response:
    return Response(answer, status, headers={REPLAYED: "true"} if is_replayed else None)


def _marked(method: View) -> View:
    """Mark the method, so that the schema documents the key."""
    method.__dict__["is_idempotent"] = True
    return method
