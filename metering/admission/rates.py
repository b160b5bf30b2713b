"""Rate limits of one caller (an API key or a member): a burst, refilled at a steady rate (GCRA, in Redis)."""

import math
from dataclasses import dataclass
from functools import lru_cache
from uuid import UUID

from django.conf import settings

from metering.admission import redis_wire, scripts
from superagent.foundation.problems import Refusal


class RateLimited(Refusal):
    status = 429
    code = "rate_limited"
    title = "Too many requests at once"


@dataclass(frozen=True, slots=True)
class Pace:
    """The verdict on the rate of a request that the quota does not count."""

    calls_left: int
    wait_us: int

    def headers(self, now_seconds: float) -> list[tuple[str, str]]:
        """Returns the headers of charges.Charge, without a period."""
        return [("RateLimit-Policy", policy()), ("RateLimit", standing(self.calls_left))]

    def check(self) -> None:
        """Raises RateLimited if the request came too soon."""
        if self.wait_us:
            raise rate_limited(self.wait_us)


def policy() -> str:
    """Returns `RateLimit-Policy`: the burst and the seconds in which it is refilled."""
    window = math.ceil(settings.API_RATE_BURST / settings.API_RATE_PER_SECOND)
    return f'"burst";q={settings.API_RATE_BURST};w={window}'


def standing(calls_left: int) -> str:
    """Returns `RateLimit`: calls left of the burst and the seconds until it is full again."""
    wait = math.ceil((settings.API_RATE_BURST - calls_left) / settings.API_RATE_PER_SECOND)
    return f'"burst";r={calls_left};t={max(1, wait)}'


def rate_limited(wait_us: int) -> RateLimited:
    return RateLimited(
        "Too many requests. Wait for the number of seconds in Retry-After, then retry.",
        headers={"Retry-After": str(math.ceil(wait_us / 1_000_000) or 1)},
    )


def interval_us() -> int:
    """Returns the time between two calls at the steady rate."""
    return 1_000_000 // settings.API_RATE_PER_SECOND or 1


@lru_cache(maxsize=8192)
def pack_pace(organization_id: UUID, caller: str) -> bytes:
    return redis_wire.pack_script(
        scripts.PACE, [f"{{{organization_id}}}:pace:{caller}"], interval_us(), settings.API_RATE_BURST
    )
