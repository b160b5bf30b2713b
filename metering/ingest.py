"""Recording usage events: durable when it answers, each (source, event id) once, hard quotas never exceeded.

One transaction with a constant number of statements for any batch. It locks the quotas concerned in the order of
their ids before anything else, then writes events in the order of their keys and rollups in the order of theirs, so
that concurrent batches wait for each other but never in a circle.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from django.db import connection, transaction

from accounts.models import Organization
from accounts.principals import Principal
from metering import counters, live, periods, rollups
from metering.events import EventIn, Rejection
from metering.models import REQUESTS, Meter, Quota, UsageEvent, UsagePeriod
from superagent.foundation.identifiers import uuid7

OLDEST = timedelta(days=35)
NEWEST = timedelta(minutes=5)

Key = tuple[str, str]
"""Source and event id."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How many were recorded, how many were recorded before, and which were refused, in the order of the batch."""

    accepted: int
    duplicates: int
    rejected: list[Rejection]


@dataclass(slots=True)
class _Entry:
    index: int
    event: EventIn
    meter: Meter
    occurred_at: datetime
    body_hash: bytes
    period_id: UUID
    quota: Quota | None = None
    id: UUID = field(default_factory=uuid7)

    @property
    def key(self) -> Key:
        return self.event.source, self.event.event_id


def record(
    *, organization: Organization, events: Sequence[EventIn], principal: Principal | None, now: datetime
) -> Outcome:
    """Record a batch. An event sent before with the same body is a duplicate, with another body a conflict; what
    does not fit a hard quota is rejected, the rest is taken. The period is that of `occurred_at`; what came before
    the first one counts in the first one."""
    batch = _Batch(organization, principal, now)
    try:
        with transaction.atomic():
            batch.record(events)
    except BaseException:
        batch.give_back()
        raise
    if batch.accepted:
        live.touch(organization.pk)
    return Outcome(batch.accepted, batch.duplicates, sorted(batch.rejected, key=lambda each: each.index))


