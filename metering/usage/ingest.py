"""Recording usage events: durable when it answers, each (source, event id) once, hard quotas never exceeded.

One transaction with a constant number of statements for any batch. It locks the quotas concerned in the order of
their ids before anything else, then writes events in the order of their keys and rollups in the order of theirs, so
that concurrent batches wait for each other but never in a circle.
"""

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

from django.db import connection, transaction

from accounts.models import Organization
from accounts.principals import Principal
from metering.admission import allotments, counters
from metering.aggregations import Aggregation
from metering.models import REQUESTS, Meter, Quota, UsageEvent, UsagePeriod
from metering.quotas import live, periods
from metering.rating import counting, levels, rating
from metering.rating.counting import Use
from metering.rating.levels import Mark
from metering.usage import rollups
from metering.usage.events import EventIn, InvalidEvent, Rejection, check_for
from superagent.foundation.identifiers import uuid7

ATTEMPTS = 3
OLDEST = timedelta(days=35)
NEWEST = timedelta(minutes=5)

Key = tuple[str, str]
"""Source and event id."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How many events were recorded, how many were duplicates, and which were rejected, in the order of the batch."""

    accepted: int
    duplicates: int
    rejected: list[Rejection]


@dataclass(slots=True)
class _Entry:
    index: int
    event: EventIn
    meter: Meter | None
    occurred_at: datetime
    body_hash: bytes
    refusal: Rejection | None = None
    quota: Quota | None = None
    id: UUID = field(default_factory=uuid7)

    @property
    def key(self) -> Key:
        return self.event.source, self.event.event_id

    @property
    def value(self) -> bytes:
        """Of a meter of unique values, the one that the event stands for."""
        if self.meter is None or self.meter.aggregation != Aggregation.UNIQUE:
            return levels.ANY_VALUE
        return levels.value_of_property(self.event.properties[self.meter.value_property])


