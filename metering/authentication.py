"""API keys on metered views: the key's record and the request's unit by one round trip to Redis."""

from functools import lru_cache
from typing import Any

from django.db.models.base import ModelState
from django.utils import timezone
from rest_framework.request import Request

from accounts import api_keys, key_records
from accounts.authentication import ApiKeyAuthentication, bind_tenant
from accounts.models import Organization
from accounts.principals import Principal
from metering.admission import callers, counters
from metering.admission.redis_wire import LOST
from metering.middleware import is_counted

MAX_KNOWN = 20_000
USUAL_START = "Bearer sa_"
"""Other spellings take the longer way."""

_known: dict[bytes, callers.Caller] = {}
"""By the SHA-256 of a key. Which organization a key belongs to never changes; whether it is still good is read again
and again."""


class MeteredKeyAuthentication(ApiKeyAuthentication):
    """Reads the record that `api_keys.resolve` reads, and leaves every refusal to it."""

    def authenticate(self, request: Request) -> tuple[None, Principal] | None:
        header = request._request.META.get("HTTP_AUTHORIZATION", "")
        if not header.startswith(USUAL_START):
            return super().authenticate(request)
        credential = header.removeprefix("Bearer ").rstrip()
        key_hash = api_keys.digest(credential)
        caller = _known.get(key_hash)
        if caller is None:
            answer = super().authenticate(request)
            _remember(key_hash, answer)
            return answer
        if counters.is_lost():
            return super().authenticate(request)
        return self._authenticate_at_once(request, caller)

    def _authenticate_at_once(
        self, request: Request, caller: callers.Caller
    ) -> tuple[None, Principal] | None:
        http_request: Any = request._request
        try:
            if is_counted(http_request):
                stored, http_request.charge = caller.obtain()  # None: the throttle takes it
            else:
                stored, http_request.pace = caller.obtain_uncounted()
        except LOST as error:
            counters.note_loss(error)
            return super().authenticate(request)
        if stored is None:
            return super().authenticate(request)
        record = _parse(stored)
        if record is None or (record.expires_at is not None and record.expires_at <= timezone.now()):
            return super().authenticate(request)  # which says what is wrong with it
        principal = record.principal
        key_records.note_use(principal.api_key_id)
        bind_tenant(request, _organization_of(principal), principal)
        return None, principal


_parse = lru_cache(maxsize=8192)(key_records.parse)
_template_of = lru_cache(maxsize=8192)(Principal.make_organization)


def _organization_of(principal: Principal) -> Organization:
    """A copy of its own for each request: Django's way of making one takes as long as the round trip to Redis."""
    template = _template_of(principal)
    organization = Organization.__new__(Organization)
    organization.__dict__.update(template.__dict__)
    organization._state = ModelState()
    organization._state.adding, organization._state.db = False, template._state.db
    return organization


def _remember(key_hash: bytes, answer: Any) -> None:
    principal: Principal = answer[1]
    if len(_known) >= MAX_KNOWN:
        _known.clear()
    assert principal.api_key_id is not None  # it is a key
    _known[key_hash] = callers.Caller(
        key_hash=key_hash, organization_id=principal.organization_id, api_key_id=principal.api_key_id
    )
