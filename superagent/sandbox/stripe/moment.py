"""The current time: real time, or the frozen time of the customer's test clock; and arithmetic on billing periods."""

import calendar
import time
from datetime import UTC, datetime
from typing import Any

from superagent.sandbox.store import store

DAY = 86_400
HOUR = 3_600


def real() -> int:
    """Returns the real time in whole seconds."""
    return int(time.time())


def of_clock(clock_id: str | None) -> int:
    """Returns the time of a test clock, which moves on by steps while it advances; without one, real time."""
    clock = store.get(clock_id)
    return clock["_now"] if clock else real()


def clock_of(customer_id: str | None) -> str | None:
    """Returns the id of the test clock that a customer is attached to."""
    customer = store.get(customer_id)
    return customer.get("test_clock") if customer else None


def now(customer_id: str | None = None) -> int:
    """Returns the time for a customer's objects."""
    customer = store.get(customer_id)
    if not customer:
        return real()
    return of_clock(customer.get("test_clock")) - customer.get("_seconds_back", 0)


def set_back(customer_id: str, seconds: int) -> None:
    """Date everything done for a customer from now on `seconds` ago: sample data with a past. 0 ends it."""
    with store.transaction():
        store.edit(customer_id)["_seconds_back"] = seconds


def add(anchor: int, interval: str, count: int) -> int:
    """Move a moment by whole intervals; a month without the anchor's day ends on its last day."""
    if interval in ("day", "week"):
        return anchor + count * DAY * (7 if interval == "week" else 1)
    start = datetime.fromtimestamp(anchor, UTC)
    months = start.year * 12 + start.month - 1 + count * (12 if interval == "year" else 1)
    year, month = divmod(months, 12)
    day = min(start.day, calendar.monthrange(year, month + 1)[1])
    return int(start.replace(year=year, month=month + 1, day=day).timestamp())


def following(anchor: int, recurring: dict[str, Any], moment: int) -> int:
    """Returns the first boundary of the cycle (anchor plus whole intervals) that lies after `moment`."""
    interval, count = recurring["interval"], recurring["interval_count"]
    days = {"day": 1, "week": 7, "month": 30, "year": 365}[interval] * count
    step = (moment - anchor) // (days * DAY)
    while add(anchor, interval, step * count) <= moment:
        step += 1
    while add(anchor, interval, (step - 1) * count) > moment:
        step -= 1
    return add(anchor, interval, step * count)


def date(moment: int) -> str:
    """Returns a date as Stripe writes it on lines, such as `20 Nov 2026`."""
    day = datetime.fromtimestamp(moment, UTC)
    return f"{day.day} {day:%b} {day.year}"
