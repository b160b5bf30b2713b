"""The counters of the request quota: taken in Redis, known to PostgreSQL a few seconds later, exact together.

A request takes its unit before it runs, by one script that also limits the rate. Answers that do not count give it
back. The spool brings every answered request to PostgreSQL (`Quota.used`); each time that happens the counter in Redis
is lifted to at least what PostgreSQL knows. A counter that is missing is made from PostgreSQL, after the spool of this
host was shipped. While Redis is lost, units are taken in PostgreSQL by a conditional update: exact, but slower; rates
are not limited then, and the log says so.
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
from django.db.models import F, Q

from accounts.models import Organization
from metering import exchange, rates, scripts
from metering.exchange import LOST
from metering.models import REQUESTS, Quota, UsagePeriod
from metering.rates import Pace
from superagent.foundation import tenancy
from superagent.foundation.problems import Refusal

RETRY_REDIS_AFTER_SECONDS = 2
REHEARSAL_REFRESH_SECONDS = 30  # nothing tells Redis that a frozen clock has moved past the end of the period
KEPT_AFTER_END = timedelta(days=40)
QUIET_SECONDS = 1200  # longer than the longest request, a stream of 15 minutes
MOST_SHIPPING_SECONDS = 0.5  # of a request that finds no counter
CLOCKS_DIFFER_US = 60_000_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ATTEMPTS = 5
LEASE_RESERVE = 5_000  # fewer units of a hard quota than these are given out one by one

log = structlog.get_logger(__name__)


class QuotaExceeded(Refusal):
    status = 429
    code = "quota_exceeded"
    title = "The quota of the usage period is used up"


@dataclass(frozen=True, slots=True)
class Facts:
    """What does not change from request to request: of which counter, period and terms a unit was taken."""

    seed: str
    period_id: UUID
    start_us: int
    end_us: int
    included: int | None
    is_hard: bool
    policy: str

    @property
    def resets_at(self) -> datetime:
        return EPOCH + timedelta(microseconds=self.end_us)

    def within(self, moment_us: int) -> int:
        """`moment_us`, put inside the period in which the unit was taken: clocks differ, and a request that began
        before the turn may be counted after it. What is further away (a rehearsal that ended) stays where it is."""
        inside = min(max(moment_us, self.start_us), self.end_us - 1)
        return inside if abs(inside - moment_us) < CLOCKS_DIFFER_US else moment_us


@dataclass(frozen=True, slots=True)
class Charge:
    """The verdict on one request. `seed` is empty when the unit was taken in PostgreSQL."""

    organization_id: UUID
    verdict: str
    used: int
    facts: Facts
    burst_left: int = 0
    wait_us: int = 0
    units: int = 1

    def earlier(self, units: int) -> "Charge":
        """The first charge of those that were taken together, when `units` came after it."""
        return Charge(
            self.organization_id, self.verdict, self.used - units, self.facts, self.burst_left + units
        )

    @property
    def is_taken(self) -> bool:
        return self.verdict == "ok"

    def headers(self, now_seconds: float) -> list[tuple[str, str]]:
        """`RateLimit` and `RateLimit-Policy` of draft-ietf-httpapi-ratelimit-headers-10."""
        facts = self.facts
        burst = rates.standing(self.burst_left)
        if facts.included is None:
            return [("RateLimit-Policy", facts.policy), ("RateLimit", burst)]
        left = max(0, facts.included - self.used)
        reset = max(0, math.ceil(facts.end_us / 1_000_000 - now_seconds))
        return [("RateLimit-Policy", facts.policy), ("RateLimit", f'"period";r={left};t={reset}, {burst}')]

    def check(self, now_seconds: float) -> None:
        """Raises QuotaExceeded or RateLimited when the unit was refused."""
        if self.verdict == "quota":
            raise quota_exceeded(
                meter=REQUESTS,
                counted="API requests",
                requested=1,
                remaining=0,
                limit=self.facts.included,
                resets_at=self.facts.resets_at,
                now_seconds=now_seconds,
            )
        if self.verdict == "rate":
            raise rates.rate_limited(self.wait_us)


def quota_exceeded(
    *,
    meter: str,
    counted: str,
    requested: int,
    remaining: int,
    limit: int | None,
    resets_at: datetime,
    now_seconds: float,
) -> QuotaExceeded:
    """What was asked of `meter` (`counted`: its units in words), and what remains until when."""
    until = f"{resets_at:%Y-%m-%d %H:%M:%S} UTC"
    if remaining:
        detail = f"{requested:,} {counted} were requested; {remaining:,} of {limit:,} remain until {until}."
    else:
        detail = f"All {limit:,} {counted} of the usage period are used. The quota resets at {until}."
    wait = max(1, math.ceil(resets_at.timestamp() - now_seconds))
    return QuotaExceeded(
        f"{detail} A larger plan raises the limit at once.",
        headers={"Retry-After": str(wait)},
        meter=meter,
        requested=requested,
        remaining=remaining,
        limit=limit,
        resets_at=resets_at.isoformat().replace("+00:00", "Z"),
    )


# --- Taking and giving back

_lost_until = 0.0
_untrusted: set[UUID] = set()  # organizations that this process counted in PostgreSQL while Redis was lost


def counter_key(organization_id: UUID) -> str:
    return f"{{{organization_id}}}:requests"


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
    for _ in range(ATTEMPTS):
        if is_lost():
            break
        try:
            if organization_id in _untrusted:
                seed(organization=organization())
            answer = exchange.send(pack_charge(organization_id, caller), 1, (scripts.CHARGE,))[0]
            if found := verdict(organization_id, answer):
                return found
            seed(organization=organization())
        except LOST as error:
            note_loss(error)
            break
    return _charge_in_postgres(organization())


def verdict(organization_id: UUID, answer: Sequence[Any]) -> Charge | None:
    """What CHARGE answered; None when PostgreSQL must be asked for period and terms first."""
    if answer[0] == b"ask":
        return None
    name, used, facts, left, wait, units = answer
    return Charge(organization_id, name.decode(), used, parse_facts(facts), left, wait, units)


def is_lost() -> bool:
    return time.monotonic() < _lost_until


def is_trusted(organization_id: UUID) -> bool:
    """False while Redis is lost, and until the counter was made anew after that."""
    return not is_lost() and organization_id not in _untrusted


def note_loss(error: Exception) -> None:
    """Leave Redis alone for two seconds; said aloud each time, because rates are not limited meanwhile."""
    global _lost_until
    _lost_until = time.monotonic() + RETRY_REDIS_AFTER_SECONDS
    log.error("redis_lost", alarm=True, effect="quotas by PostgreSQL, rates unlimited", error=str(error))


def refund(taken: Charge) -> None:
    """Give the unit of an answer that does not count back. A lost Redis forgets it; the next settlement finds it."""
    if not taken.is_taken:
        return
    if not taken.facts.seed:
        with tenancy.system("give a request unit back"):
            _quotas(taken.facts.period_id).filter(used__gt=0, is_closed=False).update(used=F("used") - 1)
        return
    try:
        exchange.run(scripts.REFUND, [counter_key(taken.organization_id)], taken.facts.seed, 1)
    except LOST as error:
        note_loss(error)


def take(*, organization_id: UUID, period_id: UUID, quantities: Sequence[int]) -> list[bool] | None:
    """Take each of `quantities` that fits, in order; None when Redis counts another period or is lost: PostgreSQL
    alone decides then."""
    try:
        flags = exchange.run(scripts.TAKE, [counter_key(organization_id)], period_id.hex, *quantities)
    except LOST as error:
        note_loss(error)
        return None
    return None if flags is None else [flag == 1 for flag in flags]


def adjust(*, organization_id: UUID, period_id: UUID, difference: int) -> None:
    """Add `difference` to the counter, if it counts this period."""
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


# --- Keeping Redis and PostgreSQL together


def seed(*, organization: Organization) -> None:
    """Make the counter from PostgreSQL; one of the same period keeps what it counted. Raises LOST.

    By the clock of Redis, which decides when the period has ended: hosts' clocks differ.
    """
    from metering import periods, shipping  # the spool counts by this module's scripts, periods refresh by it

    key = counter_key(organization.pk)
    with tenancy.system("make a request counter"):
        is_known, seconds, microseconds = exchange.run(scripts.LOOK, [key], exchange.RUN)
        if not is_known or organization.pk in _untrusted:
            # What this host has answered, but PostgreSQL does not know yet; the rest is added when it is shipped.
            shipping.ship_all(most_seconds=MOST_SHIPPING_SECONDS)
        real_now = EPOCH + timedelta(seconds=seconds, microseconds=microseconds)
        period = periods.ensure(organization=organization, now=organization.rehearsal_now or real_now)
        quota = _quotas(period.pk).first()
        expires_at = period.end
        if organization.rehearsal_now:
            expires_at = real_now + timedelta(seconds=REHEARSAL_REFRESH_SECONDS)
        exchange.run(
            scripts.SEED,
            [key],
            period.pk.hex,
            _microseconds(period.start),
            quota.used if quota else 0,
            quota.included if quota and quota.is_hard and quota.included is not None else -1,
            _microseconds(expires_at),
            secrets.token_hex(4),
            _static_facts(period, quota),
            math.ceil((period.end - period.start + KEPT_AFTER_END).total_seconds()),
            exchange.RUN,
        )
    _untrusted.discard(organization.pk)


def refresh_on_commit(organization: Organization) -> None:
    """After the transaction, have the next request read period and terms from PostgreSQL again."""
    organization_id = organization.pk
    transaction.on_commit(lambda: refresh(organization_id))


def refresh(organization_id: UUID) -> None:
    try:
        exchange.run(scripts.STALE, [counter_key(organization_id)])
    except LOST as error:
        note_loss(error)
        _untrusted.add(organization_id)


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


def settle(*, known_until: datetime, quiet_seconds: int = QUIET_SECONDS) -> int:
    """The job: bring every counter of an open period to what PostgreSQL knows; answers how many were changed.

    Runs in the system scope. Downwards only what was taken `quiet_seconds` before `known_until`, the moment up to which
    every host has shipped what it answered: until then units may be on their way.
    """
    horizon = known_until.timestamp() - quiet_seconds
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


# --- Inside


@lru_cache(maxsize=8192)
def parse_facts(text: bytes) -> Facts:
    seed_name, period, start, end, included, is_hard = text.decode().split("|")
    limit = int(included) if included else None
    burst = rates.policy()
    window = math.ceil((int(end) - int(start)) / 1_000_000)
    policy = burst if limit is None else f'"period";q={limit};w={window}, {burst}'
    return Facts(seed_name, UUID(period), int(start), int(end), limit, is_hard == "1", policy)


def _static_facts(period: UsagePeriod, quota: Quota | None) -> str:
    included = "" if quota is None or quota.included is None else quota.included
    is_hard = int(bool(quota and quota.is_hard))
    return f"{period.pk.hex}|{_microseconds(period.start)}|{_microseconds(period.end)}|{included}|{is_hard}"


def _microseconds(moment: datetime) -> int:
    """Of unix time."""
    return (moment - EPOCH) // timedelta.resolution


def _quotas(period_id: UUID):  # type: ignore[no-untyped-def]  # the queryset's type is made by the plugin
    return Quota.objects.filter(period_id=period_id, meter__slug=REQUESTS)


def _charge_in_postgres(organization: Organization) -> Charge:
    from metering import periods, shipping

    now = organization.rehearsal_now or datetime.now(UTC)
    with tenancy.system("count a request while Redis is lost"):
        if organization.pk not in _untrusted:
            _untrusted.add(organization.pk)
            shipping.ship_all(most_seconds=MOST_SHIPPING_SECONDS)
        period = periods.ensure(organization=organization, now=now)
        is_free = Q(included__isnull=True) | Q(is_hard=False) | Q(used__lt=F("included"))
        taken = _quotas(period.pk).filter(is_free).update(used=F("used") + 1)
        quota = _quotas(period.pk).first()
    facts = parse_facts(f"|{_static_facts(period, quota)}".encode())
    verdict = "ok" if taken or quota is None else "quota"
    return Charge(organization.pk, verdict, quota.used if quota else 0, facts)