def record(
    *, organization: Organization, events: Sequence[EventIn], principal: Principal | None, now: datetime
) -> Outcome:
    """Record a batch. An event sent before with the same body is a duplicate, with another body a conflict; what
    does not fit a hard quota is rejected, the rest is taken. The period is that of `occurred_at`; what came before
    the first one counts in the first one."""
    for attempt in range(ATTEMPTS):
        batch = _Batch(organization, principal, now)
        try:
            with transaction.atomic():
                batch.record(events)
            break
        except counting.PeriodMoved:
            batch.give_back()
            if attempt == ATTEMPTS - 1:
                raise
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
        self._recalled: dict[str, int] = {}  # seed → units taken away from the request counter

    def record(self, events: Sequence[EventIn]) -> None:
        entries = self._acceptable(self._distinct(self._read(events)))
        if not entries:
            return
        self._lock_quotas(entries)
        entries = self._new(entries)
        entries = self._affordable(entries)
        entries = self._insert(entries)
        self._count(entries)
        self.accepted = len(entries)

    def give_back(self) -> None:
        for seed, units in self._recalled.items():
            counters.put_back(organization_id=self.organization.pk, seed=seed, units=units)

    def _read(self, events: Sequence[EventIn]) -> list[_Entry]:
        """Returns the events with their meters and with the reason to reject them, if any."""
        meters = Meter.objects.filter(is_active=True).in_bulk(
            {event.meter for event in events}, field_name="slug"
        )
        entries = []
        for index, event in enumerate(events):
            meter, occurred_at = meters.get(event.meter), event.occurred_at or self.now
            refusal = None
            if meter is None:
                detail = f"There is no meter {event.meter}."
                refusal = Rejection(index, "unknown_meter", detail, "/meter")
            elif occurred_at < self.now - OLDEST:
                detail = f"It is older than {OLDEST.days} days."
                refusal = Rejection(index, "too_old", detail, "/occurred_at")
            elif occurred_at > self.now + NEWEST:
                refusal = Rejection(index, "too_new", "It is more than 5 minutes ahead.", "/occurred_at")
            elif meter.aggregation != Aggregation.SUM:
                refusal = _unsuitable(index, event, meter)
            entries.append(_Entry(index, event, meter, occurred_at, event.body_hash(), refusal))
        return entries

    def _distinct(self, entries: Iterable[_Entry]) -> list[_Entry]:
        """Returns the first entry of each key."""
        first: dict[Key, _Entry] = {}
        for entry in entries:
            earlier = first.setdefault(entry.key, entry)
            if earlier is not entry:
                self._repeated(entry, earlier.body_hash)
        return list(first.values())

    def _acceptable(self, entries: list[_Entry]) -> list[_Entry]:
        """Returns the valid entries. A repeat of a recorded event stays a duplicate, however old it is."""
        refused = [entry for entry in entries if entry.refusal is not None]
        if refused:
            self.rejected += [entry.refusal for entry in self._new(refused) if entry.refusal is not None]
        return [entry for entry in entries if entry.refusal is None]

    def _lock_quotas(self, entries: list[_Entry]) -> None:
        periods_ = _Periods(self.organization, self.now)
        keys = [(periods_.at(entry.occurred_at).pk, entry.meter.pk) for entry in entries if entry.meter]
        quotas = counting.lock(keys)
        for entry, key in zip(entries, keys, strict=True):
            entry.quota = quotas[key]
            if entry.meter is not None:
                entry.quota.meter = entry.meter

    def _new(self, entries: list[_Entry]) -> list[_Entry]:
        """Returns the entries that were not recorded before."""
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
                JOIN json_to_recordset(%s) AS g(source text, event_id text)
                  ON g.source = e.source AND g.event_id = e.event_id
                WHERE e.organization_id = %s
                """,  # noqa: S608  # our own table's name
                [
                    json.dumps(
                        [
                            {"source": entry.event.source, "event_id": entry.event.event_id}
                            for entry in entries
                        ]
                    ),
                    self.organization.pk,
                ],
            )
            return {(source, event_id): bytes(body_hash) for source, event_id, body_hash in cursor.fetchall()}

    def _affordable(self, entries: list[_Entry]) -> list[_Entry]:
        """Returns the entries that fit the remainder of hard quotas, in the order of the batch."""
        left = self._left(entries)
        known = _known_values(entries, left)
        totals: dict[UUID, int] = {}
        fitting = []
        for entry in entries:
            quota = entry.quota
            assert quota is not None  # _lock_quotas
            aggregation = Aggregation(quota.meter.aggregation)
            units = 0 if (quota.pk, entry.value) in known else entry.event.quantity
            if quota.pk in left and units > left[quota.pk]:
                self._reject_for_quota(entry)
                continue
            total = totals.get(quota.pk, quota.total) + units if aggregation.adds_up else units
            if total > (most := rating.most_units(quota)):
                detail = f"A usage period counts at most {most:,} {quota.meter.unit}."
                self._reject(entry.index, "total_too_large", detail, "/quantity")
                continue
            totals[quota.pk] = total
            if quota.pk in left and not aggregation.is_gauge:
                left[quota.pk] -= units
            if aggregation == Aggregation.UNIQUE:
                known.add((quota.pk, entry.value))
            fitting.append(entry)
        return fitting

    def _left(self, entries: list[_Entry]) -> dict[UUID, int]:
        """What each hard quota has left; of a gauge, how high it may go. Events of the request meter share theirs with
        requests: what their counter holds and has not given out is called back as far as it is needed."""
        quotas = {entry.quota.pk: entry.quota for entry in entries if entry.quota is not None}
        left = {}
        for quota in quotas.values():
            if quota.is_hard and quota.included is not None and quota.remaining is not None:
                is_gauge = Aggregation(quota.meter.aggregation).is_gauge
                left[quota.pk] = quota.included if is_gauge else quota.remaining
        wanted: dict[UUID, int] = defaultdict(int)
        for entry in entries:
            if _is_of_requests(entry) and entry.quota is not None and not entry.quota.is_closed:
                wanted[entry.quota.pk] += entry.event.quantity
        for quota_id in wanted.keys() & left.keys():
            left[quota_id] -= allotments.held(quotas[quota_id])
            missing = wanted[quota_id] - left[quota_id]
            if missing > 0:
                left[quota_id] += self._recall(quotas[quota_id], missing)
        return left

    def _recall(self, quota: Quota, units: int) -> int:
        organization_id = self.organization.pk
        seed, number = counters.recall(
            organization_id=organization_id, period_id=quota.period_id, units=units
        )
        if number:
            self._recalled[seed] = number
            allotments.settle({(organization_id, seed): number})
        return number

    def _insert(self, entries: list[_Entry]) -> list[_Entry]:
        """Returns the inserted entries; a key that another batch inserted meanwhile is a duplicate or a conflict."""
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
                       g.occurred_at, g.is_late, g.properties, decode(g.body_hash, 'hex')
                FROM json_to_recordset(%s)
                     AS g(id uuid, source text, event_id text, meter_id uuid, period_id uuid, quantity bigint,
                          occurred_at timestamptz, is_late boolean, properties jsonb, body_hash text)
                ON CONFLICT (organization_id, source, event_id) DO NOTHING
                RETURNING id
                """,  # noqa: S608  # our own table's name
                [
                    self.organization.pk,
                    self.now,
                    self.principal.api_key_id if self.principal else None,
                    self.principal.user_id if self.principal else None,
                    json.dumps([_row(entry) for entry in ordered]),
                ],
            )
            inserted = {row[0] for row in cursor.fetchall()}
        if len(inserted) == len(entries):
            return entries
        self._new([entry for entry in entries if entry.id not in inserted])
        return [entry for entry in entries if entry.id in inserted]

    def _count(self, entries: list[_Entry]) -> None:
        uses, marks = [], []
        sums: dict[rollups.UsageKey, tuple[int, int]] = {}
        for entry in entries:
            quota, quantity = entry.quota, entry.event.quantity
            assert quota is not None  # _lock_quotas
            uses.append(Use(quota, entry.occurred_at, quantity))
            if not quota.meter.adds_up:
                marks.append(Mark(quota, entry.id, entry.value, quantity, entry.occurred_at))
                continue
            key = (self.organization.pk, quota.meter_id, rollups.hour_of(entry.occurred_at))
            total, count = sums.get(key, (0, 0))
            sums[key] = (total + quantity, count + 1)
        counting.check_periods(uses)
        if marks:
            uses = [use for use in uses if use.quota.meter.adds_up] + levels.add(marks)
        counting.add(uses)
        rollups.add_usage(sums)
        self._tell_counter([entry for entry in entries if _is_of_requests(entry)])

    def _tell_counter(self, entries: list[_Entry]) -> None:
        of_period: dict[UUID, int] = defaultdict(int)
        for entry in entries:
            if entry.quota is not None and not entry.quota.is_closed:
                of_period[entry.quota.period_id] += entry.event.quantity
        for period_id, units in of_period.items():
            adjust = partial(
                counters.adjust,
                organization_id=self.organization.pk,
                period_id=period_id,
                difference=units,
            )
            transaction.on_commit(adjust)

    def _repeated(self, entry: _Entry, stored: bytes) -> None:
        if entry.body_hash == stored:
            self.duplicates += 1
        else:
            detail = f"Another event has the id {entry.event.event_id} of the source {entry.event.source}."
            self._reject(entry.index, "conflict", detail, "/event_id")

    def _reject_for_quota(self, entry: _Entry) -> None:
        detail = f"The event exceeds what is left of the {entry.event.meter} quota of its usage period."
        self.rejected.append(Rejection(entry.index, "quota_exceeded", detail, "/quantity", entry.quota))

    def _reject(self, index: int, code: str, detail: str, pointer: str) -> None:
        self.rejected.append(Rejection(index, code, detail, pointer))


