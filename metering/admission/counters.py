"""The counters of the request quota: units are given out in Redis, and known to PostgreSQL a few seconds later.

A request takes its unit before it runs, by one script that also limits the rate. Answers that do not count give it
back. A counter gives out what PostgreSQL has granted it (`allotments`) and is given more when that is used up
(`renewal`); so a hard quota is exact whatever happens to Redis. Without Redis units are taken in PostgreSQL: exact too,
but slower; rates are not limited then, and the log says so. `request_path.charging` does all of it for a request.

What people see of a counter (`used`) is as exact while nothing fails, and is brought back to what PostgreSQL knows:
after each shipment (`raise_to_recorded`), and by a job (`reconcile`).
"""

import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any
from uuid import UUID

import structlog
from django.conf import settings
from django.db import transaction

from accounts.models import Organization
from metering.admission import allotments, rates, redis_wire, scripts
from metering.admission.charges import Charge, parse_facts
from metering.admission.rates import Pace
from metering.admission.redis_wire import LOST
from metering.models import REQUESTS, Quota
from superagent.foundation import tenancy

RETRY_REDIS_AFTER_SECONDS = 2

log = structlog.get_logger(__name__)

# --- Taking and giving back

_lost_until = 0.0


def counter_key(organization_id: UUID) -> str:
    return f"{{{organization_id}}}:counter"


@lru_cache(maxsize=8192)
def pack_charge(organization_id: UUID, caller: str) -> bytes:
    return redis_wire.pack_script(
        scripts.CHARGE,
        [counter_key(organization_id)],
        f"rate:{caller}",
        rates.interval_us(),
        settings.API_RATE_BURST,
        redis_wire.RUN,
    )


def pace(*, organization_id: UUID, caller: str) -> Pace | None:
    """The rate of a request of `caller` that the quota does not count; None while Redis is lost: unlimited."""
    if is_lost():
        return None
    try:
        return Pace(*redis_wire.send(rates.pack_pace(organization_id, caller), 1, (scripts.PACE,))[0])
    except LOST as error:
        note_loss(error)
        return None


def take(*, organization_id: UUID, caller: str) -> Charge | None:
    """Take one unit for a request of `caller` (an API key's or user's id); the verdict may be a refusal.

    None when the counter must be renewed first. Raises LOST.
    """
    answer = redis_wire.send(pack_charge(organization_id, caller), 1, (scripts.CHARGE,))[0]
    return verdict(organization_id, answer)


def verdict(organization_id: UUID, answer: Sequence[Any]) -> Charge | None:
    """What CHARGE answered; None when PostgreSQL must be asked first."""
    if answer[0] == b"ask":
        return None
    name, used, facts, left, wait = answer
    return Charge(organization_id, name.decode(), used, parse_facts(facts), left, wait)


def is_lost() -> bool:
    return time.monotonic() < _lost_until


def note_loss(error: Exception) -> None:
    """Leave Redis alone for two seconds; logged every time, because rates are not limited meanwhile."""
    global _lost_until
    _lost_until = time.monotonic() + RETRY_REDIS_AFTER_SECONDS
    log.error("redis_lost", alarm=True, effect="quotas by PostgreSQL, rates unlimited", error=str(error))


def refund(taken: Charge) -> None:
    """Give the unit of an answer that does not count back. A lost Redis forgets it until its allotment is over."""
    seed = taken.facts.seed
    if not taken.is_taken or not seed:
        return
    if not allotments.is_postgres(seed):
        try:
            if redis_wire.run_once(scripts.REFUND, [counter_key(taken.organization_id)], seed):
                return
        except LOST as error:
            note_loss(error)
            return
    with tenancy.system("give a request unit back"):
        allotments.settle({(taken.organization_id, seed): 1})


