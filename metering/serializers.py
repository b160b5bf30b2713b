from datetime import datetime
from typing import Any

from rest_framework import serializers

from metering.models import Meter, RequestRecord
from metering.usage.events import MAX_QUANTITY, MAX_TEXT
from superagent.foundation.serializers import PartialResponse

# --- events


class EventRequest(serializers.Serializer):
    """The form of an event, for the schema; `metering.usage.events` reads it."""

    event_id = serializers.CharField(
        max_length=MAX_TEXT, help_text="Your own id: sent again, it counts once."
    )
    meter = serializers.SlugField(help_text="The meter's slug, see usage/meters.")
    quantity = serializers.IntegerField(min_value=0, max_value=MAX_QUANTITY, required=False, default=1)
    occurred_at = serializers.DateTimeField(
        required=False, help_text="At most 35 days old and 5 minutes ahead; without it, now."
    )
    source = serializers.CharField(max_length=MAX_TEXT, required=False, default="api")
    properties = serializers.DictField(required=False, help_text="Anything you want to keep with it.")


class RejectionResponse(serializers.Serializer):
    index = serializers.IntegerField(help_text="Place in the batch, from 0.")
    code = serializers.CharField()
    detail = serializers.CharField()
    pointer = serializers.CharField(help_text="The field, as a JSON pointer.")


class OutcomeResponse(serializers.Serializer):
    accepted = serializers.IntegerField()
    duplicates = serializers.IntegerField()
    rejected = RejectionResponse(many=True)


class VoidResponse(serializers.Serializer):
    event_id = serializers.CharField()
    source = serializers.CharField()
    meter = serializers.CharField()
    quantity = serializers.IntegerField()
    voided_at = serializers.DateTimeField()


# --- usage

BUCKETS = [("hour", "hour"), ("day", "day")]


def in_our_time(moment: datetime) -> None:
    """Refuses times with which calendars cannot reckon."""
    if not 2000 <= moment.year < 2200:
        raise serializers.ValidationError("Choose a time from 2000 to 2199.", code="out_of_range")


class RangeQuery(serializers.Serializer):
    start = serializers.DateTimeField(required=False, default=None, validators=[in_our_time])
    end = serializers.DateTimeField(required=False, default=None, validators=[in_our_time])


class SeriesQuery(RangeQuery):
    interval = serializers.ChoiceField(choices=BUCKETS, required=False, default="day")
    by = serializers.ChoiceField(choices=["meter", "endpoint"], required=False, default="meter")


class EndpointResponse(serializers.Serializer):
    endpoint = serializers.CharField()
    method = serializers.CharField()
    calls = serializers.IntegerField()
    failed_calls = serializers.IntegerField(source="failed")
    p50_ms = serializers.FloatField(allow_null=True)
    p95_ms = serializers.FloatField(allow_null=True)


class MeterQuantityResponse(serializers.Serializer):
    meter = serializers.CharField()
    quantity = serializers.IntegerField(help_text="As the meter's aggregation makes it of the events.")


class StatisticsResponse(PartialResponse):
    start = serializers.DateTimeField()
    end = serializers.DateTimeField()
    total_calls = serializers.IntegerField()
    successful_calls = serializers.IntegerField()
    failed_calls = serializers.IntegerField()
    success_rate = serializers.FloatField(allow_null=True, help_text="0 to 1; null without calls.")
    p50_ms = serializers.FloatField(allow_null=True)
    p95_ms = serializers.FloatField(allow_null=True)
    by_endpoint = EndpointResponse(many=True)
    meters = MeterQuantityResponse(many=True)


class PointResponse(serializers.Serializer):
    start = serializers.DateTimeField()
    key = serializers.CharField(help_text="The meter's slug, or method and endpoint.")
    quantity = serializers.IntegerField()


class SeriesResponse(PartialResponse):
    start = serializers.DateTimeField()
    end = serializers.DateTimeField()
    interval = serializers.CharField()
    by = serializers.CharField()
    data = PointResponse(many=True)


class RequestRecordResponse(PartialResponse, serializers.ModelSerializer[RequestRecord]):
    duration_ms = serializers.FloatField()
    organization_id = serializers.UUIDField()
    user_id = serializers.UUIDField(allow_null=True)
    api_key_id = serializers.UUIDField(allow_null=True)

    class Meta:
        model = RequestRecord
        fields = [
            "id", "request_id", "organization_id", "user_id", "api_key_id", "method", "endpoint", "path", "status",
            "duration_ms", "request_bytes", "response_bytes", "is_counted", "started_at",
        ]  # fmt: skip


class MeterResponse(PartialResponse, serializers.ModelSerializer[Meter]):
    meter = serializers.CharField(source="slug")

    class Meta:
        model = Meter
        fields = ["meter", "name", "unit", "aggregation", "event_name", "value_property"]


class MetersResponse(serializers.Serializer):
    data = MeterResponse(many=True)


# --- quotas


class QuotaResponse(PartialResponse):
    meter = serializers.CharField(source="meter.slug")
    unit = serializers.CharField(source="meter.unit")
    limit = serializers.IntegerField(allow_null=True, help_text="null: unlimited.")
    used = serializers.IntegerField()
    remaining = serializers.IntegerField(allow_null=True)
    hard = serializers.BooleanField(
        source="is_hard", help_text="Refuses beyond the limit; else overage is billed."
    )
    resets_at = serializers.DateTimeField()


class QuotasResponse(serializers.Serializer):
    data = QuotaResponse(many=True)


class QuotaCheckRequest(serializers.Serializer):
    meter = serializers.CharField(max_length=50)
    quantity = serializers.IntegerField(min_value=0, max_value=MAX_QUANTITY)


class QuotaCheckResponse(serializers.Serializer):
    allowed = serializers.BooleanField()
    remaining = serializers.IntegerField(allow_null=True)
    code = serializers.CharField(allow_blank=True, help_text="Empty, or quota_exceeded.")


def outcome(accepted: int, duplicates: int, rejected: list[Any]) -> dict[str, Any]:
    """OutcomeResponse, without a serializer's cost for each of a thousand events."""
    return {
        "accepted": accepted,
        "duplicates": duplicates,
        "rejected": [
            {"index": each.index, "code": each.code, "detail": each.detail, "pointer": each.pointer}
            for each in rejected
        ],
    }
