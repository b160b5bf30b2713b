"""Changing the tier of a license by the API: preview and change."""

from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework.response import Response

from accounts.api.requests import user_of
from accounts.authentication import ApiRequest
from accounts.roles import Scope
from billing.serializers import PreviewResponse
from licensing import overview, serializers, tiers
from licensing.models import License
from superagent.foundation import clock
from superagent.foundation.idempotency import idempotent_call
from superagent.foundation.problems import NotFound
from superagent.foundation.views import ApiView, parsed_body


@extend_schema(tags=["licenses"])
class PreviewTier(ApiView):
    required_scope = Scope.BILLING_READ

    @extend_schema(
        operation_id="licenses_tier_preview",
        summary="Preview another tier",
        description="Returns what the tier would cost now and at the next renewal. Changes nothing.",
        request=serializers.TierChoiceRequest,
        responses=PreviewResponse,
    )
    def post(self, request: ApiRequest, license_id: UUID) -> Response:
        license_ = _one(request, license_id)
        body = parsed_body(request, serializers.TierChoiceRequest)
        price = tiers.price_of(license_=license_, product=body["product"], interval=body["interval"])
        shown = tiers.preview(license_=license_, price=price, now=clock.now(request.organization))
        return Response(PreviewResponse(shown).data)


@extend_schema(tags=["licenses"])
class ChangeTier(ApiView):
    required_scope = Scope.BILLING_WRITE

    @extend_schema(
        operation_id="licenses_tier_change",
        summary="Change the tier of a license",
        description=(
            "A larger tier takes effect and is charged immediately; a smaller one, or a shorter interval, takes effect "
            "when the paid period ends. License key and usage stay the same. Send the `effective_at` of a preview to "
            "get the same amounts, and `max_amount_due` to refuse a higher one. Cancel a scheduled change with "
            "`subscriptions/{id}/resume`."
        ),
        request=serializers.ChangeTierRequest,
        responses=PreviewResponse,
    )
    @idempotent_call
    def post(self, request: ApiRequest, license_id: UUID) -> Response:
        license_ = _one(request, license_id)
        body = parsed_body(request, serializers.ChangeTierRequest)
        price = tiers.price_of(license_=license_, product=body["product"], interval=body["interval"])
        done = tiers.change(
            license_=license_,
            price=price,
            user=user_of(request),
            previewed_at=body["effective_at"] or request.asked_at,
            max_amount_due=body["max_amount_due"],
            now=clock.now(request.organization),
        )
        return Response(PreviewResponse(done).data)


def _one(request: ApiRequest, license_id: UUID) -> License:
    found: License | None = overview.licenses_of(request.organization).filter(pk=license_id).first()
    if found is None:
        raise NotFound("This organization has no such license.")
    return found