def recall(*, organization_id: UUID, period_id: UUID, units: int) -> tuple[str, int]:
    """Take up to `units` of those that the counter may still give out away from it: (seed, how many)."""
    try:
        seed, number = redis_wire.run(scripts.RECALL, [counter_key(organization_id)], period_id.hex, units)
    except LOST as error:
        note_loss(error)
        return "", 0
    return seed.decode(), number


def put_back(*, organization_id: UUID, seed: str, units: int) -> None:
    """What was recalled and is not needed."""
    try:
        redis_wire.run_once(scripts.RETURN, [counter_key(organization_id)], seed, units)
    except LOST as error:
        note_loss(error)


def adjust(*, organization_id: UUID, period_id: UUID, difference: int) -> None:
    """Let the counter, if it counts this period, know of `difference` units that PostgreSQL has counted or let go."""
    try:
        redis_wire.run(scripts.ADJUST, [counter_key(organization_id)], period_id.hex, difference)
    except LOST as error:
        note_loss(error)


def live_used(organization_id: UUID) -> tuple[UUID, int] | None:
    """The period that Redis counts and its units, those on their way to PostgreSQL included; None without a counter."""
    try:
        period, used = redis_wire.send(
            redis_wire.pack("HMGET", counter_key(organization_id), "period", "used"), 1
        )[0]
    except LOST as error:
        note_loss(error)
        return None
    return None if period is None else (UUID(period.decode()), int(used))


# --- When its terms have changed


def refresh_on_commit(organization: Organization) -> None:
    """After the transaction, have the next request read period and terms from PostgreSQL again."""
    organization_id = organization.pk
    transaction.on_commit(lambda: refresh(organization_id))


def refresh(organization_id: UUID) -> None:
    """If Redis is lost, the counter reads them when its time is over."""
    try:
        redis_wire.run(scripts.STALE, [counter_key(organization_id)])
    except LOST as error:
        note_loss(error)


# --- What people see of a counter


def raise_to_recorded(shipped: dict[tuple[UUID, UUID], tuple[int, dict[str, int]]]) -> None:
    """After shipping: {(organization, period): (used by PostgreSQL, {seed: units just written})}."""
    if not shipped:
        return
    commands = [
        redis_wire.pack_script(
            scripts.RAISE,
            [counter_key(organization_id)],
            period_id.hex,
            used,
            *(part for pair in by_seed.items() for part in pair),
        )
        for (organization_id, period_id), (used, by_seed) in shipped.items()
    ]
    try:
        redis_wire.send(
            b"".join(commands[:1]), 1, (scripts.RAISE,)
        )  # loads the script, should Redis be a new one
        if commands[1:]:
            redis_wire.send(b"".join(commands[1:]), len(commands) - 1, (scripts.RAISE,))
    except LOST as error:
        note_loss(error)


def reconcile(*, known_until: datetime, quiet: timedelta = allotments.QUIET) -> int:
    """The job: bring every counter of an open period to what PostgreSQL knows. Returns the number changed.

    Runs in the system scope. Downwards only what was taken a time of `quiet` before `known_until`, the moment up to
    which every host has shipped what it answered: until then units may be on their way.
    """
    horizon = (known_until - quiet).timestamp()
    changed = 0
    open_quotas = Quota.objects.filter(meter__slug=REQUESTS, is_closed=False).values_list(
        "organization_id", "period_id", "used"
    )
    for organization_id, period_id, used in open_quotas.iterator(chunk_size=1000):
        difference = redis_wire.run(
            scripts.RECONCILE, [counter_key(organization_id)], period_id.hex, used, str(horizon)
        )
        if difference:
            changed += 1
            log.warning(
                "request_counter_reconciled", organization=str(organization_id), difference=difference
            )
    return changed


def reclaim(*, known_until: datetime) -> int:
    """The job: units that no request can have any more are free again. Returns the number of organizations."""
    freed = allotments.reclaim(known_until=known_until)
    for organization_id in freed:
        refresh(organization_id)
    return len(freed)
