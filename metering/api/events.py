"""usage/events: report what was used, take an event back."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from django.conf import settings
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.response import Response

from accounts.authentication import ApiRequest
from accounts.roles import Scope
from metering import serializers
from metering.models import Meter
from metering.quotas import quota_status
from metering.usage import events, ingest, voids
from metering.usage.events import EventIn, InvalidEvent, Rejection
from superagent.foundation import clock
from superagent.foundation.idempotency import idempotent
from superagent.foundation.json_bodies import JsonEvents
from superagent.foundation.problems import FieldError, Invalid, Refusal
from superagent.foundation.views import ApiView


class CloudEventParser(JsonEvents):
    media_type = "application/cloudevents+json"


class CloudEventBatchParser(JsonEvents):
    media_type = "application/cloudevents-batch+json"


@extend_schema(tags=["usage"])
class Events(ApiView):
    required_scope = Scope.USAGE_WRITE
    max_body_bytes = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    parser_classes = [JsonEvents, CloudEventParser, CloudEventBatchParser]

    @extend_schema(
        operation_id="usage_events_create",
        summary="Report usage",
        description=(
            "One event, or up to 1,000; our own form or CloudEvents 1.0, as `application/json` or with the "
            "media types of CloudEvents. The response comes after the commit. An event with the same `source` and "
            "`event_id` counts once. In a batch, valid events are recorded and the others are listed in `rejected`; "
            "a single rejected event is an error."
        ),
        request=serializers.EventRequest,  # and more: metering.schema
        responses=serializers.OutcomeResponse,
    )
    @idempotent
    def post(self, request: ApiRequest) -> Response:
        is_single = not isinstance(request.data, list)
        items: list[Any] = [request.data] if is_single else list(request.data)
        if not items or len(items) > events.MAX_BATCH:
            raise Invalid.field("", "invalid_length", f"Send 1 to {events.MAX_BATCH:,} events.")
        readable, rejected = _read(items, _reader(request))
        organization = request.organization
        now = clock.now(organization)
        outcome = ingest.record(
            organization=organization,
            events=[event for _, event in readable],
            principal=request.principal,
            now=now,
        )
        for each in outcome.rejected:
            rejected.append(replace(each, index=readable[each.index][0]))
        if is_single and rejected:
            raise _refusal(rejected[0], readable[0][1].quantity if readable else 0, now)
        rejected.sort(key=lambda each: each.index)
        return Response(serializers.outcome(outcome.accepted, outcome.duplicates, rejected))


@extend_schema(tags=["usage"])
class VoidEvent(ApiView):
    required_scope = Scope.USAGE_WRITE

    @extend_schema(
        operation_id="usage_events_void",
        summary="Void a usage event",
        description=(
            "The event is no longer counted or billed. Permanent. Only events that your organization reported itself, "
            "for 35 days and while their usage period is open."
        ),
        parameters=[OpenApiParameter("source", str, default=events.DEFAULT_SOURCE)],
        request=None,
        responses=serializers.VoidResponse,
    )
    def post(self, request: ApiRequest, event_id: str) -> Response:
        organization = request.organization
        voided = voids.void(
            organization=organization,
            source=request.query_params.get("source", events.DEFAULT_SOURCE),
            event_id=event_id,
            principal=request.principal,
            now=clock.now(organization),
        )
        return Response(
            {
                "event_id": voided.event.event_id,
                "source": voided.event.source,
                "meter": voided.event.meter.slug,
                "quantity": voided.event.quantity,
                "voided_at": quota_status.timestamp(voided.voided_at),
            }
        )


def _refusal(rejection: Rejection, quantity: int, now: datetime) -> Refusal:
    """Returns the error of a single rejected event; it has the outcome of a batch, too."""
    if rejection.quota is not None:
        return quota_status.shortage(quota=rejection.quota, requested=quantity, now=now)
    outcome = serializers.outcome(0, 0, [rejection])
    error = FieldError(rejection.pointer, rejection.code, rejection.detail)
    if rejection.code == events.EventConflict.code:
        return events.EventConflict(error.detail, errors=[error], **outcome)
    return Invalid.fields([error], **outcome)


def _reader(request: ApiRequest) -> Callable[[Any], EventIn]:
    """Returns the parser of an item: by the media type of the body, or by the item's `specversion`."""
    by_event_name: Mapping[str, Meter] | None = None
    is_cloud = "cloudevents" in (request.content_type or "")

    def read(item: Any) -> EventIn:
        nonlocal by_event_name
        if not is_cloud and not (isinstance(item, Mapping) and "specversion" in item):
            return events.read(item)
        if by_event_name is None:
            by_event_name = {meter.event_name: meter for meter in Meter.objects.filter(is_active=True)}
        return events.read_cloud_event(item, by_event_name)

    return read


def _read(
    items: list[Any], read: Callable[[Any], EventIn]
) -> tuple[list[tuple[int, EventIn]], list[Rejection]]:
    """Returns the valid events with their indexes, and the rejections of the others."""
    readable, rejected = [], []
    for index, item in enumerate(items):
        try:
            readable.append((index, read(item)))
        except InvalidEvent as error:
            rejected.append(error.rejection(index))
    return readable, rejected
