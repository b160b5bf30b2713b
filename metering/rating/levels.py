"""Levels: what meters of `max`, `latest` and `unique` make of their events, which cannot be added up.

For each hour of a usage period the event that decides it is kept (`HourlyLevel`; of `unique`, one for each distinct
value), and a level is read from these rows. Every function here is called under the locks of the quotas concerned,
which guard their rows; changes are returned as uses, which are counted like any other.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from uuid import UUID

from django.db import connection
from django.db.models import prefetch_related_objects

from metering.aggregations import ADDING_UP, ADDS_UP, LEVEL, Aggregation, order_of, value_of
from metering.models import EventVoid, FormerTerms, HourlyLevel, Meter, Quota, UsageEvent, UsagePeriod
from metering.rating.counting import Use
from superagent.foundation.identifiers import uuid7

ANY_VALUE = b""
VALUE_BYTES = 16
BEGIN_OF_TIME = datetime(1970, 1, 1, tzinfo=UTC)

ROWS, EVENTS, VOIDS, METERS = (model._meta.db_table for model in (HourlyLevel, UsageEvent, EventVoid, Meter))


@dataclass(frozen=True, slots=True)
class Mark:
    """An event of a level meter, as far as levels concern it."""

    quota: Quota
    event_id: UUID
    value: bytes
    quantity: int
    at: datetime

    @property
    def hour(self) -> datetime:
        return self.at.replace(minute=0, second=0, microsecond=0)

    @property
    def order(self) -> tuple[int, datetime, UUID]:
        """As aggregations.order_of."""
        is_max = self.quota.meter.aggregation == Aggregation.MAX
        return self.quantity if is_max else 0, self.at, self.event_id


def value_of_property(value: str | int) -> bytes:
    """As aggregations.value_of."""
    return sha256(str(value).encode()).digest()[:VALUE_BYTES]


def mark_of(event: UsageEvent, quota: Quota) -> Mark:
    value = ANY_VALUE
    if event.meter.aggregation == Aggregation.UNIQUE:
        value = value_of_property(event.properties[event.meter.value_property])
    return Mark(quota, event.pk, value, event.quantity, event.occurred_at)


def add(marks: Sequence[Mark]) -> list[Use]:
    """Let `marks`, which were just recorded, change their hours."""
    if not marks:
        return []
    measured = _Measured(
        {mark.quota.pk: mark.quota for mark in marks}.values(),
        {mark.value for mark in marks},
        unseen=[mark.event_id for mark in marks],
    )
    _keep(marks)
    return measured.changes()


def remove(mark: Mark) -> list[Use]:
    """The event of `mark` was just taken back: read its hour again, if it decided it."""
    measured = _Measured([mark.quota], {mark.value}, unvoided=[mark.event_id])
    rows = HourlyLevel.objects.filter(period=mark.quota.period_id, meter=mark.quota.meter_id)
    if rows.filter(value=mark.value, hour=mark.hour, event_id=mark.event_id).exists():
        read_again(mark.quota, mark.hour, mark.value)
    return measured.changes()


def read_again(quota: Quota, hour: datetime, value: bytes | None = None) -> None:
    """Write the rows of an hour anew, from its events; of one value, or of all."""
    rows = HourlyLevel.objects.filter(period=quota.period_id, meter=quota.meter_id, hour=hour)
    (rows if value is None else rows.filter(value=value)).delete()
    _write([quota], hour, value)


def known_values(*, quota: Quota, values: Collection[bytes]) -> set[bytes]:
    """Which of `values` the period has seen."""
    rows = HourlyLevel.objects.filter(period=quota.period_id, meter=quota.meter_id, value__in=values)
    return {bytes(value) for value in rows.values_list("value", flat=True).distinct()}


def risen_since(period: UsagePeriod, moment: datetime) -> dict[UUID, int]:
    """{meter: by how much its level is higher than that of the events in `period` that occurred before `moment`}."""
    quotas = list(Quota.objects.filter(period=period).exclude(meter__aggregation__in=ADDING_UP))
    before, now = (_read([(quota, end) for quota in quotas], None) for end in (moment, None))
    return {quota.meter_id: b - a for quota, a, b in zip(quotas, before, now, strict=True)}


class Moved:
    """Around a move of events from one period to another: `with Moved(quotas) as moved: …`, then `moved.uses`."""

    def __init__(self, quotas: Iterable[Quota]) -> None:
        self._quotas = list(quotas)
        prefetch_related_objects(self._quotas, "meter")
        self._quotas = [quota for quota in self._quotas if not quota.meter.adds_up]
        self.uses: list[Use] = []

    def __enter__(self) -> "Moved":
        self._measured = _Measured(self._quotas, None)
        return self

    def __exit__(self, failure: type[BaseException] | None, *_: object) -> None:
        if failure is None and self._quotas:
            for quota in self._quotas:
                HourlyLevel.objects.filter(period=quota.period_id, meter=quota.meter_id).delete()
            _write(self._quotas)
            self.uses = self._measured.changes()


def _write(quotas: Sequence[Quota], hour: datetime | None = None, value: bytes | None = None) -> None:
    """The rows of `quotas` that are missing, from their events; of an hour and a value, or of all."""
    wanted = "e.organization_id = %(organization)s AND e.period_id = ANY(%(periods)s) AND e.meter_id = ANY(%(meters)s)"
    if hour is not None:
        wanted += " AND e.occurred_at >= %(hour)s AND e.occurred_at < %(hour)s + interval '1 hour'"
    if value is not None:
        wanted += f" AND {value_of('e')} = %(value)s"
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            INSERT INTO {ROWS} (organization_id, meter_id, period_id, hour, value, quantity, moment, event_id, id)
            SELECT d.*, gen_random_uuid() FROM ({deciding(wanted)}) AS d
            ON CONFLICT (period_id, meter_id, value, hour) DO NOTHING
            """,  # noqa: S608  # our own names
            {
                "organization": quotas[0].organization_id,
                "periods": list({quota.period_id for quota in quotas}),
                "meters": list({quota.meter_id for quota in quotas}),
                "hour": hour,
                "value": value,
            },
        )


