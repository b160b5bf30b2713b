"""Taking an event back: a fact of its own, once; the event stays."""

from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Greatest

from accounts.models import Organization
from accounts.principals import Principal
from metering import counters, live, rollups
from metering.models import REQUESTS, EventVoid, FormerTerms, Quota, UsageEvent
from superagent.foundation.json_bodies import is_storable
from superagent.foundation.problems import NotFound


@dataclass(frozen=True, slots=True)
class Voided:
    event: UsageEvent
    voided_at: datetime
    is_new: bool


def void(
    *, organization: Organization, source: str, event_id: str, principal: Principal | None, now: datetime
) -> Voided:
    """Take an event back from quota, rollup and, if its period was rated, by an adjustment of the next one.

    A second time answers what the first one did. Raises NotFound.
    """
    if not (is_storable(event_id) and is_storable(source)):
        raise NotFound("No event has such an id and source.")
    with transaction.atomic():
        event = (
            UsageEvent.objects.visible_to(organization)
            .select_related("meter")
            .filter(source=source, event_id=event_id)
            .first()
        )
        if event is None:
            raise NotFound(f"There is no event {event_id} of the source {source}.")
        quota = Quota.objects.select_for_update(no_key=True).get(period=event.period_id, meter=event.meter_id)
        earlier = EventVoid.objects.filter(
            event=event
        ).first()  # after the lock: voids of a quota come one by one
        if earlier is not None:
            return Voided(event, earlier.voided_at, is_new=False)
        EventVoid.objects.create(
            organization=organization,
            event=event,
            voided_at=now,
            api_key_id=principal.api_key_id if principal else None,
            user_id=principal.user_id if principal else None,
        )
        if quota.is_closed:
            quota.late_quantity -= event.quantity
        else:
            quota.used -= event.quantity
            # Under terms that a change of plan has replaced: what comes from now on must not take its place there.
            replaced = FormerTerms.objects.filter(quota=quota, replaced_at__gt=event.received_at)
            replaced.update(used_until=Greatest(F("used_until") - event.quantity, 0))
        quota.save(update_fields=["used", "late_quantity"])
        hour = rollups.hour_of(event.occurred_at)
        rollups.add_usage({(organization.pk, event.meter_id, hour): (-event.quantity, -1)})
        if event.meter.slug == REQUESTS and not quota.is_closed:
            transaction.on_commit(
                lambda: counters.adjust(
                    organization_id=organization.pk, period_id=event.period_id, difference=-event.quantity
                )
            )
        live.touch(organization.pk)
    return Voided(event, now, is_new=True)