class _Periods:
    """Which period a moment counts in: periods.containing, without asking again for every event of a batch."""

    def __init__(self, organization: Organization, now: datetime) -> None:
        self._organization = organization
        self._now = now
        self._known: list[UsagePeriod] = []
        self._first: UsagePeriod | None = None  # takes what came before it

    def at(self, moment: datetime) -> UsagePeriod:
        for period in self._known:
            if period.contains(moment):
                return period
        if self._first is not None and moment < self._first.start:
            return self._first
        found = periods.containing(organization=self._organization, moment=moment, now=self._now)
        if moment < found.start:
            self._first = found
        self._known.append(found)
        return found


def _unsuitable(index: int, event: EventIn, meter: Meter) -> Rejection | None:
    try:
        check_for(event, meter)
    except InvalidEvent as error:
        return error.rejection(index)
    return None


def _known_values(entries: list[_Entry], quotas: Collection[UUID]) -> set[tuple[UUID, bytes]]:
    """(quota, value) of the distinct values that the `quotas` among those of `entries` have counted already."""
    wanted: dict[UUID, list[_Entry]] = defaultdict(list)
    for entry in entries:
        if entry.quota is not None and entry.quota.pk in quotas and entry.value:
            wanted[entry.quota.pk].append(entry)
    return {
        (theirs[0].quota.pk, value)
        for theirs in wanted.values()
        if theirs[0].quota is not None
        for value in levels.known_values(quota=theirs[0].quota, values={each.value for each in theirs})
    }


def _is_of_requests(entry: _Entry) -> bool:
    return entry.meter is not None and entry.meter.slug == REQUESTS


def _row(entry: _Entry) -> dict[str, object]:
    """As JSON, which is made in C: psycopg adapts arrays element by element, in Python."""
    event, quota = entry.event, entry.quota
    assert quota is not None  # _lock_quotas
    return {
        "id": entry.id.hex,
        "source": event.source,
        "event_id": event.event_id,
        "meter_id": quota.meter_id.hex,
        "period_id": quota.period_id.hex,
        "quantity": event.quantity,
        "occurred_at": entry.occurred_at.isoformat(),
        "is_late": quota.is_closed,
        "properties": event.properties,
        "body_hash": entry.body_hash.hex(),
    }
