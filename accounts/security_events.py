"""Failed logins, wrong codes, rate limits reached and access denied: who, from where, how often.

`note` counts in Redis, so that a flood of failures costs one short call and no row each; a job writes the counts into
PostgreSQL every minute, one row for the repeats of an hour. Both are bounded: beyond the bound only the number of each
kind is kept, events about known users first. Without Redis, the log and the metric remain.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime, timedelta
from typing import Any, cast
from uuid import UUID

import structlog
from django.db import connection, transaction
from django.utils.crypto import salted_hmac
from prometheus_client import Counter

from accounts import audit, browsers
from accounts.models import SecurityEvent, User
from superagent.foundation import redis_client
from superagent.foundation.identifiers import uuid7
from superagent.foundation.networks import networks_of

Kind = SecurityEvent.Kind

KEPT_FOR = timedelta(days=90)
MOST_PER_MINUTE = 2_000  # different ones, of all web processes
MOST_PER_HOUR = 5_000  # rows

COUNTER = Counter(
    "superagent_security_events",
    "Failed logins, wrong codes, limits that were reached, rights that were refused",
    ["kind", "limit"],
)
COUNTED, TAKEN = "security-events:counted", "security-events:taken"
_LOCK = 7_203_114_905_882_001  # advisory lock of the job: two at once would write twice

# KEYS: what is counted. ARGV: the event, what is left of it beyond the bound, the bound.
_COUNT = """
local field = ARGV[1]
if redis.call('HEXISTS', KEYS[1], field) == 0 and redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[3]) then
    field = ARGV[2]
end
return redis.call('HINCRBY', KEYS[1], field, 1)
"""
# What a run that died has left comes first.
_TAKE = """
if redis.call('EXISTS', KEYS[2]) == 0 and redis.call('EXISTS', KEYS[1]) == 1 then
    redis.call('RENAME', KEYS[1], KEYS[2])
end
return redis.call('HGETALL', KEYS[2])
"""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Event:
    kind: str
    user: str = ""
    address_digest: str = ""
    caller: str = ""
    network: str = ""
    browser: str = ""
    detail: str = ""

    @classmethod
    def read(cls, counted: bytes) -> "_Event":
        """Parse a counted event. Fields written by a newer release are ignored."""
        known = {each.name for each in fields(cls)}
        return cls(**{name: value for name, value in json.loads(counted).items() if name in known})

    def hour_key(self, hour: datetime) -> str:
        return hashlib.sha256(f"{hour:%Y%m%d%H}{json.dumps(asdict(self))}".encode()).hexdigest()


def note(
    *, kind: Kind, user: User | None = None, typed_address: str = "", detail: str = "", limit: str = ""
) -> None:
    """Count a refusal in the current request, about `user` or else about who makes the request.

    `typed_address` is stored as a digest, and only without a user. `limit` names the rate limit that was reached.
    """
    request = audit.current_request()
    asks = audit.caller_of(request) if request else ""
    person = str(user.pk) if user else asks.removeprefix("user:") if asks.startswith("user:") else ""
    event = _Event(
        kind=kind.value,
        user=person,
        address_digest=digest(typed_address) if typed_address and not person else "",
        caller=asks if asks.startswith("api_key:") else "",
        network=networks_of(audit.client_address(request)).narrow,
        browser=browsers.name_of(request.META.get("HTTP_USER_AGENT", "")) if request else "",
        detail=(detail or limit)[:120],
    )
    COUNTER.labels(kind.value, limit).inc()
    log.info("security_event", **{name: value for name, value in asdict(event).items() if value})
    try:
        redis_client.connection().eval(
            _COUNT,
            1,
            COUNTED,
            json.dumps(asdict(event)),
            json.dumps(asdict(_Event(kind.value))),
            MOST_PER_MINUTE,
        )
    except redis_client.LOST as error:
        log.warning("security_event_not_kept", error=str(error))


def digest(address: str) -> str:
    """Returns a keyed hash of an address, so that it can be compared but not read."""
    return salted_hmac("accounts.security_events", address.strip().lower()).hexdigest()[:32]


def store(*, now: datetime) -> int:
    """Write what was counted since the last run. Returns the number of rows. Call it in the system scope.

    A run that dies between its commit and the last line is repeated, so a count may be too high, never too low.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [_LOCK])
        if not cursor.fetchone()[0]:
            return 0
        counted = _taken()
        rows = _within_bounds(counted, now)
        for event, count in rows.items():
            cursor.execute(_UPSERT, _parameters(event, count, now))
    redis_client.connection().delete(TAKEN)
    return len(rows)


def forget_old(*, now: datetime) -> int:
    """Delete events older than the retention period. Returns the number of rows."""
    return SecurityEvent.objects.filter(last_at__lt=now - KEPT_FOR).delete()[0]


_UPSERT = """
INSERT INTO accounts_securityevent AS stored
    (id, kind, user_id, address_digest, caller, network, browser, detail, count, first_at, last_at, hour_key)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (hour_key) DO UPDATE
    SET count = stored.count + excluded.count, last_at = greatest(stored.last_at, excluded.last_at)
"""


def _taken() -> dict[_Event, int]:
    found = cast(list[bytes], redis_client.connection().eval(_TAKE, 2, COUNTED, TAKEN))
    taken: dict[_Event, int] = {}
    for field, count in zip(found[::2], found[1::2], strict=True):
        event = _Event.read(field)
        taken[event] = taken.get(event, 0) + int(count)
    return taken


def _within_bounds(counted: dict[_Event, int], now: datetime) -> dict[_Event, int]:
    """Clear users who no longer exist; beyond the bound of the hour, keep only the kind of an event."""
    people = _existing(UUID(event.user) for event in counted if event.user)
    hour = now.replace(minute=0, second=0, microsecond=0)
    left = MOST_PER_HOUR - SecurityEvent.objects.filter(last_at__gte=hour).count()
    rows: dict[_Event, int] = {}
    for event, count in sorted(counted.items(), key=lambda pair: (not pair[0].user, -pair[1])):
        kept = event
        if event.user and UUID(event.user) not in people:
            kept = replace(event, user="")
        if left <= 0:
            kept = _Event(event.kind)
        left -= kept not in rows
        rows[kept] = rows.get(kept, 0) + count
    return rows


def _existing(ids: Iterable[UUID]) -> set[UUID]:
    return set(User.objects.filter(pk__in=set(ids)).values_list("pk", flat=True))


def _parameters(event: _Event, count: int, now: datetime) -> list[Any]:
    return [
        uuid7(),
        event.kind,
        event.user or None,
        event.address_digest,
        event.caller,
        event.network,
        event.browser,
        event.detail,
        count,
        now,
        now,
        event.hour_key(now),
    ]
