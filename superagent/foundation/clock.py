"""The current time of an organization.

Metering, billing, licensing and their jobs use `now(organization)`; signatures, JWTs, sessions, logs and the outbox use
real time. Views, tasks and commands read the clock and pass `now` down, so that domain functions do not depend on the
time of the call.
"""

from datetime import datetime
from typing import Protocol

from django.utils import timezone


class HasTestClock(Protocol):
    """The attribute of an organization that the clock reads."""

    test_clock_time: datetime | None


def now(organization: HasTestClock | None = None) -> datetime:
    """Returns aware UTC: the frozen time of the organization's test clock if it has one, else the real time."""
    if organization is not None and organization.test_clock_time is not None:
        return organization.test_clock_time
    return timezone.now()
