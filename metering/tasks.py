from datetime import timedelta

from celery import Task, shared_task
from django.conf import settings
from django.utils import timezone

from metering.admission import counters
from metering.quotas import alerts, periods
from metering.request_path import backlog, shipping
from metering.usage import partitions, reconciliation
from metering.usage.rollups import HOUR, hour_of
from superagent.foundation import tenancy

RECONCILED_HOURS = 72
"""Older than the longest that a host may keep its spool to itself, younger than what is cheap to read."""


@shared_task
def ship_spool() -> int:
    """Every 2 seconds: what this host's web processes answered, into PostgreSQL."""
    return shipping.ship_all()


@shared_task
def aggregate_usage() -> int:
    """Hourly: reconcile the sums of the last three days with requests and events."""
    shipping.ship_all()
    end = hour_of(timezone.now()) + HOUR
    start = end - timedelta(hours=RECONCILED_HOURS)
    with tenancy.system("reconcile rollups"):
        return reconciliation.reconcile_usage(start=start, end=end) + reconciliation.reconcile_requests(
            start=start, end=end
        )


@shared_task
def reconcile_use() -> int:
    """Daily: reconcile every sum that late events may still change, and what is counted, and billed, of each period."""
    shipping.ship_all()
    now = timezone.now()
    with tenancy.system("reconcile what is counted"):
        repaired = reconciliation.reconcile_days(now=now)
        return repaired + reconciliation.reconcile_quotas(
            now=now, kept_months=settings.REQUEST_RETENTION_MONTHS
        )


@shared_task
def close_periods() -> int:
    """Every minute: close and rate every period that has ended."""
    shipping.ship_all()
    with tenancy.system("close usage periods"):
        return periods.close_due(now=timezone.now())


@shared_task
def warn_of_quotas() -> int:
    """Every 30 seconds: mail what has reached 80 or 100 percent."""
    shipping.ship_all()
    with tenancy.system("quota warnings"):
        return alerts.raise_due(now=timezone.now())


@shared_task
def reconcile_counters() -> int:
    """Every 5 minutes: reconcile the counters in Redis with PostgreSQL, and reclaim units that were lost."""
    shipping.ship_all()
    with tenancy.system("reconcile request counters"):
        known_until = backlog.known_until()
        return counters.reconcile(known_until=known_until) + counters.reclaim(known_until=known_until)


@shared_task(bind=True, max_retries=60, default_retry_delay=600)
def turn_partitions(self: Task) -> int:
    """Daily: the next months' partitions of requests, and away with those that are no longer kept.

    Waits for nobody: while the table is read (a dump takes long), it tries again every ten minutes.
    """
    now = timezone.now()
    try:
        with tenancy.system("partitions of requests"):
            shipping.forget_finished(now=now)
            made = partitions.make_next(now=now)
            return made + partitions.drop_old(now=now, kept_months=settings.REQUEST_RETENTION_MONTHS)
    except partitions.Busy as error:
        raise self.retry(exc=error) from error
