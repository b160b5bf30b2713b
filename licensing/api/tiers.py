"""Another tier of a license, by its owner's program: the preview of its price, and the change."""

from datetime import datetime
from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.roles import Scope
from billing.api.requests import now_of, organization_of, parsed, user_of
from billing.selling.idempotency import OK, call_once
from billing.serializers import PreviewResponse
from licensing import overview, serializers, tiers
from licensing.models import License
from superagent.foundation.problems import NotFound
from superagent.foundation.views import ApiView


@extend_schema(tags=["licenses"])
class PreviewTier(ApiView):
    required_scope = Scope.BILLING_READ

    @extend_schema(
        operation_id="licenses_tier_preview",
        summary="Preview another tier",
        description="What the tier would cost now and at the next renewal. Changes nothing.",
        request=serializers.TierChoiceRequest,
        responses=PreviewResponse,
    )
    def post(self, request: Request, license_id: UUID) -> Response:
        license_ = _one(request, license_id)
        body = parsed(request, serializers.TierChoiceRequest)
        price = tiers.price_of(license_=license_, product=body["product"], interval=body["interval"])
        shown = tiers.preview(license_=license_, price=price, now=now_of(request))
        return Response(PreviewResponse(shown).data)


@extend_schema(tags=["licenses"])
class ChangeTier(ApiView):
    required_scope = Scope.BILLING_WRITE

    @extend_schema(
        operation_id="licenses_tier_change",
        summary="Change the tier of a license",
        description=(
            "A larger tier is in force at once and charged now; a smaller one, or a shorter interval, when "
            "the paid period ends. The key stays the same, and so does what is in use. Send `effective_at` of a "
            "preview for its very amounts, and `max_amount_due` to be refused a higher one. What is coming is taken "
            "back by subscriptions/{id}/resume."
        ),
        request=serializers.ChangeTierRequest,
        responses=PreviewResponse,
    )
    def post(self, request: Request, license_id: UUID) -> Response:
        license_ = _one(request, license_id)
        body = parsed(request, serializers.ChangeTierRequest)
        price = tiers.price_of(license_=license_, product=body["product"], interval=body["interval"])

        def call(asked_at: datetime) -> tuple[int, Any]:
            done = tiers.change(
                license_=license_,
                price=price,
                user=user_of(request),
                previewed_at=body["effective_at"] or asked_at,
                max_amount_due=body["max_amount_due"],
                now=now_of(request),
            )
            return OK, PreviewResponse(done).data

        return call_once(request, f"POST licenses/{license_id}/tier", call)


def _one(request: Request, license_id: UUID) -> License:
    found: License | None = overview.licenses_of(organization_of(request)).filter(pk=license_id).first()
    if found is None:
        raise NotFound("This organization has no such license.")
    return found
