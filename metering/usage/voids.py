"""Taking an event back: a fact of its own, once; the event stays.

Customers take back what they reported themselves, while nothing of it is billed. What the house recorded, and what a
closed period has invoiced, only staff take back, in the admin.
"""

from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from accounts.models import Organization
from accounts.principals import Principal
from metering.admission import counters
from metering.models import REQUESTS, EventVoid, UsageEvent
from metering.quotas import live
from metering.rating import counting, levels
from metering.rating.counting import Use
from metering.usage import rollups
from metering.usage.ingest import OLDEST
from superagent.foundation.json_bodies import is_storable
from superagent.foundation.problems import NotFound, Refusal

ATTEMPTS = 3


class NotReportedByYou(Refusal):
    status = 403
    code = "not_reported_by_you"
    title = "The event was not reported by your organization"


class EventIsBilled(Refusal):
    status = 409
    code = "event_is_billed"
    title = "The usage period of the event is closed"


class EventTooOld(Refusal):
    status = 409
    code = "event_too_old"
    title = "The event was received too long ago"


@dataclass(frozen=True, slots=True)
class Voided:
    event: UsageEvent
    voided_at: datetime
    is_new: bool


def void(
    *, organization: Organization, source: str, event_id: str, principal: Principal | None, now: datetime
) -> Voided:
    """Take an event back from quota, rollup and, if its period was rated, by an adjustment of the next one.

    A second time returns what the first one did. Without a `principal` it is the house that takes it back. Raises
    NotFound and, for a principal, NotReportedByYou, EventIsBilled, EventTooOld.
    """
    if not (is_storable(event_id) and is_storable(source)):
        raise NotFound("No event has such an id and source.")
    for attempt in range(ATTEMPTS):
        try:
            with transaction.atomic():
                return _void(organization, source, event_id, principal, now)
        except counting.PeriodMoved:
            if attempt == ATTEMPTS - 1:
                raise
    raise AssertionError("unreachable")


def _void(
    organization: Organization, source: str, event_id: str, principal: Principal | None, now: datetime
) -> Voided:
    events = UsageEvent.objects.visible_to(organization).select_related("meter")
    event = events.filter(source=source, event_id=event_id).first()
    if event is None:
        raise NotFound(f"There is no event {event_id} of the source {source}.")
    if principal is not None and event.api_key_id is None and event.user_id is None:
        raise NotReportedByYou(f"The event {event_id} was recorded by us. Ask support if it is wrong.")
    key = (event.period_id, event.meter_id)
    quota = counting.lock([key])[key]
    use = Use(quota, event.occurred_at, -event.quantity)
    # After the lock: voids of a quota come one by one.
    earlier = EventVoid.objects.filter(event=event).first()
    if earlier is not None:
        return Voided(event, earlier.voided_at, is_new=False)
    counting.check_periods([use])
    if principal is not None:
        _check_time(event, quota.is_closed, now)
    EventVoid.objects.create(
        organization=organization,
        event=event,
        voided_at=now,
        api_key_id=principal.api_key_id if principal else None,
        user_id=principal.user_id if principal else None,
    )
    if event.meter.adds_up:
        counting.add([use])
        hour = rollups.hour_of(event.occurred_at)
        rollups.add_usage({(organization.pk, event.meter_id, hour): (-event.quantity, -1)})
    else:
        quota.meter = event.meter
        counting.add(levels.remove(levels.mark_of(event, quota)))
    if event.meter.slug == REQUESTS and not quota.is_closed:
        transaction.on_commit(
            lambda: counters.adjust(
                organization_id=organization.pk, period_id=event.period_id, difference=-event.quantity
            )
        )
    live.touch(organization.pk)
    return Voided(event, now, is_new=True)


def _check_time(event: UsageEvent, is_closed: bool, now: datetime) -> None:
    if is_closed:
        raise EventIsBilled(
            f"The usage period of the event {event.event_id} is closed, and what was used in it is billed. "
            "Ask support for a correction."
        )
    if event.received_at < now - OLDEST:
        raise EventTooOld(
            f"The event {event.event_id} was received more than {OLDEST.days} days ago. Ask support for a correction."
        )
