"""Parsing usage events: our own format and CloudEvents 1.0, into one shape, each validated by itself.

CloudEvents: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast

from metering.aggregations import MAX_VALUE, Aggregation
from metering.models import Meter, Quota
from superagent.foundation.json_bodies import is_storable
from superagent.foundation.problems import Refusal, pointer_to

DEFAULT_SOURCE = "api"
MAX_TEXT = 200
MAX_BATCH = 1000
MAX_QUANTITY = 10**12
MAX_PROPERTIES_BYTES = 8 * 1024

FIELDS = frozenset({"event_id", "meter", "quantity", "occurred_at", "source", "properties"})


@dataclass(frozen=True, slots=True)
class EventIn:
    """One event to record. `occurred_at` None: when it is received. `meter` is a slug."""

    event_id: str
    meter: str
    quantity: int = 1
    occurred_at: datetime | None = None
    source: str = DEFAULT_SOURCE
    properties: dict[str, Any] = field(default_factory=dict)

    def body_hash(self) -> bytes:
        """SHA-256 of what the sender said, so that a retry is told from another event with the same id."""
        occurred_at = self.occurred_at.astimezone(UTC).isoformat() if self.occurred_at else None
        body = [self.meter, self.quantity, occurred_at, self.properties]
        return hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).digest()


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why the event at `index` of the batch was rejected; `pointer` names the field (RFC 6901), `quota` the exceeded
    quota."""

    index: int
    code: str
    detail: str
    pointer: str = ""
    quota: Quota | None = None


class EventConflict(Refusal):
    status = 409
    code = "conflict"
    title = "Another event has this source and id"


class InvalidEvent(Exception):
    """An event that cannot be read."""

    def __init__(self, code: str, pointer: str, detail: str) -> None:
        super().__init__(detail)
        self.code, self.pointer, self.detail = code, pointer, detail

    def rejection(self, index: int) -> Rejection:
        return Rejection(index, self.code, self.detail, self.pointer)


def read(item: object) -> EventIn:
    """Parse an event in our own format. Raises InvalidEvent."""
    if not isinstance(item, Mapping):
        raise InvalidEvent("invalid_event", "", "Send an object with event_id, meter and quantity.")
    if not item.keys() <= FIELDS:
        name = min(map(str, item.keys() - FIELDS))[:MAX_TEXT]
        detail = f"There is no field {name!r}. Choose from {', '.join(sorted(FIELDS))}."
        raise InvalidEvent("unknown_field", pointer_to(name), detail)
    return EventIn(
        event_id=_text(item, "event_id", "invalid_event_id"),
        meter=_text(item, "meter", "invalid_meter"),
        quantity=_quantity(item.get("quantity", 1), "/quantity"),
        occurred_at=_moment(item.get("occurred_at"), "/occurred_at"),
        source=_text(item, "source", "invalid_source", DEFAULT_SOURCE),
        properties=_properties(item.get("properties"), "/properties"),
    )


def read_cloud_event(item: object, meters: Mapping[str, Meter]) -> EventIn:
    """Parse a CloudEvent; `meters` are the meters by event name. Raises InvalidEvent."""
    if not isinstance(item, Mapping):
        raise InvalidEvent(
            "invalid_event", "", "Send a CloudEvent: an object with specversion, id, source and type."
        )
    if item.get("specversion") != "1.0":
        raise InvalidEvent("invalid_specversion", "/specversion", 'Send "1.0".')
    event_id, source = _text(item, "id", "invalid_event_id"), _text(item, "source", "invalid_source")
    kind = _text(item, "type", "invalid_meter")
    meter = meters.get(kind)
    if meter is None:
        raise InvalidEvent("unknown_meter", "/type", f"No meter counts events of the type {kind}.")
    data = item.get("data")
    if data is not None and not isinstance(data, Mapping):
        raise InvalidEvent("invalid_properties", "/data", "Send an object.")
    quantity: object = 1
    if meter.value_property and Aggregation(meter.aggregation).has_quantity:
        if not data or meter.value_property not in data:
            raise InvalidEvent(
                "invalid_quantity", f"/data/{meter.value_property}", f"Send the number of {meter.unit} here."
            )
        quantity = data[meter.value_property]
    event = EventIn(
        event_id=event_id,
        meter=meter.slug,
        quantity=_quantity(quantity, f"/data/{meter.value_property}"),
        occurred_at=_moment(item.get("time"), "/time"),
        source=source,
        properties=_properties(data, "/data"),
    )
    check_for(event, meter, "data")
    return event


def check_for(event: EventIn, meter: Meter, properties: str = "properties") -> None:
    """Check that `event` has what the aggregation of its `meter` needs; `properties` is the sender's name for them.

    Raises InvalidEvent.
    """
    if event.quantity != 1 and not Aggregation(meter.aggregation).has_quantity:
        detail = f"{meter.name} counts events by themselves: leave the quantity out, or send 1."
        raise InvalidEvent("invalid_quantity", "/quantity", detail)
    if meter.aggregation == Aggregation.UNIQUE:
        value = event.properties.get(meter.value_property)
        is_number = isinstance(value, int) and not isinstance(value, bool)
        if not is_number and not (isinstance(value, str) and 1 <= len(value) <= MAX_VALUE):
            detail = f"{meter.name} counts its distinct values: send a whole number or 1 to {MAX_VALUE} characters."
            raise InvalidEvent("invalid_value", pointer_to(properties, meter.value_property), detail)


def _text(item: Mapping[str, Any], name: str, code: str, default: str | None = None) -> str:
    value = item.get(name, default)
    if value is None:
        raise InvalidEvent("required", f"/{name}", f"{name} is missing.")
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_TEXT or not is_storable(value):
        raise InvalidEvent(code, f"/{name}", f"Send {name} as a text of 1 to {MAX_TEXT} characters.")
    return value


def _quantity(value: object, pointer: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_QUANTITY:
        raise InvalidEvent("invalid_quantity", pointer, f"Send a whole number from 0 to {MAX_QUANTITY}.")
    return value


def _moment(value: object, pointer: str) -> datetime | None:
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(cast(str, value))  # a TypeError is caught
        if moment.tzinfo is None:
            raise ValueError("no offset")
        return moment.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        detail = "Send an RFC 3339 time with its offset, like 2026-01-31T09:30:00Z."
        raise InvalidEvent("invalid_occurred_at", pointer, detail) from None


def _properties(value: object, pointer: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise InvalidEvent("invalid_properties", pointer, "Send an object.")
    try:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False)
        is_fine = len(text.encode()) <= MAX_PROPERTIES_BYTES and "\\u0000" not in text
    except (ValueError, RecursionError):
        is_fine = False
    if not is_fine:
        detail = f"Send at most {MAX_PROPERTIES_BYTES} bytes of JSON without NUL characters."
        raise InvalidEvent("invalid_properties", pointer, detail)
    return dict(value)
