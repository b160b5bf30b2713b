"""Renewing a counter: more of its allotment, or a rebuilt counter with a new allotment.

The caller passes the usage period that counts now, by the clock of Redis, and its quota.
"""

import math
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from accounts.models import Organization
from metering.admission import allotments, redis_wire, scripts
from metering.admission.allotments import Grant
from metering.admission.charges import EPOCH, facts_text, microseconds
from metering.admission.counters import counter_key
from metering.models import Quota, UsagePeriod

TEST_CLOCK_REFRESH = timedelta(seconds=30)
"""Nothing tells Redis that a frozen clock has moved past the period's end."""
KEPT_AFTER_END = timedelta(days=40)
ASK_AGAIN_AFTER_US = 2_000_000
MANY_US = 10**12


@dataclass(frozen=True, slots=True)
class FoundCounter:
    """As LOOK found it; `now` is the time of Redis."""

    state: str
    seed: str
    period: str
    granted: int
    called_in: int
    now: datetime


def look(organization_id: UUID) -> FoundCounter:
    """Returns the counter for the one process that renews it; the others get the state `wait`. Raises LOST."""
    key = counter_key(organization_id)
    answer = redis_wire.run(scripts.LOOK, [key], redis_wire.RUN, 0)
    if answer[0] == b"lost":
        redis_wire.reconnect()  # for certainty that it is not this connection which is of yesterday
        answer = redis_wire.run(scripts.LOOK, [key], redis_wire.RUN, 1)
    state, seed, period, granted, called_in, seconds, microseconds_ = answer
    now = EPOCH + timedelta(seconds=seconds, microseconds=microseconds_)
    return FoundCounter(state.decode(), seed.decode(), period.decode(), granted, called_in, now)


def renew(
    *, organization: Organization, counter: FoundCounter, period: UsagePeriod, quota: Quota | None
) -> None:
    """Have PostgreSQL grant `counter` more of `quota`, or rebuild it for `period`. In the system scope; raises LOST.

    Without a quota units are not limited.
    """
    if counter.state != "empty" or not _extend(organization, counter, quota):
        _rebuild(organization, counter, period, quota)


def _extend(organization: Organization, counter: FoundCounter, quota: Quota | None) -> bool:
    """More of the same allotment; False if there is none."""
    if quota is None:
        return False
    grant = allotments.extend(quota=quota, seed=counter.seed, known=counter.granted)
    if grant is None:
        return False
    out = _out_until(grant, counter.now)
    redis_wire.run(scripts.GRANT, [counter_key(organization.pk)], counter.seed, grant.units, out)
    return True


def _rebuild(
    organization: Organization, counter: FoundCounter, period: UsagePeriod, quota: Quota | None
) -> None:
    """Make a counter with a new allotment. What the former one gave out is on its way to PostgreSQL."""
    is_same_line = counter.state == "due" and counter.period == period.pk.hex
    line = counter.seed.partition(".")[0] if is_same_line else secrets.token_hex(4)
    seed = f"{line}.{secrets.token_hex(4)}"
    expires_at = counter.now + (TEST_CLOCK_REFRESH if organization.test_clock_time else allotments.LIFETIME)
    if not organization.test_clock_time:
        expires_at = min(expires_at, period.end)
    grant = Grant(allotments.UNLIMITED)
    if quota is not None:
        grant = allotments.begin(quota=quota, seed=seed, valid_until=expires_at)
    is_made = redis_wire.run_once(
        scripts.REBUILD,
        [counter_key(organization.pk)],
        period.pk.hex,
        microseconds(period.start),
        quota.used if quota else 0,
        grant.units,
        microseconds(expires_at),
        seed,
        facts_text(period, quota),
        math.ceil((period.end - period.start + KEPT_AFTER_END).total_seconds()),
        redis_wire.RUN,
        counter.seed,
        0 if grant.units else _out_until(grant, counter.now),
    )
    if not is_made and grant.units > 0:
        allotments.settle({(organization.pk, seed): grant.units})


def _out_until(grant: Grant, now: datetime) -> int:
    """Returns when to ask again if nothing was granted: soon if others hold units, some of which may come back."""
    return microseconds(now) + (ASK_AGAIN_AFTER_US if grant.is_held_elsewhere else MANY_US)
