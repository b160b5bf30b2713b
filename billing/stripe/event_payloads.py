"""Parse the body of a delivery that Stripe signed, so that it can be stored whatever it contains.

A signed delivery is never refused: Stripe would resend it for days. A body that cannot be parsed is stored as a dead
letter for staff.
"""

import json
import math
from typing import Any

Json = dict[str, Any]

LATEST = 2**33  # a moment in the year 2242; Stripe's are seconds since 1970
LONGEST_ID, LONGEST_TYPE = 255, 100
KEPT_CHARACTERS = 20_000


class InvalidEvent(Exception):
    """The body was signed but is not an event that we can parse."""


def parse(payload: bytes) -> Json:
    """Returns the event; characters that PostgreSQL cannot store are replaced. Raises InvalidEvent."""
    try:
        event = _storable(json.loads(payload, parse_constant=str, parse_float=_finite))
    except (ValueError, RecursionError) as error:
        raise InvalidEvent(f"it cannot be read: {type(error).__name__}") from error
    if not isinstance(event, dict) or event.get("object") != "event":
        raise InvalidEvent("it is not an event")
    _check(event)
    return event


def excerpt(payload: bytes) -> str:
    """Returns the beginning of a body as text that can be stored."""
    return _text(payload.decode("utf-8", "replace"))[:KEPT_CHARACTERS]


def _check(event: Json) -> None:
    data = event.get("data")
    subject = data.get("object") if isinstance(data, dict) else None
    if not isinstance(subject, dict):
        raise InvalidEvent("data.object is not an object")
    if not _is_id(event.get("id")) or not _is_id(event.get("type"), LONGEST_TYPE):
        raise InvalidEvent("id or type is missing, too long or not a text")
    if not isinstance(event.get("livemode"), bool):
        raise InvalidEvent("livemode is not true or false")
    created = event.get("created")
    if not isinstance(created, int) or isinstance(created, bool) or not 0 <= created < LATEST:
        raise InvalidEvent("created is not a moment")
    if not isinstance(event.get("api_version"), str | None):
        raise InvalidEvent("api_version is not a text")
    if not _is_id(subject.get("id"), is_needed=subject.get("object") == "customer"):
        raise InvalidEvent("data.object.id is missing, too long or not a text")


def _is_id(value: Any, longest: int = LONGEST_ID, *, is_needed: bool = True) -> bool:
    if value is None:
        return not is_needed
    return isinstance(value, str) and 0 < len(value) <= longest and "\ufffd" not in value


def _storable(value: Any) -> Any:
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, dict):
        return {_text(key): _storable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_storable(item) for item in value]
    return value


def _text(value: str) -> str:
    """Replaces NUL and lone surrogates."""
    return value.replace("\0", "\ufffd").encode("utf-8", "surrogatepass").decode("utf-8", "replace")


def _finite(digits: str) -> float | str:
    number = float(digits)
    return number if math.isfinite(number) else digits
