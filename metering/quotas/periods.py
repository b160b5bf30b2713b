"""Usage periods: months from an anchor of our own, turned by the clock, each closed and rated once.

A period's successor is opened as soon as somebody needs it; closing is a job. So between the end of a period and the
job two periods are open in our books, and what still arrives for the first one is counted there.
"""

from datetime import datetime

import structlog
from django.db import transaction
from django.db.models import F, QuerySet
from django.db.models.functions import Coalesce

from accounts.models import Organization
from metering.admission import counters
from metering.aggregations import ADDING_UP
from metering.models import Allowance, Quota, UsagePeriod
from metering.quotas import facts, months
from metering.rating import rating
from metering.signals import period_closed
from superagent.foundation.prepared import Given, Prepared

log = structlog.get_logger(__name__)


def current(*, organization: Organization, now: datetime) -> UsagePeriod | None:
    """The newest period, whether or not `now` is still in it; None before the first."""
    return _newest.first(organization=organization.pk)


_newest: Prepared[UsagePeriod] = Prepared(
    lambda: UsagePeriod.objects.filter(organization=Given("organization")).order_by("-start")[:1]
)


def ensure(*, organization: Organization, now: datetime) -> UsagePeriod:
    """The period that use at `now` counts in: the one of that moment, made if it is missing, with all between.

    The first one starts a month that is counted from sign-up. Time never runs back in our books: with a `now` in a
    period that is closed already (a deleted test clock), the newest is the answer.
    """
    newest = current(organization=organization, now=now)
    if newest is not None and now < newest.end:
        return newest if newest.start <= now else _open_at(organization, now) or newest
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


def containing(*, organization: Organization, moment: datetime, now: datetime) -> UsagePeriod:
    """The period in which use of `moment` counts, closed or open; what came before the first one counts in that.

    A client's clock may be ahead, so the next period may begin before its time. Books that are ahead of the clock (a
    deleted test clock) count everything in their newest period.
    """
    present = ensure(organization=organization, now=now)
    if moment >= present.end:
        return ensure(organization=organization, now=moment)
    if moment >= present.start or now < present.start:
        return present
    former = UsagePeriod.objects.visible_to(organization).filter(start__lt=present.start)
    return (
        former.filter(start__lte=moment).order_by("-start").first()
        or former.order_by("start").first()
        or present
    )


def begin(
    *, organization: Organization, start: datetime, until: datetime | None = None, paid_until: datetime | None = None,
    now: datetime,
) -> UsagePeriod:  # fmt: skip
    """Count months anew from `start`: the open period ends there, is closed and rated. Idempotent.

    `until` makes the first one a period of its own (a trial), from whose end months are counted. Of a plan that has
    ended `paid_until` tells how far it was paid: of the month that it cut short no more than that share is included.
    A `start` before the open period leaves that one's start and moves its end, so that no time is counted twice.
    """
    now = max(now, start)
    anchor = until or start
    with transaction.atomic():
        _lock(organization)
        newest = ensure(organization=organization, now=now)
        for early in opened_ahead(newest):  # its months may not be those any more
            facts.move(source=early, target=newest)
            early.delete()
        if newest.start < start:
            close_before(organization=organization, moment=newest.start, now=now)
            UsagePeriod.objects.select_for_update(no_key=True).get(
                pk=newest.pk
            )  # before quotas, as everyone does
            rating.lock(newest)
            if paid_until is not None and paid_until < newest.end:
                _include_only(newest, paid_until)
            newest.end = start
            newest.save(update_fields=["end"])
            ended, newest = (
                newest,
                _open(organization, start=start, end=until or months.add(start, 1), anchor=anchor),
            )
            facts.move(source=ended, target=newest, since=start)
            _close(ended, now)
        end = until if until is not None and until > newest.start else months.around(anchor, newest.start)[1]
        if (newest.end, newest.anchor) != (end, anchor):
            newest.end, newest.anchor = end, anchor
            newest.save(update_fields=["end", "anchor"])
            counters.refresh_on_commit(organization)
        if facts.is_used_since(newest, newest.end):
            successor = ensure(organization=organization, now=newest.end)
            facts.move(source=newest, target=successor, since=newest.end)
        return ensure(organization=organization, now=now)


def opened_ahead(present: UsagePeriod) -> QuerySet[UsagePeriod]:
    """Open periods after `present`: of use whose clock was ahead, or of a deleted test clock."""
    return UsagePeriod.objects.filter(
        organization_id=present.organization_id, start__gte=present.end, closed_at__isnull=True
    ).order_by("start")


def passed_since(present: UsagePeriod, moment: datetime) -> QuerySet[UsagePeriod]:
    """Months before `present`, counted from the same anchor, that ended after `moment`."""
    return UsagePeriod.objects.filter(
        organization_id=present.organization_id,
        anchor=present.anchor,
        start__lt=present.start,
        end__gt=moment,
    ).order_by("start")


def _open_at(organization: Organization, moment: datetime) -> UsagePeriod | None:
    return (
        UsagePeriod.objects.visible_to(organization)
        .filter(start__lte=moment, end__gt=moment, closed_at__isnull=True)
        .first()
    )


def _include_only(period: UsagePeriod, paid_until: datetime) -> None:
    """Of what a month includes, the share that was paid; what was used beyond it is rated as overage. Levels are not
    shared out: a part of a month includes them whole."""
    share = months.share(paid_until - period.start, period.end - period.start)
    for quota in Quota.objects.filter(period=period, meter__aggregation__in=ADDING_UP).order_by("id"):
        if quota.included is not None:
            rating.cap(quota, included=int(quota.included * share))


def close_before(*, organization: Organization, moment: datetime, now: datetime) -> None:
    """Close, oldest first, what has ended by `moment`, which Stripe's clock may have reached before ours."""
    ended = UsagePeriod.objects.visible_to(organization).filter(closed_at__isnull=True, end__lte=moment)
    for period in ended.order_by("end"):
        close(period=period, now=max(now, moment))


def close_due(*, now: datetime) -> int:
    """Close every period that has ended by its organization's own clock, oldest first. Returns the number closed.

    Runs in the system scope. One organization's failure does not stop the others; the next run tries it again.
    """
    due = (
        UsagePeriod.objects.filter(
            closed_at__isnull=True, end__lte=Coalesce(F("organization__test_clock_time"), now)
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
            closed += close(period=period, now=period.organization.test_clock_time or now)
        except Exception:  # whatever a receiver raised: it is logged, and the period stays open
            failed.add(period.organization_id)
            log.exception(
                "period_not_closed",
                alarm=True,
                period=str(period.pk),
                organization=str(period.organization_id),
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
