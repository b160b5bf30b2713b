"""usage/stats, usage/series, usage/requests, usage/meters: what was used."""

from datetime import datetime, timedelta
from typing import Any

from django.db.models import QuerySet
from django_filters.rest_framework import CharFilter, UUIDFilter
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.authentication import ApiRequest
from accounts.roles import Scope
from metering import serializers
from metering.analytics import statistics
from metering.models import Meter, RequestRecord
from metering.quotas import periods
from metering.usage.rollups import HOUR
from superagent.foundation import clock
from superagent.foundation.filters import BooleanFilter, FilterSet, IntegerFilter, MomentFilter
from superagent.foundation.problems import Invalid
from superagent.foundation.views import ApiView, ListView, RevalidatedView, parsed_query

LONGEST = timedelta(days=400)
LONGEST_BY_HOUR = timedelta(days=35)


@extend_schema(tags=["usage"])
class Statistics(ApiView):
    required_scope = Scope.USAGE_READ

    @extend_schema(
        operation_id="usage_stats",
        summary="Get call statistics",
        description=(
            "Calls, failures and durations between `start` and `end`, at most 400 days; without them, of the "
            "usage period until now."
        ),
        parameters=[serializers.RangeQuery],
        responses=serializers.StatisticsResponse,
    )
    def get(self, request: ApiRequest) -> Response:
        organization = request.organization
        start, end = _range(request, serializers.RangeQuery, LONGEST)[:2]
        found = statistics.requests(organization, start, end)
        body = {
            "start": start,
            "end": end,
            "total_calls": found.total,
            "successful_calls": found.successful,
            "failed_calls": found.failed,
            "success_rate": found.success_rate,
            "p50_ms": found.p50_ms,
            "p95_ms": found.p95_ms,
            "by_endpoint": found.by_endpoint,
            "meters": [
                {"meter": slug, "quantity": quantity}
                for slug, quantity in statistics.by_meter(organization, start, end)
            ],
        }
        return Response(serializers.StatisticsResponse(body, context={"request": request}).data)


@extend_schema(tags=["usage"])
class Series(ApiView):
    required_scope = Scope.USAGE_READ

    @extend_schema(
        operation_id="usage_series",
        summary="Get a usage series",
        description="Quantities by hour (at most 35 days) or day, by meter or endpoint.",
        parameters=[serializers.SeriesQuery],
        responses=serializers.SeriesResponse,
    )
    def get(self, request: ApiRequest) -> Response:
        organization = request.organization
        by_hour = request.query_params.get("interval") == "hour"
        start, end, query = _range(request, serializers.SeriesQuery, LONGEST_BY_HOUR if by_hour else LONGEST)
        points = statistics.series(
            organization, start, end, interval=HOUR if by_hour else 24 * HOUR, dimension=query["by"]
        )
        body = {"start": start, "end": end, "interval": query["interval"], "by": query["by"], "data": points}
        return Response(serializers.SeriesResponse(body, context={"request": request}).data)


class RequestFilter(FilterSet):
    """Filters of the request log, in the API and in the portal."""

    start = MomentFilter(field_name="started_at", lookup_expr="gte")
    end = MomentFilter(field_name="started_at", lookup_expr="lt")
    status = IntegerFilter(min_value=100, max_value=599)
    failed = BooleanFilter(method="filter_failed")
    method = CharFilter(lookup_expr="iexact")
    endpoint = CharFilter()
    api_key = UUIDFilter(field_name="api_key_id")
    user = UUIDFilter(field_name="user_id")
    request_id = CharFilter()

    class Meta:
        model = RequestRecord
        fields: list[str] = []

    def filter_failed(self, rows: QuerySet[RequestRecord], name: str, value: bool) -> QuerySet[RequestRecord]:
        first = statistics.FIRST_FAILURE
        return rows.filter(status__gte=first) if value else rows.filter(status__lt=first)


@extend_schema(tags=["usage"])
class Requests(ListView):
    request: ApiRequest
    required_scope = Scope.USAGE_READ
    serializer_class = serializers.RequestRecordResponse
    filterset_class = RequestFilter
    queryset = RequestRecord.objects.none()  # for the schema

    def get_queryset(self) -> QuerySet[RequestRecord]:
        return RequestRecord.objects.visible_to(self.request.organization)

    @extend_schema(
        operation_id="usage_requests_list",
        summary="List requests",
        description="The request log, newest first. A call is listed a few seconds after its answer.",
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)


@extend_schema(tags=["usage"])
class Meters(RevalidatedView):
    required_scope = Scope.USAGE_READ

    @extend_schema(
        operation_id="usage_meters_list",
        summary="List meters",
        description=(
            "What is counted, in which unit, and what is made of the events: `sum`, `count`, `max`, `latest` or "
            "`unique` (the number of distinct values of the property `value_property`)."
        ),
        responses=serializers.MetersResponse,
    )
    def get(self, request: ApiRequest) -> Response:
        meters = Meter.objects.filter(is_active=True).order_by("slug")
        answer = serializers.MeterResponse(meters, many=True, context={"request": request})
        return Response({"data": answer.data})


def _range(
    request: ApiRequest, serializer: type[serializers.RangeQuery], longest: timedelta
) -> tuple[datetime, datetime, dict[str, Any]]:
    """`start` and `end` of the query, by default the open usage period until now."""
    query = parsed_query(request, serializer)
    organization = request.organization
    now = clock.now(organization)
    end = query["end"] or now
    start = query["start"]
    if start is None:
        period_start = periods.ensure(organization=organization, now=now).start
        start = period_start if period_start < end else end - timedelta(days=30)
    if start > end:
        raise Invalid.field("/start", "invalid_range", "Choose a start before the end.")
    if end - start > longest:
        raise Invalid.field("/start", "invalid_range", f"Choose at most {longest.days} days.")
    return start, end, query
