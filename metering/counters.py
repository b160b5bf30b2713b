"""The counters of the request quota: units are given out in Redis, and known to PostgreSQL a few seconds later.

A request takes its unit before it runs, by one script that also limits the rate. Answers that do not count give it
back. A counter gives out what PostgreSQL has granted it (metering.allotments) and asks for more when that is used up;
so a hard quota is exact whatever happens to Redis. Without Redis units are taken in PostgreSQL: exact too, but slower;
rates are not limited then, and the log says so.

What people see of a counter (`used`) is as exact while nothing fails, and is brought back to what PostgreSQL knows:
after each shipment (`heal`), and by a job (`settle`).
"""

import math
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any
from uuid import UUID

import structlog
from django.conf import settings
from django.db import transaction

from accounts.models import Organization
from metering import allotments, exchange, rates, scripts
from metering.allotments import Grant
from metering.charges import EPOCH, Charge, facts_text, microseconds, parse_facts
from metering.exchange import LOST
from metering.models import REQUESTS, Quota, UsagePeriod
from metering.rates import Pace
from superagent.foundation import tenancy

RETRY_REDIS_AFTER_SECONDS = 2
REHEARSAL_REFRESH = timedelta(
    seconds=30
)  # nothing tells Redis that a frozen clock has moved past the period's end
KEPT_AFTER_END = timedelta(days=40)
MOST_WAITED_SECONDS = 2
WAIT_SECONDS = 0.005
ASK_AGAIN_AFTER_US = 2_000_000
MANY_US = 10**12
LEASE_RESERVE = 256
"""A counter that has fewer units left to give out gives them out one by one."""

log = structlog.get_logger(__name__)

# --- Taking and giving back

_lost_until = 0.0


def counter_key(organization_id: UUID) -> str:
    return f"{{{organization_id}}}:counter"


@lru_cache(maxsize=8192)
def pack_charge(organization_id: UUID, caller: str, units: int = 1) -> bytes:
    return exchange.pack_script(
        scripts.CHARGE,
        [counter_key(organization_id)],
        f"rate:{caller}",
        rates.interval_us(),
        settings.API_RATE_BURST,
        units,
        LEASE_RESERVE,
        exchange.RUN,
    )


def pace(*, organization_id: UUID, caller: str) -> Pace | None:
    """The rate of a request of `caller` that the quota does not count; None while Redis is lost: unlimited."""
    if is_lost():
        return None
    try:
        return Pace(*exchange.send(rates.pack_pace(organization_id, caller), 1, (scripts.PACE,))[0])
    except LOST as error:
        note_loss(error)
        return None


def charge(*, organization_id: UUID, caller: str, organization: Callable[[], Organization]) -> Charge:
    """Take one unit for a request of `caller` (an API key's or user's id); the verdict may be a refusal.

    `organization` is asked for only when PostgreSQL must be.
    """
    until = time.monotonic() + MOST_WAITED_SECONDS
    while not is_lost() and time.monotonic() < until:
        try:
            answer = exchange.send(pack_charge(organization_id, caller), 1, (scripts.CHARGE,))[0]
            if found := verdict(organization_id, answer):
                return found
            renew(organization=organization())
        except LOST as error:
            note_loss(error)
    return _charge_in_postgres(organization())


def verdict(organization_id: UUID, answer: Sequence[Any]) -> Charge | None:
    """What CHARGE answered; None when PostgreSQL must be asked first."""
    if answer[0] == b"ask":
        return None
    name, used, facts, left, wait, units = answer
    return Charge(organization_id, name.decode(), used, parse_facts(facts), left, wait, units)


def is_lost() -> bool:
    return time.monotonic() < _lost_until


def note_loss(error: Exception) -> None:
    """Leave Redis alone for two seconds; said aloud each time, because rates are not limited meanwhile."""
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
            if exchange.run_once(scripts.REFUND, [counter_key(taken.organization_id)], seed, 1):
                return
        except LOST as error:
            note_loss(error)
            return
    with tenancy.system("give a request unit back"):
        allotments.settle({(taken.organization_id, seed): 1})


