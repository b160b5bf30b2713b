"""The verdict on one request: whether it has its unit, from which allotment, and the rate limit headers."""

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from uuid import UUID

from metering.admission import rates
from metering.models import REQUESTS, Quota, UsagePeriod
from superagent.foundation.problems import Refusal

CLOCKS_DIFFER_US = 60_000_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class QuotaExceeded(Refusal):
    status = 429
    code = "quota_exceeded"
    title = "Not enough of the quota is left"  # nothing, or less than was asked for


@dataclass(frozen=True, slots=True)
class Facts:
    """What stays the same from request to request: the allotment, period and terms of a unit.

    `seed` names the allotment; it is empty where units are not limited and Redis was lost.
    """

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
        """Returns `moment_us`, moved into the period in which the unit was taken: clocks differ, and a request that
        began before the period may be counted in it. A moment further away (a deleted test clock) is kept."""
        inside = min(max(moment_us, self.start_us), self.end_us - 1)
        return inside if abs(inside - moment_us) < CLOCKS_DIFFER_US else moment_us


@dataclass(frozen=True, slots=True)
class Charge:
    organization_id: UUID
    verdict: str
    used: int
    facts: Facts
    burst_left: int = 0
    wait_us: int = 0

    @property
    def is_taken(self) -> bool:
        return self.verdict == "ok"

    def headers(self, now_seconds: float) -> list[tuple[str, str]]:
        """`RateLimit` and `RateLimit-Policy` of draft-ietf-httpapi-ratelimit-headers-10."""
        facts = self.facts
        burst = rates.standing(self.burst_left)
        if facts.included is None:
            return [("RateLimit-Policy", facts.policy), ("RateLimit", burst)]
        # A refusal may come before everything is known to be used: what a lost counter held is not given out again.
        left = 0 if self.verdict == "quota" else max(0, facts.included - self.used)
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
    """Returns the refusal of `requested` units of `meter` (`counted`: its units in words)."""
    until = f"{resets_at:%Y-%m-%d %H:%M:%S} UTC"
    if remaining:
        detail = f"{requested:,} {counted} were requested; {remaining:,} of {limit:,} remain until {until}."
    else:
        detail = f"All {limit:,} {counted} of the usage period are used. The quota resets at {until}."
    wait = max(1, math.ceil(resets_at.timestamp() - now_seconds))
    return QuotaExceeded(
        f"{detail} Upgrade to continue now.",
        headers={"Retry-After": str(wait)},
        meter=meter,
        requested=requested,
        remaining=remaining,
        limit=limit,
        resets_at=resets_at.isoformat().replace("+00:00", "Z"),
    )


@lru_cache(maxsize=8192)
def parse_facts(text: bytes) -> Facts:
    """Parses what `facts_text` made, with the seed and a bar before it."""
    seed, period, start, end, included, is_hard = text.decode().split("|")
    limit = int(included) if included else None
    burst = rates.policy()
    window = math.ceil((int(end) - int(start)) / 1_000_000)
    policy = burst if limit is None else f'"period";q={limit};w={window}, {burst}'
    return Facts(seed, UUID(period), int(start), int(end), limit, is_hard == "1", policy)


def facts_text(period: UsagePeriod, quota: Quota | None) -> str:
    included = "" if quota is None or quota.included is None else quota.included
    is_hard = int(bool(quota and quota.is_hard))
    return f"{period.pk.hex}|{microseconds(period.start)}|{microseconds(period.end)}|{included}|{is_hard}"


def microseconds(moment: datetime) -> int:
    """Of unix time."""
    return (moment - EPOCH) // timedelta.resolution