class _Batch:
    def __init__(self, organization: Organization, principal: Principal | None, now: datetime) -> None:
        self.organization = organization
        self.principal = principal
        self.now = now
        self.accepted = 0
        self.duplicates = 0
        self.rejected: list[Rejection] = []
        self._taken: dict[UUID, int] = defaultdict(int)  # period → units taken from the request counter

    def record(self, events: Sequence[EventIn]) -> None:
        entries = self._readable(events)
        entries = self._distinct(entries)
        if not entries:
            return
        self._lock_quotas(entries)
        entries = self._new(entries)
        entries = self._affordable(entries)
        entries = self._insert(entries)
        self._count(entries)
        self.accepted = len(entries)

    def give_back(self) -> None:
        for period_id, units in self._taken.items():
            counters.adjust(organization_id=self.organization.pk, period_id=period_id, difference=-units)

    def _readable(self, events: Sequence[EventIn]) -> list[_Entry]:
        """With a known meter and an acceptable time, each with its period."""
        meters = Meter.objects.filter(is_active=True).in_bulk(
            {event.meter for event in events}, field_name="slug"
        )
        candidates: list[tuple[int, EventIn, Meter, datetime]] = []
        for index, event in enumerate(events):
            occurred_at = event.occurred_at or self.now
            meter = meters.get(event.meter)
            if meter is None:
                self._reject(index, "unknown_meter", f"There is no meter {event.meter}.", "/meter")
            elif occurred_at < self.now - OLDEST:
                self._reject(index, "too_old", f"It is older than {OLDEST.days} days.", "/occurred_at")
            elif occurred_at > self.now + NEWEST:
                self._reject(index, "too_new", "It is more than 5 minutes ahead.", "/occurred_at")
            else:
                candidates.append((index, event, meter, occurred_at))
        if not candidates:
            return []
        period_of = _Periods(self.organization, self.now, min(candidate[3] for candidate in candidates))
        return [
            _Entry(index, event, meter, occurred_at, event.body_hash(), period_of.moment(occurred_at))
            for index, event, meter, occurred_at in candidates
        ]

    def _distinct(self, entries: Iterable[_Entry]) -> list[_Entry]:
        """The first of each key in the batch."""
        first: dict[Key, _Entry] = {}
        for entry in entries:
            earlier = first.setdefault(entry.key, entry)
            if earlier is not entry:
                self._repeated(entry, earlier.body_hash)
        return list(first.values())

    def _lock_quotas(self, entries: list[_Entry]) -> None:
        wanted = {(entry.period_id, entry.meter.pk) for entry in entries}
        quotas = self._locked(wanted)
        if missing := wanted - quotas.keys():  # a meter without terms is unlimited
            Quota.objects.bulk_create(
                [
                    Quota(organization=self.organization, period_id=period_id, meter_id=meter_id)
                    for period_id, meter_id in sorted(missing)
                ],
                ignore_conflicts=True,
            )
            quotas = self._locked(wanted)
        for entry in entries:
            entry.quota = quotas[entry.period_id, entry.meter.pk]

    def _locked(self, wanted: set[tuple[UUID, UUID]]) -> dict[tuple[UUID, UUID], Quota]:
        rows = Quota.objects.visible_to(self.organization).filter(
            period__in={period_id for period_id, _ in wanted}, meter__in={meter_id for _, meter_id in wanted}
        )
        return {
            (quota.period_id, quota.meter_id): quota
            for quota in rows.order_by("id").select_for_update(no_key=True)
        }

    def _new(self, entries: list[_Entry]) -> list[_Entry]:
        """Without those that were recorded before."""
        stored = self._stored(entries)
        for entry in entries:
            if entry.key in stored:
                self._repeated(entry, stored[entry.key])
        return [entry for entry in entries if entry.key not in stored]

    def _stored(self, entries: list[_Entry]) -> dict[Key, bytes]:
        table = UsageEvent._meta.db_table
        with connection.cursor() as cursor:
            cursor.execute(
                f"""
                SELECT e.source, e.event_id, e.body_hash FROM {table} e
                JOIN unnest(%s::text[], %s::text[]) AS g(source, event_id)
                  ON g.source = e.source AND g.event_id = e.event_id
                WHERE e.organization_id = %s
                """,  # noqa: S608  # our own table's name
                [[entry.event.source for entry in entries], [entry.event.event_id for entry in entries],
                 self.organization.pk],
            )  # fmt: skip
            return {(source, event_id): bytes(body_hash) for source, event_id, body_hash in cursor.fetchall()}

    def _affordable(self, entries: list[_Entry]) -> list[_Entry]:
        """Those that fit what hard quotas have left, in the order of the batch."""
        left: dict[UUID, int] = {}
        fitting = []
        for entry in entries:
            quota = entry.quota
            assert quota is not None  # _lock_quotas
            if quota.is_hard and (remaining := left.setdefault(quota.pk, quota.remaining or 0)) is not None:
                if quota.included is not None and entry.event.quantity > remaining:
                    self._reject_for_quota(entry)
                    continue
                left[quota.pk] = remaining - entry.event.quantity
            fitting.append(entry)
        return self._taken_from_counter(fitting)

    def _taken_from_counter(self, entries: list[_Entry]) -> list[_Entry]:
        """Events of the request meter share their quota with requests that PostgreSQL does not know yet."""
        of_period: dict[UUID, list[_Entry]] = defaultdict(list)
        for entry in entries:
            if entry.meter.slug == REQUESTS and entry.quota is not None and not entry.quota.is_closed:
                of_period[entry.period_id].append(entry)
        refused: set[int] = set()
        for period_id, theirs in of_period.items():
            quantities = [entry.event.quantity for entry in theirs]
            flags = counters.take(
                organization_id=self.organization.pk, period_id=period_id, quantities=quantities
            )
            for entry, is_taken in zip(theirs, flags or [], strict=False):
                if is_taken:
                    self._taken[period_id] += entry.event.quantity
                else:
                    refused.add(entry.index)
                    self._reject_for_quota(entry)
        return [entry for entry in entries if entry.index not in refused]

    def _insert(self, entries: list[_Entry]) -> list[_Entry]:
        """Those that were inserted; a key that another batch inserted meanwhile is a duplicate or a conflict."""
        if not entries:
            return []
        ordered = sorted(entries, key=lambda entry: entry.key)
        table = UsageEvent._meta.db_table
        with connection.cursor() as cursor:
            cursor.execute(
                f"""
                INSERT INTO {table} (organization_id, received_at, api_key_id, user_id, id, source, event_id,
                                     meter_id, period_id, quantity, occurred_at, is_late, properties, body_hash)
                SELECT %s, %s, %s, %s, g.id, g.source, g.event_id, g.meter_id, g.period_id, g.quantity,
                       g.occurred_at, g.is_late, g.properties::jsonb, g.body_hash
                FROM unnest(%s::uuid[], %s::text[], %s::text[], %s::uuid[], %s::uuid[], %s::bigint[],
                            %s::timestamptz[], %s::boolean[], %s::text[], %s::bytea[])
                     AS g(id, source, event_id, meter_id, period_id, quantity, occurred_at, is_late, properties,
                          body_hash)
                ON CONFLICT (organization_id, source, event_id) DO NOTHING
                RETURNING id
                """,  # noqa: S608  # our own table's name
                [
                    self.organization.pk,
                    self.now,
                    self.principal.api_key_id if self.principal else None,
                    self.principal.user_id if self.principal else None,
                    *(list(column) for column in zip(*map(_row, ordered), strict=True)),
                ],
            )
            inserted = {row[0] for row in cursor.fetchall()}
        if len(inserted) == len(entries):
            return entries
        lost = [entry for entry in entries if entry.id not in inserted]
        self._new(lost)
        for entry in lost:
            if self._taken.get(entry.period_id) and entry.meter.slug == REQUESTS:
                self._taken[entry.period_id] -= entry.event.quantity
                counters.adjust(
                    organization_id=self.organization.pk,
                    period_id=entry.period_id,
                    difference=-entry.event.quantity,
                )
        return [entry for entry in entries if entry.id in inserted]

    def _count(self, entries: list[_Entry]) -> None:
        by_quota: dict[UUID, Quota] = {}
        usage: dict[rollups.UsageKey, tuple[int, int]] = {}
        for entry in entries:
            quota, quantity = entry.quota, entry.event.quantity
            assert quota is not None  # _lock_quotas
            by_quota[quota.pk] = quota
            if quota.is_closed:
                quota.late_quantity += quantity
            else:
                quota.used += quantity
            key = (self.organization.pk, entry.meter.pk, rollups.hour_of(entry.occurred_at))
            total, count = usage.get(key, (0, 0))
            usage[key] = (total + quantity, count + 1)
        if by_quota:
            Quota.objects.bulk_update(
                by_quota.values(), ["used", "late_quantity"]
            )  # locked since _lock_quotas
        rollups.add_usage(usage)

    def _repeated(self, entry: _Entry, stored: bytes) -> None:
        if entry.body_hash == stored:
            self.duplicates += 1
        else:
            detail = f"Another event has the id {entry.event.event_id} of the source {entry.event.source}."
            self._reject(entry.index, "conflict", detail, "/event_id")

    def _reject_for_quota(self, entry: _Entry) -> None:
        detail = f"It does not fit what is left of the {entry.meter.slug} of its period."
        self.rejected.append(Rejection(entry.index, "quota_exceeded", detail, "/quantity", entry.quota))

    def _reject(self, index: int, code: str, detail: str, pointer: str) -> None:
        self.rejected.append(Rejection(index, code, detail, pointer))


class _Periods:
    """Which period a moment counts in."""

    def __init__(self, organization: Organization, now: datetime, earliest: datetime) -> None:
        self._current = periods.ensure(organization=organization, now=now)
        self._former: list[UsagePeriod] = []
        if earliest < self._current.start:
            before = UsagePeriod.objects.visible_to(organization).filter(start__lt=self._current.start)
            self._former = list(before.order_by("-start")[:60])

    def moment(self, occurred_at: datetime) -> UUID:
        if occurred_at >= self._current.start or not self._former:
            return self._current.pk
        for period in self._former:
            if period.start <= occurred_at:
                return period.pk
        return self._former[-1].pk


def _row(entry: _Entry) -> tuple[object, ...]:
    event, quota = entry.event, entry.quota
    return (
        entry.id, event.source, event.event_id, entry.meter.pk, entry.period_id, event.quantity, entry.occurred_at,
        bool(quota and quota.is_closed), json.dumps(event.properties), entry.body_hash,
    )  # fmt: skip
