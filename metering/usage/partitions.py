"""The monthly partitions of RequestRecord: made ahead, dropped when they are older than what is kept.

The table is partitioned on its id, a UUIDv7 whose first bits are the time (docs/decisions). The application may not
change tables: two functions of the database, which run as the owner, do it.
"""

from datetime import UTC, date, datetime, time
from uuid import UUID

import structlog
from django.db import OperationalError, connection
from psycopg.errors import LockNotAvailable

from metering.quotas import months

MONTHS_AHEAD = 3

log = structlog.get_logger(__name__)


class Busy(Exception):
    """Somebody reads the table of requests, and is not to be waited for: try again later."""


def make_next(*, now: datetime) -> int:
    """Make this month's partition and the next ones. Returns the number of new ones. Runs in the system scope.

    Raises Busy.
    """
    return sum(
        _call("metering_make_request_partition", _first(now, ahead)) for ahead in range(MONTHS_AHEAD + 1)
    )


def drop_old(*, now: datetime, kept_months: int) -> int:
    """Drop the partitions of months before the last `kept_months`. Returns their number. Runs in the system scope.

    Raises Busy.
    """
    return _call("metering_drop_request_partitions", _first(now, -kept_months))


def kept_since(*, now: datetime, kept_months: int) -> datetime:
    """Requests that began at this moment or later are still there."""
    return datetime.combine(_first(now, -kept_months), time(), UTC)


def _call(function: str, month: date) -> int:
    """The database gives up after a moment (`lock_timeout` of the function), and with it whoever waits behind it."""
    try:
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT {function}(%s)", [month])  # our own names
            return int(cursor.fetchone()[0])
    except OperationalError as error:
        if not isinstance(error.__cause__, LockNotAvailable):
            raise
        log.warning("partitions_busy", function=function, month=month.isoformat())
        raise Busy from error


def lowest_id(moment: datetime) -> UUID:
    """The smallest id that a request of `moment` (real time) can have: a filter by time on the key."""
    return UUID(int=int(moment.timestamp() * 1000) << 80)


def _first(now: datetime, months_later: int) -> date:
    return months.add(now.astimezone(UTC).replace(day=1), months_later).date()
