"""quotas: how much is left, and whether something would fit."""

from drf_spectacular.utils import extend_schema
from rest_framework.response import Response

from accounts.authentication import ApiRequest
from accounts.roles import Scope
from metering import serializers
from metering.quotas import quota_status
from superagent.foundation import clock
from superagent.foundation.views import ApiView, parsed_body


@extend_schema(tags=["quotas"])
class Quotas(ApiView):
    required_scope = Scope.QUOTAS_READ

    @extend_schema(
        operation_id="quotas_list",
        summary="List quotas",
        description="Every allowance of the usage period, and what is left of it.",
        responses=serializers.QuotasResponse,
    )
    def get(self, request: ApiRequest) -> Response:
        organization = request.organization
        overview = quota_status.overview(organization, clock.now(organization))
        answer = serializers.QuotaResponse(overview.quotas, many=True, context={"request": request})
        return Response({"data": answer.data})


@extend_schema(tags=["quotas"])
class QuotaCheck(ApiView):
    required_scope = Scope.QUOTAS_READ

    @extend_schema(
        operation_id="quotas_check",
        summary="Check a quota",
        description="Returns whether a quantity would be accepted now. Uses nothing.",
        request=serializers.QuotaCheckRequest,
        responses=serializers.QuotaCheckResponse,
    )
    def post(self, request: ApiRequest) -> Response:
        body = parsed_body(request, serializers.QuotaCheckRequest)
        organization = request.organization
        answer = quota_status.check(
            organization=organization,
            meter_slug=body["meter"],
            quantity=body["quantity"],
            now=clock.now(organization),
        )
        return Response(serializers.QuotaCheckResponse(answer).data)