def deciding(condition: str) -> str:
    """SQL: the events that decide their hours, of those (`e`) under `condition` that nobody took back."""
    last_first = ", ".join(f"{each} DESC" for each in order_of("f"))
    return f"""
        SELECT DISTINCT ON (f.organization_id, f.meter_id, f.period_id, f.hour, f.value)
               f.organization_id, f.meter_id, f.period_id, f.hour, f.value, f.quantity, f.moment, f.event_id
        FROM ({valid(condition)}) AS f JOIN {METERS} m ON m.id = f.meter_id
        ORDER BY f.organization_id, f.meter_id, f.period_id, f.hour, f.value, {last_first}
    """  # noqa: S608  # our own names


def valid(condition: str, *, unvoided: str = "false") -> str:
    """SQL: the events (`e`) of level meters (`m`) under `condition` that nobody took back, in the form of rows.

    Where `unvoided` is true of an event, it counts as not taken back.
    """
    return f"""
        SELECT e.organization_id, e.meter_id, e.period_id, date_trunc('hour', e.occurred_at, 'UTC') AS hour,
               {value_of("e")} AS value, e.quantity, e.occurred_at AS moment, e.id AS event_id
        FROM {EVENTS} e JOIN {METERS} m ON m.id = e.meter_id AND NOT {ADDS_UP}
        WHERE {condition} AND ({unvoided} OR NOT EXISTS (SELECT FROM {VOIDS} v WHERE v.event_id = e.id))
    """  # noqa: S608  # our own names


