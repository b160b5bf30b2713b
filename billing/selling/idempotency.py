"""Keyed requests that call Stripe: the answer is stored after the call.

`foundation.idempotency.once` keeps effect and answer in one transaction; a call to Stripe cannot be in one. Here the
key is recorded first; a repetition that finds no answer yet calls again, with the moment of the first time, so that
Stripe is asked for the same and answers what it did.
"""

import json
from collections.abc import Callable
from datetime import datetime
from http import HTTPStatus
from typing import Any

from django.db import transaction
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from superagent.foundation import idempotency
from superagent.foundation.models import IdempotencyRecord

Call = Callable[[datetime], tuple[int, Any]]


def call_once(request: Request, endpoint: str, call: Call) -> Response:
    """Answer `call(first_asked_at)`, or what it answered to this Idempotency-Key before. Raises idempotency.KeyReused.

    `call` answers (HTTP status, JSON); a refusal that it raises is not stored, so that it can be tried again.
    """
    key = idempotency.requested_key(request)
    if key is None:
        status, answer = call(timezone.now())
        return Response(answer, status)
    record = _record(request, endpoint, key)
    if record.status is not None:
        return Response(record.answer, record.status, headers=idempotency.replay_headers(is_replayed=True))
    status, answer = call(record.created_at)
    record.status, record.answer = status, json.loads(json.dumps(answer, default=str))
    record.save(update_fields=["status", "answer"])
    return Response(record.answer, status)


def _record(request: Request, endpoint: str, key: str) -> IdempotencyRecord:
    with transaction.atomic():
        record, _is_new = idempotency.claim(
            organization_id=request.organization.pk,  # type: ignore[attr-defined]  # set by our authentication
            caller=idempotency.caller_of(request),
            endpoint=endpoint,
            key=key,
            body=request.data,
        )
    return record


CREATED = int(HTTPStatus.CREATED)
OK = int(HTTPStatus.OK)
