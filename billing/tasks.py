from datetime import timedelta

import structlog
from celery import shared_task
from django.utils import timezone

from billing.outbox_handlers import PAYMENTS
from billing.overage import charges
from billing.selling import orders
from billing.stripe import inbox
from superagent.foundation import outbox

RECONCILED = timedelta(days=3)
CAUGHT_UP = timedelta(minutes=15)

log = structlog.get_logger(__name__)


@shared_task
def process_webhooks(partition_key: str) -> int:
    return inbox.process_queue(partition_key)


@shared_task
def sweep_webhooks() -> int:
    """Every 10 seconds: process events left by a lost nudge or a killed worker."""
    return inbox.sweep()


@shared_task
def catch_up_webhooks() -> int:
    """Every five minutes: fetch the latest events, in case deliveries do not arrive."""
    return inbox.fetch_missing(since=timezone.now() - CAUGHT_UP)


@shared_task
def reconcile_webhooks() -> int:
    """Nightly: fetch events of the last three days that never arrived, and requeue their dead letters."""
    since = timezone.now() - RECONCILED
    found, revived = inbox.fetch_missing(since=since), inbox.revive(since=since)
    if found or revived:
        log.warning("webhooks_were_missing", found=found, revived=revived)
    return found


@shared_task
def forget_webhooks() -> int:
    """Daily: delete processed events that Stripe no longer lists."""
    return inbox.forget_old(now=timezone.now())


@shared_task
def sweep_payments() -> int:
    """Every 15 seconds: deliver messages to Stripe left by a lost nudge or a killed worker."""
    return outbox.sweep(queue=PAYMENTS)


@shared_task
def collect_overage() -> int:
    """Hourly: charge every closed period and invoice every pending charge, including those of missed runs."""
    return charges.collect(now=timezone.now())


@shared_task
def check_overage() -> int:
    """Daily: check rated = invoiced + waived for each period; a difference raises an alarm."""
    found = charges.differences()
    for difference in found:
        log.error(
            "overage_differs",
            alarm=True,
            period=str(difference.period_id),
            rated=difference.rated,
            charged=difference.charged,
        )
    return len(found)


@shared_task
def expire_orders() -> int:
    """Hourly: expire orders whose checkout session was abandoned."""
    return orders.expire_stale(now=timezone.now())
