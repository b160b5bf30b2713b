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
    """Every 10 seconds: events that a lost nudge or a killed worker left."""
    return inbox.sweep()


@shared_task
def catch_up_webhooks() -> int:
    """Every five minutes: the latest events, in case that deliveries do not reach us."""
    return inbox.fetch_missing(since=timezone.now() - CAUGHT_UP)


@shared_task
def reconcile_webhooks() -> int:
    """Nightly: events of the last three days that never arrived, and dead ones once more."""
    since = timezone.now() - RECONCILED
    found, revived = inbox.fetch_missing(since=since), inbox.revive(since=since)
    if found or revived:
        log.warning("webhooks_were_missing", found=found, revived=revived)
    return found


@shared_task
def forget_webhooks() -> int:
    """Daily: events that were settled and that Stripe does not know any more."""
    return inbox.forget_old(now=timezone.now())


@shared_task
def sweep_payments() -> int:
    """Every 15 seconds: what a lost nudge or a killed worker left of the messages that call Stripe."""
    return outbox.sweep(queue=PAYMENTS)


@shared_task
def collect_overage() -> int:
    """Hourly, the invoice job: every closed period is charged, every charge finds its invoice, missed runs heal."""
    return charges.collect(now=timezone.now())


@shared_task
def check_overage() -> int:
    """Daily: for each period, rated = invoiced + adjusted + waived; what differs is an alarm."""
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
    """Hourly: orders whose payment page was left."""
    return orders.expire_stale(now=timezone.now())
