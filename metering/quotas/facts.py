"""What single events and requests say was used in a usage period, and their move to another one."""

from datetime import datetime
from itertools import pairwise
from uuid import UUID

from django.db.models import Count, Q, QuerySet, Sum

from metering.admission import allotments
from metering.aggregations import ADDING_UP
from metering.models import REQUESTS, FormerTerms, Meter, Quota, RequestRecord, UsageEvent, UsagePeriod
from metering.rating import counting, levels
from metering.rating.counting import Use

Stretch = tuple[datetime | None, datetime | None]
"""`[start, end)`; None: without that bound."""


def used_since(period: UsagePeriod, moment: datetime) -> dict[UUID, int]:
    """{meter: units} that were used in `period` at `moment` or later, as far as PostgreSQL knows; of a level, by how
    much it is higher."""
    return _sums(period, (moment, None)) | levels.risen_since(period, moment)


def is_used_since(period: UsagePeriod, moment: datetime) -> bool:
    return _events(period, (moment, None)).exists() or _requests(period, (moment, None)).exists()


def move(*, source: UsagePeriod, target: UsagePeriod, since: datetime | None = None) -> None:
    """Count in `target` what was counted in `source`, all of it or what was used `since`; both are open.

    In the caller's transaction, which holds the lock of the organization.
    """
    meters = list(Quota.objects.filter(period=source).values_list("meter_id", flat=True))
    quotas = counting.lock((period.pk, meter_id) for period in (source, target) for meter_id in meters)
    stretches = _stretches(source, since)
    uses = [
        Use(quotas[period.pk, meter_id], stretch[0] or source.start, sign * quantity)
        for stretch in stretches
        for meter_id, quantity in _sums(source, stretch).items()
        for period, sign in ((source, -1), (target, 1))
    ]
    with levels.Moved(quotas.values()) as moved:
        _events(source, (since, None)).update(period=target)
    _requests(source, (since, None)).update(period_id=target.pk)
    counting.add([*uses, *moved.uses])
    for (period_id, meter_id), quota in quotas.items():
        if period_id == source.pk:
            allotments.move(source=quota, target=quotas[target.pk, meter_id])


def _stretches(period: UsagePeriod, since: datetime | None) -> list[Stretch]:
    """The time `since` then, cut where terms changed: within a stretch, all units have one price."""
    changes = FormerTerms.objects.filter(quota__period=period).order_by("replaced_at")
    moments = changes.values_list("replaced_at", flat=True).distinct()
    return list(pairwise([since, *(each for each in moments if since is None or each > since), None]))


def _sums(period: UsagePeriod, stretch: Stretch) -> dict[UUID, int]:
    """{meter: units} of meters that add up, without what was taken back."""
    events = _events(period, stretch).filter(void__isnull=True, meter__aggregation__in=ADDING_UP)
    by_meter = events.order_by().values_list("meter_id")
    sums: dict[UUID, int] = dict(by_meter.annotate(quantity=Sum("quantity")))
    requests = _requests(period, stretch).aggregate(counted=Count("pk", filter=Q(is_counted=True)))["counted"]
    if requests:
        meter_id = Meter.objects.values_list("pk", flat=True).get(slug=REQUESTS)
        sums[meter_id] = sums.get(meter_id, 0) + requests
    return sums


def _events(period: UsagePeriod, stretch: Stretch) -> QuerySet[UsageEvent]:
    start, end = stretch
    rows = UsageEvent.objects.filter(organization_id=period.organization_id, period=period)
    if start is not None:
        rows = rows.filter(occurred_at__gte=start)
    return rows if end is None else rows.filter(occurred_at__lt=end)


def _requests(period: UsagePeriod, stretch: Stretch) -> QuerySet[RequestRecord]:
    start, end = stretch
    rows = RequestRecord.objects.filter(organization_id=period.organization_id, period_id=period.pk)
    if start is not None:
        rows = rows.filter(started_at__gte=start)
    return rows if end is None else rows.filter(started_at__lt=end)
