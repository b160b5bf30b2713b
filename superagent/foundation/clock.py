"""What time it is for an organization.

Metering, billing, licensing and their jobs use `now(organization)`; signatures, JWTs, sessions, logs and the outbox
use real time. Views, tasks and commands read the clock and pass `now` down, so that domain functions are pure in time.
"""

from datetime import datetime
from typing import Protocol

from django.utils import timezone


class Rehearsable(Protocol):
    """What the clock needs of an organization."""

    rehearsal_now: datetime | None


def now(organization: Rehearsable | None = None) -> datetime:
    """Aware UTC: the frozen time of the organization's test clock while it rehearses, else the real time."""
    if organization is not None and organization.rehearsal_now is not None:
        return organization.rehearsal_now
    return timezone.now()
