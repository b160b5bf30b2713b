"""Allotments: what PostgreSQL lets a counter give out of a hard request quota without asking it for every unit.

Every transaction here holds the lock of the quota, and leaves it with

    used + what its allotments still hold (granted less settled)  <=  included

A request has its unit only from an allotment, and its unit is settled in the transaction that counts the request. So a
hard quota is never overrun, whatever becomes of a counter: one that is lost, restored from yesterday, or alive on both
sides of a split network gives out what it was granted, and nobody else is granted the same. What it held and never
accounted for is free again when that is certain: its time is over, the longest request with it, and every host has
shipped what it answered until then (`reclaim`).

The system scope, or the organization's.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import structlog
from django.db import connection, transaction
from django.db.models import F, Sum

from metering.models import Allotment, Quota

LIFETIME = timedelta(minutes=10)
SHARE = 16
"""A grant is this part of what is free, and one unit at least: so little is held back when a counter is lost."""
MOST = 20_000
QUIET = timedelta(minutes=20)
"""Longer than the longest request, a stream of 15 minutes."""

UNLIMITED = -1
POSTGRES = "pg"
"""Begins the seeds of units that were taken here, without Redis."""

log = structlog.get_logger(__name__)

Units = Mapping[tuple[UUID, str], int]
"""By organization and seed."""


@dataclass(frozen=True, slots=True)
class Grant:
    """`units` that an allotment was granted in all, or UNLIMITED. `is_held_elsewhere`: others hold units, which may
    become free."""

    units: int
    is_held_elsewhere: bool = False


def held(quota: Quota) -> int:
    """Units that may have been given out, and are not counted yet."""
    sums = Allotment.objects.filter(quota=quota).aggregate(granted=Sum("granted"), settled=Sum("settled"))
    return (sums["granted"] or 0) - (sums["settled"] or 0)


def begin(*, quota: Quota, seed: str, valid_until: datetime) -> Grant:
    """A new allotment for the counter `seed`, which gives nothing out after `valid_until`."""
    with transaction.atomic():
        locked = _lock(quota)
        if not _is_limited(locked):
            return Grant(UNLIMITED)
        others = held(locked)
        units = _portion(locked, others)
        Allotment.objects.create(
            organization_id=locked.organization_id,
            quota=locked,
            seed=seed,
            granted=units,
            valid_until=valid_until,
        )
        return Grant(units, others > 0)


def extend(*, quota: Quota, seed: str, known: int) -> Grant | None:
    """More for a counter that has given out all of the `known` units that it was granted; None if there is no such
    allotment of this quota. Of those who ask at once, one is granted more, and all are told the total."""
    with transaction.atomic():
        locked = _lock(quota)
        mine = Allotment.objects.filter(quota=locked, seed=seed).first()
        if mine is None or not _is_limited(locked):
            return None
        holds = held(locked)
        if mine.granted == known:
            mine.granted += _portion(locked, holds)
            mine.save(update_fields=["granted"])
        return Grant(mine.granted, holds > mine.granted - mine.settled)


def take(*, quota: Quota, now: datetime) -> tuple[str, int] | None:
    """One unit for a request of `now`, without Redis: (seed, units used or held); None: the quota is used up.

    Units are held by an allotment for every ten minutes, so that a process that is killed before it answers costs
    nothing in the end.
    """
    with transaction.atomic():
        locked = _lock(quota)
        if not _is_limited(locked):
            return "", locked.total
        holds = held(locked)
        if _free(locked, holds) < 1:
            return None
        turn = int(now.timestamp() // LIFETIME.total_seconds()) + 1
        mine, _ = Allotment.objects.get_or_create(
            organization_id=locked.organization_id,
            seed=f"{POSTGRES}.{locked.pk.hex[-12:]}.{turn:x}",
            defaults={
                "quota": locked,
                "valid_until": datetime.fromtimestamp(turn * LIFETIME.total_seconds(), UTC),
            },
        )
        Allotment.objects.filter(pk=mine.pk).update(granted=F("granted") + 1)
        return mine.seed, locked.total + holds + 1


def is_postgres(seed: str) -> bool:
    """True if `take` made it."""
    return seed.startswith(f"{POSTGRES}.")


def settle(units: Units) -> None:
    """These units are counted, or were not used. In the transaction that says so, after the quotas' locks. What no
    allotment holds (any more) is left out."""
    rows = [(organization, seed, number) for (organization, seed), number in sorted(units.items()) if number]
    if not rows:
        return
    table = Allotment._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            WITH given AS (
                SELECT a.id, g.units FROM {table} a
                JOIN unnest(%s::uuid[], %s::text[], %s::bigint[]) AS g(organization_id, seed, units)
                  ON a.organization_id = g.organization_id AND a.seed = g.seed
                ORDER BY a.id FOR NO KEY UPDATE OF a
            )
            UPDATE {table} a SET settled = least(a.granted, a.settled + given.units)
            FROM given WHERE a.id = given.id
            """,  # noqa: S608  # our own table's name
            [list(column) for column in zip(*rows, strict=True)],
        )


def move(*, source: Quota, target: Quota) -> None:
    """The units that `source` holds will be counted in `target`: the period was made to end before they were used."""
    Allotment.objects.filter(quota=source).update(quota=target)


def reclaim(*, known_until: datetime) -> set[UUID]:
    """End the allotments that nothing can come back from any more. Returns the organizations for which units became
    free. In the system scope.

    `known_until` is the moment up to which every host has shipped what it answered.
    """
    over = Allotment.objects.filter(valid_until__lt=known_until - QUIET)
    freed: dict[UUID, int] = {}
    for each in over.filter(granted__gt=F("settled")):
        freed[each.organization_id] = freed.get(each.organization_id, 0) + each.granted - each.settled
    over.delete()
    for organization_id, units in freed.items():
        log.info("request_units_reclaimed", organization=str(organization_id), units=units)
    return set(freed)


def _lock(quota: Quota) -> Quota:
    return Quota.objects.select_for_update(no_key=True).get(pk=quota.pk)


def _is_limited(quota: Quota) -> bool:
    return quota.is_hard and quota.included is not None


def _free(quota: Quota, holds: int) -> int:
    return max(0, (quota.included or 0) - quota.total - holds)


def _portion(quota: Quota, holds: int) -> int:
    free = _free(quota, holds)
    return min(free, MOST, max(1, free // SHARE))
