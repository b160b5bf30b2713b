"""The unit of a request: taken from the counter in Redis, which is renewed when it has nothing left to give out.

Without Redis units are taken in PostgreSQL: exact too, but slower.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from uuid import UUID

from accounts.models import Organization
from metering.admission import allotments, counters, renewal
from metering.admission.charges import Charge, facts_text, parse_facts
from metering.admission.redis_wire import LOST
from metering.models import REQUESTS, Quota, UsagePeriod
from metering.quotas import periods
from superagent.foundation import tenancy

MOST_WAITED_SECONDS = 2
WAIT_SECONDS = 0.005


def charge(*, organization_id: UUID, caller: str, organization: Callable[[], Organization]) -> Charge:
    """Take one unit for a request of `caller` (an API key's or user's id); the verdict may be a refusal.

    `organization` is asked for only when PostgreSQL must be.
    """
    until = time.monotonic() + MOST_WAITED_SECONDS
    while not counters.is_lost() and time.monotonic() < until:
        try:
            if found := counters.take(organization_id=organization_id, caller=caller):
                return found
            renew(organization=organization())
        except LOST as error:
            counters.note_loss(error)
    return _charge_in_postgres(organization())


def renew(*, organization: Organization) -> None:
    """Have PostgreSQL grant the counter more, or rebuild it. One process does it at a time, the others wait.

    By the clock of Redis, which decides when a period has ended: hosts' clocks differ. Raises LOST.
    """
    counter = renewal.look(organization.pk)
    if counter.state == "wait":
        time.sleep(WAIT_SECONDS)
    if counter.state in ("wait", "good"):
        return
    with tenancy.system("renew a request counter"):
        if counter.called_in:
            allotments.settle({(organization.pk, counter.seed): counter.called_in})
        period, quota = _counting_now(organization, counter.now)
        renewal.renew(organization=organization, counter=counter, period=period, quota=quota)


def _charge_in_postgres(organization: Organization) -> Charge:
    now = datetime.now(UTC)
    with tenancy.system("count a request while Redis is lost"):
        period, quota = _counting_now(organization, now)
        taken = allotments.take(quota=quota, now=now) if quota else ("", 0)
    seed, used = taken or ("", 0)
    facts = parse_facts(f"{seed}|{facts_text(period, quota)}".encode())
    return Charge(organization.pk, "ok" if taken else "quota", used, facts)


def _counting_now(organization: Organization, now: datetime) -> tuple[UsagePeriod, Quota | None]:
    """Returns the period in which requests of `now` count, and its request quota, if there is one."""
    period = periods.ensure(organization=organization, now=organization.test_clock_time or now)
    return period, Quota.objects.filter(period_id=period.pk, meter__slug=REQUESTS).first()
