"""Usage periods: months from an anchor, turned by the clock, corrected by Stripe, each closed and rated once.

A period's successor is opened as soon as somebody needs it; closing is a job. So between the end of a period and the
job two periods are open in our books, and what still arrives for the first one is counted there.
"""

from datetime import datetime, timedelta

import structlog
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Coalesce

from accounts.models import Organization
from metering import counters, months, rating
from metering.models import Allowance, Quota, UsagePeriod
from metering.signals import period_closed

LONGEST_MONTH = timedelta(days=31)

log = structlog.get_logger(__name__)


def current(*, organization: Organization, now: datetime) -> UsagePeriod | None:
    """The newest period, whether or not `now` is still in it; None before the first."""
    return UsagePeriod.objects.visible_to(organization).order_by("-start").first()


def ensure(*, organization: Organization, now: datetime) -> UsagePeriod:
    """The period that use at `now` counts in: the open one, made if it is missing, with all between.

    The first one starts a month that is counted from sign-up. Time never runs back in our books: with a `now` before
    the newest period (a rehearsal that ended), the newest is the answer.
    """
    newest = current(organization=organization, now=now)
    if newest is not None and now < newest.end:
        return newest
    with transaction.atomic():
        _lock(organization)
        newest = current(organization=organization, now=now)
        if newest is None:
            anchor = min(organization.created_at, now)
            start, end = months.around(anchor, now)
            newest = _open(organization, start=max(start, anchor), end=end, anchor=anchor)
        while newest.end <= now:
            _, end = months.around(newest.anchor, newest.end)
            newest = _open(organization, start=newest.end, end=end, anchor=newest.anchor)
    return newest


def correct(*, organization: Organization, start: datetime, end: datetime, now: datetime) -> UsagePeriod:
    """Follow the billing period `[start, end)` that Stripe tells; answers the open usage period. Idempotent.

    A longer one (a yearly plan) gives months from `start`. A start within the open period closes that one early and
    rates it. A start before the open period leaves its start and moves its end, so that no time is counted twice.
    """
    now = max(now, start)
    with transaction.atomic():
        _lock(organization)
        newest = ensure(organization=organization, now=now)
        start, end, anchor = _corrected(newest, start, end, now)
        if end <= newest.start:
            return newest  # an old message
        if newest.start < start:
            _shorten(newest, start)
            _close(newest, now)
            newest = _open(organization, start=start, end=end, anchor=anchor)
        elif (newest.end, newest.anchor) != (end, anchor):
            newest.end, newest.anchor = end, anchor
            newest.save(update_fields=["end", "anchor"])
            counters.refresh_on_commit(organization)
        return ensure(organization=organization, now=now)


def close_due(*, now: datetime) -> int:
    """Close every period that has ended by its organization's own clock, oldest first; answers how many.

    Runs in the system scope. One organization's failure does not stop the others; the next run tries it again.
    """
    due = (
        UsagePeriod.objects.filter(
            closed_at__isnull=True, end__lte=Coalesce(F("organization__rehearsal_now"), now)
        )
        .select_related("organization")
        .order_by("end", "id")
    )
    closed = 0
    failed: set[object] = set()
    for period in due:
        if period.organization_id in failed:
            continue  # its periods are closed in order
        try:
            closed += close(period=period, now=period.organization.rehearsal_now or now)
        except Exception:  # whatever a receiver raised: it is logged, and the period stays open
            failed.add(period.organization_id)
            log.exception(
                "period_not_closed", period=str(period.pk), organization=str(period.organization_id)
            )
    return closed


def close(*, period: UsagePeriod, now: datetime) -> bool:
    """Close and rate one period that has ended; False if it was closed already or has not ended."""
    with transaction.atomic():
        organization = _lock(period.organization)
        locked = UsagePeriod.objects.select_for_update(no_key=True).get(pk=period.pk)
        if locked.closed_at is not None or now < locked.end:
            return False
        ensure(organization=organization, now=now)
        _close(locked, now)
        return True


def _close(period: UsagePeriod, now: datetime) -> None:
    rating.lock(period)
    # Counting locks quotas before it reads this flag, so nothing is added to `used` after it was rated.
    Quota.objects.filter(period=period).update(is_closed=True)
    period.closed_at = now
    period.save(update_fields=["closed_at"])
    rating.write_lines(period=period, now=now)
    counters.refresh_on_commit(period.organization)
    period_closed.send(sender=UsagePeriod, period=period, now=now)


def _lock(organization: Organization) -> Organization:
    """The guard of an organization's periods and terms. NO KEY: rows that refer to it may still be written."""
    return Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)


def _open(organization: Organization, *, start: datetime, end: datetime, anchor: datetime) -> UsagePeriod:
    period = UsagePeriod.objects.create(organization=organization, start=start, end=end, anchor=anchor)
    Quota.objects.bulk_create(
        Quota(
            organization=organization,
            period=period,
            meter_id=allowance.meter_id,
            included=allowance.included,
            is_hard=allowance.is_hard,
            overage_rate=allowance.overage_rate,
            currency=allowance.currency,
        )
        for allowance in Allowance.objects.visible_to(organization)
    )
    counters.refresh_on_commit(organization)
    return period


def _shorten(period: UsagePeriod, end: datetime) -> None:
    period.end = end
    period.save(update_fields=["end"])


def _corrected(
    newest: UsagePeriod, start: datetime, end: datetime, now: datetime
) -> tuple[datetime, datetime, datetime]:
    """The month to be open at `now`, and its anchor, from the billing period that Stripe tells."""
    if months.around(newest.anchor, start) == (start, end):
        return start, end, newest.anchor
    if months.add(start, 1) == end:
        return start, end, start
    if end - start <= LONGEST_MONTH:
        return start, end, end  # a trial, or a month from the end of a longer one: the next start says more
    month_start, month_end = months.around(start, max(now, start))
    return month_start, min(month_end, end), start