def recall(*, organization_id: UUID, period_id: UUID, units: int) -> tuple[str, int]:
    """Take up to `units` of those that the counter may still give out away from it: (seed, how many)."""
    try:
        seed, number = exchange.run(scripts.RECALL, [counter_key(organization_id)], period_id.hex, units)
    except LOST as error:
        note_loss(error)
        return "", 0
    return seed.decode(), number


def put_back(*, organization_id: UUID, seed: str, units: int) -> None:
    """What was recalled and is not needed."""
    try:
        exchange.run_once(scripts.RETURN, [counter_key(organization_id)], seed, units)
    except LOST as error:
        note_loss(error)


def adjust(*, organization_id: UUID, period_id: UUID, difference: int) -> None:
    """Let the counter, if it counts this period, know of `difference` units that PostgreSQL has counted or let go."""
    try:
        exchange.run(scripts.ADJUST, [counter_key(organization_id)], period_id.hex, difference)
    except LOST as error:
        note_loss(error)


def live_used(organization_id: UUID) -> tuple[UUID, int] | None:
    """The period that Redis counts and its units, those on their way to PostgreSQL included; None without a counter."""
    try:
        period, used = exchange.send(
            exchange.pack("HMGET", counter_key(organization_id), "period", "used"), 1
        )[0]
    except LOST as error:
        note_loss(error)
        return None
    return None if period is None else (UUID(period.decode()), int(used))


# --- What a counter may give out


def renew(*, organization: Organization) -> None:
    """Have PostgreSQL grant the counter more, or make it anew. One process does it at a time, the others wait.

    By the clock of Redis, which decides when a period has ended: hosts' clocks differ. Raises LOST.
    """
    from metering import periods  # which has counters read their terms again

    counter = _look(organization.pk)
    if counter.state == "wait":
        time.sleep(WAIT_SECONDS)
    if counter.state in ("wait", "good"):
        return
    with tenancy.system("renew a request counter"):
        if counter.called_in:
            allotments.settle({(organization.pk, counter.seed): counter.called_in})
        period = periods.ensure(organization=organization, now=organization.rehearsal_now or counter.now)
        quota = _quotas(period.pk).first()
        if counter.state != "empty" or not _extend(organization, counter, quota):
            _make_anew(organization, counter, period, quota)


@dataclass(frozen=True, slots=True)
class _Counter:
    """As LOOK found it; `now` is the time of Redis."""

    state: str
    seed: str
    period: str
    granted: int
    called_in: int
    now: datetime


def _look(organization_id: UUID) -> _Counter:
    key = counter_key(organization_id)
    answer = exchange.run(scripts.LOOK, [key], exchange.RUN, 0)
    if answer[0] == b"lost":
        exchange.reconnect()  # for certainty that it is not this connection which is of yesterday
        answer = exchange.run(scripts.LOOK, [key], exchange.RUN, 1)
    state, seed, period, granted, called_in, seconds, microseconds_ = answer
    now = EPOCH + timedelta(seconds=seconds, microseconds=microseconds_)
    return _Counter(state.decode(), seed.decode(), period.decode(), granted, called_in, now)


def _extend(organization: Organization, counter: _Counter, quota: Quota | None) -> bool:
    """More of the same allotment; False if there is none."""
    if quota is None:
        return False
    grant = allotments.extend(quota=quota, seed=counter.seed, known=counter.granted)
    if grant is None:
        return False
    out = _out_until(grant, counter.now)
    exchange.run(scripts.GRANT, [counter_key(organization.pk)], counter.seed, grant.units, out)
    return True


def _make_anew(
    organization: Organization, counter: _Counter, period: UsagePeriod, quota: Quota | None
) -> None:
    """A counter with an allotment of its own. What the former one gave out is on its way to PostgreSQL."""
    is_same_line = counter.state == "due" and counter.period == period.pk.hex
    line = counter.seed.partition(".")[0] if is_same_line else secrets.token_hex(4)
    seed = f"{line}.{secrets.token_hex(4)}"
    expires_at = counter.now + (REHEARSAL_REFRESH if organization.rehearsal_now else allotments.LIFETIME)
    if not organization.rehearsal_now:
        expires_at = min(expires_at, period.end)
    grant = Grant(allotments.UNLIMITED)
    if quota is not None:
        grant = allotments.begin(quota=quota, seed=seed, valid_until=expires_at)
    is_made = exchange.run_once(
        scripts.SEED,
        [counter_key(organization.pk)],
        period.pk.hex,
        microseconds(period.start),
        quota.used if quota else 0,
        grant.units,
        microseconds(expires_at),
        seed,
        facts_text(period, quota),
        math.ceil((period.end - period.start + KEPT_AFTER_END).total_seconds()),
        exchange.RUN,
        counter.seed,
        0 if grant.units else _out_until(grant, counter.now),
    )
    if not is_made and grant.units > 0:
        allotments.settle({(organization.pk, seed): grant.units})


