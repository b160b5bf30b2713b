"""Counting: quantities into the quotas of usage periods, under the terms of the moment at which they were used.

Every path counts here: events, requests, what is taken back and what moves to another period. Quotas are locked in the
order of their ids, after the periods in which quotas are missing.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import connection
from django.db.models import F, QuerySet
from django.db.models.functions import Greatest

from metering.models import FormerTerms, Quota, UsagePeriod
from superagent.foundation.problems import Refusal

MAX_TOTAL = 2**53 - 1
"""What a quota counts at most: every integer up to here is exact in JSON, in Lua and in Redis."""

Key = tuple[UUID, UUID]
"""Period and meter."""


class PeriodMoved(Refusal):
    """While the caller chose a period, it was made to end earlier: choose again, in a new transaction."""

    status = 503
    code = "period_moved"
    title = "The usage period is being changed"

    def __init__(self) -> None:
        super().__init__("Nothing was recorded. Send it again.", headers={"Retry-After": "1"})


@dataclass(frozen=True, slots=True)
class Use:
    """`quantity` units that were used at `at`; negative: taken back."""

    quota: Quota
    at: datetime
    quantity: int


def lock(wanted: Iterable[Key]) -> dict[Key, Quota]:
    """The quotas of (period, meter), locked; a meter without terms is unlimited and gets one now.

    In the caller's transaction and scope; a period of another organization is not found there.
    """
    keys = set(wanted)
    if missing := keys - set(_rows(keys).values_list("period_id", "meter_id")):
        _open(missing)
    rows = _rows(keys).order_by("id").select_for_update(no_key=True)
    return {(row.period_id, row.meter_id): row for row in rows if (row.period_id, row.meter_id) in keys}


def check_periods(uses: Sequence[Use]) -> None:
    """Now that the quotas are locked, no period ends earlier any more. Raises PeriodMoved."""
    latest: dict[UUID, datetime] = {}
    for use in uses:
        period_id = use.quota.period_id
        latest[period_id] = max(use.at, latest.get(period_id, use.at))
    ends = dict(UsagePeriod.objects.filter(pk__in=latest).values_list("pk", "end"))
    if any(period_id not in ends or at >= ends[period_id] for period_id, at in latest.items()):
        raise PeriodMoved


def add(uses: Sequence[Use]) -> None:
    """Count `uses`, whose quotas are locked. What belongs to a closed period is late, and rated with the next one."""
    by_quota: dict[UUID, list[Use]] = defaultdict(list)
    for use in uses:
        by_quota[use.quota.pk].append(use)
    if not by_quota:
        return
    for theirs in by_quota.values():
        quota, quantity = theirs[0].quota, sum(use.quantity for use in theirs)
        if quota.is_closed:
            quota.late_quantity += quantity
            quota.has_unrated_use = True
        else:
            quota.used += quantity
    _save_counted([theirs[0].quota for theirs in by_quota.values()])
    _add_to_former_terms(by_quota)


def _save_counted(quotas: Sequence[Quota]) -> None:
    """One statement. Django's bulk_update makes an expression of every value, which costs more than the statement."""
    rows = [
        {
            "id": quota.pk.hex,
            "used": quota.used,
            "late_quantity": quota.late_quantity,
            "has_unrated_use": quota.has_unrated_use,
        }
        for quota in quotas
    ]
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            UPDATE {Quota._meta.db_table} AS quota
            SET used = g.used, late_quantity = g.late_quantity, has_unrated_use = g.has_unrated_use
            FROM json_to_recordset(%s) AS g(id uuid, used bigint, late_quantity bigint, has_unrated_use boolean)
            WHERE quota.id = g.id
            """,  # noqa: S608  # our own table's name
            [json.dumps(rows)],
        )


def _add_to_former_terms(by_quota: dict[UUID, list[Use]]) -> None:
    """What was used before a change of terms counts there, however late it is told: so it has the price of its time."""
    earliest = min(use.at for theirs in by_quota.values() for use in theirs)
    for former in FormerTerms.objects.filter(quota__in=by_quota, replaced_at__gt=earliest):
        before = sum(use.quantity for use in by_quota[former.quota_id] if use.at < former.replaced_at)
        if before:
            FormerTerms.objects.filter(pk=former.pk).update(used_until=Greatest(F("used_until") + before, 0))


def _rows(keys: set[Key]) -> QuerySet[Quota]:
    return Quota.objects.filter(
        period__in={period_id for period_id, _ in keys}, meter__in={meter_id for _, meter_id in keys}
    )


def _open(missing: set[Key]) -> None:
    """Under the lock of their periods, so that none is made beside a period that is being closed, and left open."""
    periods = UsagePeriod.objects.filter(pk__in={period_id for period_id, _ in missing})
    locked = {period.pk: period for period in periods.order_by("id").select_for_update(no_key=True)}
    Quota.objects.bulk_create(
        [
            Quota(
                organization_id=locked[period_id].organization_id,
                period_id=period_id,
                meter_id=meter_id,
                is_closed=locked[period_id].closed_at is not None,
            )
            for period_id, meter_id in sorted(missing)
            if period_id in locked
        ],
        ignore_conflicts=True,
    )
