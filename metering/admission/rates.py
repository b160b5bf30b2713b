"""How fast one caller (an API key or a member) may call: a burst, made good at a steady rate (GCRA, in Redis)."""

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
        """As those of a charges.Charge, without a period."""
        return [("RateLimit-Policy", policy()), ("RateLimit", standing(self.calls_left))]

    def check(self) -> None:
        """Raises RateLimited when it came too soon."""
        if self.wait_us:
            raise rate_limited(self.wait_us)


def policy() -> str:
    """For `RateLimit-Policy`: so many calls, which are all there again after so many seconds."""
    window = math.ceil(settings.API_RATE_BURST / settings.API_RATE_PER_SECOND)
    return f'"burst";q={settings.API_RATE_BURST};w={window}'


def standing(calls_left: int) -> str:
    """For `RateLimit`: calls left of the burst, and the seconds until all of it is there again."""
    wait = math.ceil((settings.API_RATE_BURST - calls_left) / settings.API_RATE_PER_SECOND)
    return f'"burst";r={calls_left};t={max(1, wait)}'


def rate_limited(wait_us: int) -> RateLimited:
    return RateLimited(
        "Slow down: wait as long as Retry-After says, then go on.",
        headers={"Retry-After": str(math.ceil(wait_us / 1_000_000) or 1)},
    )


def interval_us() -> int:
    """Between two calls, at the steady rate."""
    return 1_000_000 // settings.API_RATE_PER_SECOND or 1


@lru_cache(maxsize=8192)
def pack_pace(organization_id: UUID, caller: str) -> bytes:
    return redis_wire.pack_script(
        scripts.PACE, [f"{{{organization_id}}}:pace:{caller}"], interval_us(), settings.API_RATE_BURST
    )