def _keep(marks: Sequence[Mark]) -> None:
    """Of each hour and value the mark that decides it; one that was kept before may decide it still."""
    last: dict[tuple[UUID, UUID, bytes, datetime], Mark] = {}
    for mark in sorted(marks, key=lambda each: each.order):
        last[mark.quota.period_id, mark.quota.meter_id, mark.value, mark.hour] = mark
    rows = [
        (uuid7(), mark.quota.organization_id, *key, mark.quantity, mark.at, mark.event_id)
        for key, mark in sorted(last.items(), key=lambda item: item[0])
    ]
    aggregation = f"(SELECT aggregation FROM {METERS} m WHERE m.id = r.meter_id)"  # noqa: S608  # as below
    later, earlier = (", ".join(order_of(row, aggregation)) for row in ("excluded", "r"))
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            INSERT INTO {ROWS} AS r (id, organization_id, period_id, meter_id, value, hour, quantity, moment, event_id)
            SELECT * FROM unnest(%s::uuid[], %s::uuid[], %s::uuid[], %s::uuid[], %s::bytea[], %s::timestamptz[],
                                 %s::bigint[], %s::timestamptz[], %s::uuid[])
            ON CONFLICT (period_id, meter_id, value, hour) DO UPDATE
            SET quantity = excluded.quantity, moment = excluded.moment, event_id = excluded.event_id
            WHERE ({later}) > ({earlier})
            """,  # noqa: S608  # our own names
            [list(column) for column in zip(*rows, strict=True)],
        )


class _Measured:
    """The levels of quotas as they are now, to tell by how much they change; also at each change of terms, because what
    was used before one is rated by the terms of then. Of `values` alone, or of all (None). The levels are those before
    the events `unseen` were recorded and before the events `unvoided` were taken back, which has just been done."""

    def __init__(
        self,
        quotas: Iterable[Quota],
        values: Collection[bytes] | None,
        *,
        unseen: Sequence[UUID] = (),
        unvoided: Sequence[UUID] = (),
    ) -> None:
        self._values = values
        self._ends: list[tuple[Quota, datetime | None]] = []
        quotas = list(quotas)
        changes = FormerTerms.objects.filter(quota__in=quotas).order_by("replaced_at")
        moments = changes.values_list("quota_id", "replaced_at").distinct()
        for quota in quotas:
            theirs = [moment for quota_id, moment in moments if quota_id == quota.pk]
            self._ends += [(quota, moment) for moment in (*theirs, None)]
        self._before = _read(self._ends, values, unseen=unseen, unvoided=unvoided)

    def changes(self) -> list[Use]:
        """Uses that have the same effect as what happened since: one for the time up to each end, less the last one."""
        uses = []
        start, counted = BEGIN_OF_TIME, 0
        for (quota, end), before, after in zip(
            self._ends, self._before, _read(self._ends, self._values), strict=True
        ):
            if (change := after - before - counted) != 0:
                uses.append(Use(quota, start, change))
            start, counted = (BEGIN_OF_TIME, 0) if end is None else (end, counted + change)
        return uses


def _read(
    ends: Sequence[tuple[Quota, datetime | None]],
    values: Collection[bytes] | None,
    *,
    unseen: Sequence[UUID] = (),
    unvoided: Sequence[UUID] = (),
) -> list[int]:
    """The level of each quota by the events that occurred before a moment (None: by all): whole hours from the rows, a
    part of an hour from its events."""
    if not ends:
        return []

    def of(row: str) -> str:
        return "" if values is None else f"AND {row}.value = ANY(%(values)s)"

    part = valid("e.organization_id = k.organization_id AND e.meter_id = k.meter_id AND e.period_id = k.period_id "
                 "AND e.occurred_at >= date_trunc('hour', k.moment, 'UTC') AND e.occurred_at < k.moment "
                 "AND e.id <> ALL(%(unseen)s::uuid[])",
                 unvoided="e.id = ANY(%(unvoided)s::uuid[])")  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            SELECT {LEVEL}
            FROM unnest(%(organizations)s::uuid[], %(periods)s::uuid[], %(meters)s::uuid[], %(moments)s::timestamptz[])
                 WITH ORDINALITY AS k(organization_id, period_id, meter_id, moment, n)
            JOIN {METERS} m ON m.id = k.meter_id
            LEFT JOIN LATERAL (
                SELECT r.value, r.quantity, r.moment, r.event_id FROM {ROWS} r
                WHERE r.period_id = k.period_id AND r.meter_id = k.meter_id
                  AND (k.moment IS NULL OR r.hour < date_trunc('hour', k.moment, 'UTC')) {of("r")}
                UNION ALL
                SELECT p.value, p.quantity, p.moment, p.event_id FROM ({part}) AS p WHERE true {of("p")}
            ) AS f ON true
            GROUP BY k.n, m.aggregation ORDER BY k.n
            """,  # noqa: S608  # our own names
            {
                "organizations": [quota.organization_id for quota, _ in ends],
                "periods": [quota.period_id for quota, _ in ends],
                "meters": [quota.meter_id for quota, _ in ends],
                "moments": [moment for _, moment in ends],
                "values": list(values or ()),
                "unseen": list(unseen),
                "unvoided": list(unvoided),
            },
        )
        return [level for (level,) in cursor.fetchall()]
