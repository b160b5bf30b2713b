"""Live counters of the open period, and a cheap way to see that they have changed."""

from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction

from accounts.models import Organization
from metering.admission import counters, redis_wire
from metering.admission.redis_wire import LOST
from metering.quotas import quota_status
from superagent.foundation.identifiers import uuid7

CHANGES_KEPT_SECONDS = 86_400


def changes_key(organization_id: UUID) -> str:
    return f"{{{organization_id}}}:changes"


def touch(organization_id: UUID) -> None:
    """After the transaction, tell the streams of the organization that events were counted."""
    transaction.on_commit(lambda: _touch(organization_id))


def _touch(organization_id: UUID) -> None:
    try:
        redis_wire.send(
            redis_wire.pack("SET", changes_key(organization_id), uuid7().hex, "EX", CHANGES_KEPT_SECONDS), 1
        )
    except LOST as error:
        counters.note_loss(error)


def version(organization_id: UUID) -> str | None:
    """Differs when anything was counted since; None while Redis is lost: then only asking PostgreSQL tells."""
    try:
        change, counter = redis_wire.send(
            redis_wire.pack("GET", changes_key(organization_id))
            + redis_wire.pack("HMGET", counters.counter_key(organization_id), "period", "used", "facts"),
            2,
        )
    except LOST as error:
        counters.note_loss(error)
        return None
    return b"|".join(part or b"" for part in (change, *counter)).decode()


def snapshot(organization: Organization, now: datetime) -> dict[str, Any]:
    """What the stream sends: {period_start, period_end, meters: [{meter, unit, used, limit, remaining, hard}]}."""
    overview = quota_status.overview(organization, now)
    return {
        "period_start": quota_status.timestamp(overview.period.start),
        "period_end": quota_status.timestamp(overview.period.end),
        "meters": [
            {
                "meter": each.meter.slug,
                "unit": each.meter.unit,
                "used": each.used,
                "limit": each.limit,
                "remaining": each.remaining,
                "hard": each.is_hard,
            }
            for each in overview.quotas
        ],
    }
