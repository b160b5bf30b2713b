"""Reading Stripe's JSON."""

from datetime import UTC, datetime
from typing import Any, overload

Json = dict[str, Any]


@overload
def moment(timestamp: int) -> datetime: ...
@overload
def moment(timestamp: None) -> None: ...
def moment(timestamp: int | None) -> datetime | None:
    """Stripe's seconds since 1970 as aware UTC."""
    return None if timestamp is None else datetime.fromtimestamp(timestamp, UTC)


def identifier(reference: str | Json | None) -> str:
    """The id of a reference, expanded or not; '' for none."""
    if reference is None:
        return ""
    return reference if isinstance(reference, str) else str(reference["id"])
