"""Reading Stripe's JSON."""

import re
from datetime import UTC, datetime
from typing import Any, overload

Json = dict[str, Any]

_DATE = re.compile(r"\b(\d{1,2}) (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) (\d{4})\b")


@overload
def moment(timestamp: int) -> datetime: ...
@overload
def moment(timestamp: None) -> None: ...
def moment(timestamp: int | None) -> datetime | None:
    """Returns Stripe's Unix time as aware UTC."""
    return None if timestamp is None else datetime.fromtimestamp(timestamp, UTC)


def identifier(reference: str | Json | None) -> str:
    """Returns the id of a reference, expanded or not; '' for none."""
    if reference is None:
        return ""
    return reference if isinstance(reference, str) else str(reference["id"])


def description(line: Json) -> str:
    """Returns the text of an invoice line with dates in our format: "Nov 21, 2026" for "21 Nov 2026"."""
    return _DATE.sub(
        lambda found: f"{found[2]} {found[1].lstrip('0')}, {found[3]}", line.get("description") or ""
    )
