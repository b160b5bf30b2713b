"""API keys on metered views: the key's record and the request's unit by one round trip to Redis."""

from functools import lru_cache
from typing import Any
from uuid import UUID

from django.db.models.base import ModelState
from django.utils import timezone
from rest_framework.request import Request

from accounts import api_keys, authentication, key_records
from accounts.models import Organization
from accounts.principals import Principal
from metering import counters, exchange, scripts
from metering.exchange import LOST
from metering.metered import is_metered

MAX_KNOWN = 20_000
USUAL_START = "Bearer sa_"
"""Other spellings take the longer way."""

_known: dict[bytes, tuple[UUID, bytes]] = {}
"""SHA-256 of a key → its organization and the packed commands of its request. Which organization a key belongs to
never changes; whether the key is still good is read each time."""


class ApiKeyAuthentication(authentication.ApiKeyAuthentication):
    def authenticate(self, request: Request) -> tuple[None, Principal] | None:
        header = request._request.META.get("HTTP_AUTHORIZATION", "")
        if not header.startswith(USUAL_START) or not is_metered(request.parser_context["view"]):
            return super().authenticate(request)
        credential = header.removeprefix("Bearer ").rstrip()
        key_hash = api_keys.digest(credential)
        known = _known.get(key_hash)
        if known is None:
            answer = super().authenticate(request)
            _remember(key_hash, answer)
            return answer
        if not counters.is_trusted(known[0]):
            return super().authenticate(request)
        return self._authenticate_at_once(request, *known)

    def _authenticate_at_once(
        self, request: Request, organization_id: UUID, packed: bytes
    ) -> tuple[None, Principal] | None:
        try:
            stored, charged = exchange.send(packed, 2, (scripts.CHARGE,))
        except LOST as error:
            counters.note_loss(error)
            return super().authenticate(request)
        request._request.charge = counters.verdict(organization_id, charged)  # type: ignore[attr-defined]  # ours
        if stored is None:
            return super().authenticate(request)
        record = _parse(stored)
        if record is None or (record.expires_at is not None and record.expires_at <= timezone.now()):
            return super().authenticate(request)  # which says what is wrong with it
        principal = record.principal
        key_records.note_use(principal.api_key_id)  # type: ignore[arg-type]  # it is a key
        authentication.enter(request, _organization_of(principal), principal)
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
    charge = counters.pack_charge(principal.organization_id, str(principal.api_key_id))
    packed = exchange.pack("GET", key_records.name_of(key_hash)) + charge
    _known[key_hash] = principal.organization_id, packed
