from datetime import datetime, timedelta

import structlog
from celery import shared_task
from django.utils import timezone

from accounts.models import Organization
from billing import catalog, customers, gateway, handlers, inbox, one_plan, orders, overage, rehearsals
from billing.projection import customers as customer_projection
from billing.projection import subscriptions as subscription_projection
from superagent.foundation import outbox, tenancy
from superagent.foundation.models import OutboxMessage

assert handlers  # registers what each type of event leads to

KEYS_LIVE = timedelta(hours=23)  # Stripe may forget an idempotency key after 24 hours
RECONCILED = timedelta(days=3)
CAUGHT_UP = timedelta(minutes=15)
PAYMENTS = "payments"  # the queue of what calls Stripe

log = structlog.get_logger(__name__)


@shared_task
def drain_lane(lane: str) -> int:
    return inbox.drain(lane)


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
    return overage.collect(now=timezone.now())


@shared_task
def check_overage() -> int:
    """Daily: for each period, rated = invoiced + adjusted + waived; what differs is an alarm."""
    found = overage.differences()
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


def _sent_before(message: OutboxMessage) -> datetime | None:
    """When it was sent first, if Stripe may have forgotten its key since: then it is looked up before it is sent."""
    first = message.first_sent_at
    return first if first is not None and timezone.now() - first > KEYS_LIVE else None


@outbox.handler(customers.CREATE, queue=PAYMENTS)
def create_customer(message: OutboxMessage) -> None:
    customers.create(message.payload, sent_before=_sent_before(message))


@outbox.handler(customers.UPDATE, queue=PAYMENTS)
def update_customer(message: OutboxMessage) -> None:
    assert message.organization_id is not None  # follow_organization
    customers.update(message.organization_id)


@outbox.handler(catalog.PUSH, queue=PAYMENTS)
def push_catalog(message: OutboxMessage) -> None:
    """Staff changed the catalog: bring Stripe in step."""
    catalog.push()


@outbox.handler(orders.BUY_ITEM, queue=PAYMENTS)
def buy_item(message: OutboxMessage) -> None:
    orders.buy_item(message.payload, sent_before=_sent_before(message))


@outbox.handler(overage.PLACE, queue=PAYMENTS)
def place_overage(message: OutboxMessage) -> None:
    overage.put_on_invoice(message.payload["charge"], sent_before=_sent_before(message))


@outbox.handler(subscription_projection.ADOPT_CARD, queue=PAYMENTS)
def adopt_card(message: OutboxMessage) -> None:
    """Make the card of a first purchase the customer's own; one that is gone again is no matter."""
    customer = message.payload["customer"]
    try:
        gateway.call(
            "customers.update",
            customer,
            params={"invoice_settings": {"default_payment_method": message.payload["payment_method"]}},
        )
    except gateway.Rejected:
        return
    customer_projection.refresh(customer)


@outbox.handler(subscription_projection.KEEP_ONE, queue=PAYMENTS)
def keep_one_plan(message: OutboxMessage) -> None:
    assert message.organization_id is not None  # written with it
    one_plan.keep_one(Organization.objects.get(pk=message.organization_id))


@outbox.handler(rehearsals.ADVANCE, queue=PAYMENTS)
def advance_rehearsal(message: OutboxMessage) -> None:
    """Steps for a minute, then hands on to a message of its own, so that no lease runs out."""
    with tenancy.system("rehearsal"):
        rehearsals.go_on(organization_id=message.payload["organization"], to=message.payload["to"])