def _out_until(grant: Grant, now: datetime) -> int:
    """When to ask again, should nothing have been granted: soon, if others hold units, of which some may come back."""
    return microseconds(now) + (ASK_AGAIN_AFTER_US if grant.is_held_elsewhere else MANY_US)


def refresh_on_commit(organization: Organization) -> None:
    """After the transaction, have the next request read period and terms from PostgreSQL again."""
    organization_id = organization.pk
    transaction.on_commit(lambda: refresh(organization_id))


def refresh(organization_id: UUID) -> None:
    """If Redis is lost, the counter reads them when its time is over."""
    try:
        exchange.run(scripts.STALE, [counter_key(organization_id)])
    except LOST as error:
        note_loss(error)


# --- What people see of a counter


def heal(shipped: dict[tuple[UUID, UUID], tuple[int, dict[str, int]]]) -> None:
    """After shipping: {(organization, period): (used by PostgreSQL, {seed: units just written})}."""
    if not shipped:
        return
    commands = [
        exchange.pack_script(
            scripts.HEAL,
            [counter_key(organization_id)],
            period_id.hex,
            used,
            *(part for pair in by_seed.items() for part in pair),
        )
        for (organization_id, period_id), (used, by_seed) in shipped.items()
    ]
    try:
        exchange.send(
            b"".join(commands[:1]), 1, (scripts.HEAL,)
        )  # loads the script, should Redis be a new one
        if commands[1:]:
            exchange.send(b"".join(commands[1:]), len(commands) - 1, (scripts.HEAL,))
    except LOST as error:
        note_loss(error)


def settle(*, known_until: datetime, quiet: timedelta = allotments.QUIET) -> int:
    """The job: bring every counter of an open period to what PostgreSQL knows; answers how many were changed.

    Runs in the system scope. Downwards only what was taken a time of `quiet` before `known_until`, the moment up to
    which every host has shipped what it answered: until then units may be on their way.
    """
    horizon = (known_until - quiet).timestamp()
    changed = 0
    open_quotas = Quota.objects.filter(meter__slug=REQUESTS, is_closed=False).values_list(
        "organization_id", "period_id", "used"
    )
    for organization_id, period_id, used in open_quotas.iterator(chunk_size=1000):
        difference = exchange.run(
            scripts.SETTLE, [counter_key(organization_id)], period_id.hex, used, str(horizon)
        )
        if difference:
            changed += 1
            log.warning("request_counter_settled", organization=str(organization_id), difference=difference)
    return changed


def reclaim(*, known_until: datetime) -> int:
    """The job: units that no request can have any more are free again; answers for how many organizations."""
    freed = allotments.reclaim(known_until=known_until)
    for organization_id in freed:
        refresh(organization_id)
    return len(freed)


# --- Inside


def _quotas(period_id: UUID):  # type: ignore[no-untyped-def]  # the queryset's type is made by the plugin
    return Quota.objects.filter(period_id=period_id, meter__slug=REQUESTS)


def _charge_in_postgres(organization: Organization) -> Charge:
    from metering import periods

    now = datetime.now(UTC)
    with tenancy.system("count a request while Redis is lost"):
        period = periods.ensure(organization=organization, now=organization.rehearsal_now or now)
        quota = _quotas(period.pk).first()
        taken = allotments.take(quota=quota, now=now) if quota else ("", 0)
    seed, used = taken or ("", 0)
    facts = parse_facts(f"{seed}|{facts_text(period, quota)}".encode())
    return Charge(organization.pk, "ok" if taken else "quota", used, facts)
