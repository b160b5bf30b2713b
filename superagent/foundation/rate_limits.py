"""Rate limits, counted in Redis by the generic cell rate algorithm (GCRA). During a Redis outage they do not apply.

A limit of 600 a minute allows 600 at once and then one every 100 ms; there is no window at whose end twice as many
would be allowed. Each subject is one key, so that this works on a Redis Cluster, too.
"""

import math
from dataclasses import dataclass
from typing import Any

import structlog

from superagent.foundation import redis_client
from superagent.foundation.networks import networks_of

# KEYS: the theoretical arrival time (ms) of one subject. ARGV: quantity, window in ms, units (0: only look).
# Returns {1 if the units fit, how many fit after that, ms until one more fits, ms until all fit}.
_TAKE = """
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + tonumber(clock[2]) / 1000
local interval = tonumber(ARGV[2]) / tonumber(ARGV[1])
local latest = now + tonumber(ARGV[2]) + 0.01
local arrival = tonumber(redis.call('GET', KEYS[1]) or 0)
if arrival < now then arrival = now end
local units = tonumber(ARGV[3])
local fits = arrival + interval * math.max(units, 1) <= latest
if fits and units > 0 then
    arrival = arrival + interval * units
    redis.call('SET', KEYS[1], string.format('%.3f', arrival), 'PX', math.ceil(arrival - now))
end
local left = math.floor((latest - arrival) / interval)
local wait = math.max(0, math.ceil(arrival + interval - latest))
return {fits and 1 or 0, left, wait, math.ceil(arrival - now)}
"""

# Refunds units of something that did not happen. KEYS and ARGV as above.
_GIVE_BACK = """
local arrival = tonumber(redis.call('GET', KEYS[1]) or 0)
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + tonumber(clock[2]) / 1000
arrival = arrival - tonumber(ARGV[2]) / tonumber(ARGV[1]) * tonumber(ARGV[3])
if arrival <= now then
    redis.call('DEL', KEYS[1])
else
    redis.call('SET', KEYS[1], string.format('%.3f', arrival), 'PX', math.ceil(arrival - now))
end
"""

WIDE_FACTOR = 16
"""A /48 of IPv6 may be one caller, or a carrier's subscribers with a /64 each: this many times the limit."""

_FORGET = "return redis.call('DEL', KEYS[1])"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `quantity` in `window_seconds`; `name` identifies it in the RateLimit headers."""

    name: str
    quantity: int
    window_seconds: int = 60


@dataclass(frozen=True, slots=True)
class Use:
    """`units` that `subject` takes from a limit; 0 takes nothing and only checks."""

    limit: Limit
    subject: str
    units: int = 1

    @property
    def key(self) -> str:
        return f"rate:{self.limit.name}:{self.subject}"


@dataclass(frozen=True, slots=True)
class Balance:
    """What is left of a limit after a use, or after its refusal."""

    limit: Limit
    is_allowed: bool
    remaining: int
    wait_seconds: int
    reset_seconds: int

    def headers(self) -> dict[str, str]:
        """Returns `RateLimit` and `RateLimit-Policy` of draft-ietf-httpapi-ratelimit-headers-10."""
        limit = self.limit
        return {
            "RateLimit-Policy": f'"{limit.name}";q={limit.quantity};w={limit.window_seconds}',
            "RateLimit": f'"{limit.name}";r={self.remaining};t={self.reset_seconds}',
        }


def network_uses(limit: Limit, address: str | None, *, units: int = 1) -> list[Use]:
    """Returns the uses of a caller from `address`: of its network, and of the wider one around it."""
    networks = networks_of(address)
    uses = [Use(limit, networks.narrow, units)]
    if networks.wide != networks.narrow:
        wide = Limit(limit.name, limit.quantity * WIDE_FACTOR, limit.window_seconds)
        uses.append(Use(wide, networks.wide, units))
    return uses


def take(*uses: Use) -> list[Balance]:
    """Take each use that fits, in one round trip; each is decided independently. Returns the balances."""
    answers = _run(_TAKE, uses)
    if answers is None:
        return [
            Balance(
                limit=use.limit,
                is_allowed=True,
                remaining=use.limit.quantity,
                wait_seconds=0,
                reset_seconds=0,
            )
            for use in uses
        ]
    return [
        Balance(use.limit, bool(fits), left, _seconds(wait), _seconds(reset))
        for use, (fits, left, wait, reset) in zip(uses, answers, strict=True)
    ]


def give_back(*uses: Use) -> None:
    """Refund uses for something that did not happen, or that was allowed after all."""
    _run(_GIVE_BACK, uses)


def forget(*uses: Use) -> None:
    """Reset the limits of these uses."""
    _run(_FORGET, uses)


def _run(script: str, uses: tuple[Use, ...]) -> list[Any] | None:
    """Returns the result of `script` for each use, in one round trip; None without Redis."""
    try:
        pipe = redis_client.connection().pipeline(transaction=False)
        for use in uses:
            limit = use.limit
            pipe.eval(script, 1, use.key, max(limit.quantity, 1), limit.window_seconds * 1000, use.units)
        return pipe.execute()
    except redis_client.LOST as error:
        log.error("rate_limits_open", alarm=True, limits=[use.limit.name for use in uses], error=str(error))
        return None


def _seconds(milliseconds: int) -> int:
    return math.ceil(milliseconds / 1000)
