"""The monthly partitions of RequestRecord: made ahead, dropped when they are older than what is kept.

The table is partitioned on its id, a UUIDv7 whose first bits are the time (docs/decisions). The application may not
change tables: two functions of the database, which run as the owner, do it.
"""

from datetime import UTC, date, datetime
from uuid import UUID

from django.db import connection

from metering import months

MONTHS_AHEAD = 3


def make_next(*, now: datetime) -> int:
    """Make this month's partition and the next ones; answers how many were new. Runs in the system scope."""
    made = 0
    with connection.cursor() as cursor:
        for ahead in range(MONTHS_AHEAD + 1):
            cursor.execute("SELECT metering_make_request_partition(%s)", [_first(now, ahead)])
            made += cursor.fetchone()[0]
    return made


def drop_old(*, now: datetime, kept_months: int) -> int:
    """Drop the partitions of months before the last `kept_months`; answers how many. Runs in the system scope."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT metering_drop_request_partitions(%s)", [_first(now, -kept_months)])
        dropped: int = cursor.fetchone()[0]
    return dropped


def lowest_id(moment: datetime) -> UUID:
    """The smallest id that a request of `moment` (real time) can have: a filter by time on the key."""
    return UUID(int=int(moment.timestamp() * 1000) << 80)


def _first(now: datetime, months_later: int) -> date:
    return months.add(now.astimezone(UTC).replace(day=1), months_later).date()
