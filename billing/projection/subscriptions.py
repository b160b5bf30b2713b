"""Subscription projection: API plans, which decide the current plan and the usage periods, and licenses."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from django.db import transaction

from accounts.models import Organization
from billing.catalog import plans
from billing.customers import stripe_customers
from billing.models import BillingAccount, OrderItem, Price, Subscription
from billing.projection import announcements, order_payments, usage_period_sync
from billing.signals import subscription_changed
from billing.stripe import batches, client, fencing, mirror, schedules
from billing.stripe.reading import Json, identifier, moment
from superagent.foundation import clock, outbox, retries

ADOPT_CARD = "billing.adopt_card"
KEEP_ONE = "billing.keep_one_plan"
CHANGED_TO, CHANGED_AT = "changed_to", "changed_at"
"""Metadata on Stripe's subscription, set by the call that changes its price: the price, and when."""
ACT = "act"
"""Metadata: mark of our last call that changed it. A change under the same mark was made at Stripe."""
EXPAND = ["default_payment_method", "discounts", "schedule"]
_WATCHED = ("status", "product_id", "price_id", "current_period_end", "cancel_at_period_end", "cancel_at",
            "ended_at", "pending_price_id")  # fmt: skip


log = structlog.get_logger(__name__)


class UnknownPrice(retries.Permanent):
    """A subscription to a price that is not in our catalog: it was created in Stripe's dashboard."""


@dataclass(frozen=True, slots=True)
class _Before:
    status: str
    period_start: datetime
    watched: tuple[Any, ...]
    told: announcements.Before


@batches.once
def refresh(subscription_id: str) -> Subscription | None:
    """Fetch and apply. Returns None if it is not ours, missing, or the fetch is stale."""
    token = fencing.next_token()
    try:
        fetched = client.call(
            "subscriptions.retrieve",
            subscription_id,
            params={"expand": EXPAND},
        )
    except client.StripeObjectMissing:
        return None
    return apply(fetched, token)


def apply(fetched: Json, token: int) -> Subscription | None:
    """Apply a fetched (or returned) object with its fencing `token`."""
    schedule = schedules.attached(fetched)  # it calls Stripe if the schedule was not expanded
    with transaction.atomic():
        organization = stripe_customers.organization_of(identifier(fetched["customer"]))
        if organization is None:
            return None
        account = BillingAccount.objects.select_for_update().get(organization=organization)
        if not fencing.accept(fetched["id"], token):
            return None
        now = clock.now(organization)
        subscription = Subscription.objects.filter(stripe_id=fetched["id"]).first()
        before = _before(subscription)
        subscription = _write(organization, subscription, fetched, schedule, now)
        _remember_trial(account, subscription)
        _adopt_card(account, fetched)
        if subscription.order_item is not None and subscription.status in (
            Subscription.Status.ACTIVE,
            Subscription.Status.TRIALING,
        ):
            order_payments.mark_paid(item=subscription.order_item, now=now)
        if subscription.plan is not None:
            was_live = before is not None and before.status in Subscription.LIVE
            usage_period_sync.sync_from_subscription(subscription=subscription, was_live=was_live, now=now)
        if before is None or before.watched != _watched(subscription):
            subscription_changed.send(
                sender=Subscription,
                subscription=subscription,
                previous_status=before.status if before else None,
                previous_pending_price=before.told.pending_price if before else None,
                now=now,
            )
        if subscription.plan is not None:
            if subscription.is_live and (before is None or before.status not in Subscription.LIVE):
                outbox.enqueue(topic=KEEP_ONE, payload={}, organization_id=organization.pk)
            since = _in_force_since(subscription, before, fetched, now)
            plans.apply_current_plan(organization=organization, since=since, now=now)
            announcements.tell(subscription=subscription, before=before.told if before else None, token=token)
    mirror.keep(fetched, token)
    return subscription


def _before(subscription: Subscription | None) -> _Before | None:
    if subscription is None:
        return None
    return _Before(
        subscription.status,
        subscription.current_period_start,
        _watched(subscription),
        announcements.Before.of(subscription),
    )


def _watched(subscription: Subscription) -> tuple[Any, ...]:
    return tuple(getattr(subscription, name) for name in _WATCHED)


def _in_force_since(
    subscription: Subscription, before: _Before | None, fetched: Json, now: datetime
) -> datetime:
    """Returns since when the plan is the current one; the webhook may arrive later."""
    if subscription.has_ended:
        return subscription.ended_at or now
    start = subscription.current_period_start
    marks = fetched.get("metadata") or {}
    if marks.get(CHANGED_TO) == subscription.price.stripe_id and str(marks.get(CHANGED_AT)).isdigit():
        changed_at = moment(int(marks[CHANGED_AT]))
        if changed_at >= start:
            return changed_at
    if before is None or before.status not in Subscription.LIVE or before.period_start != start:
        return start
    return now


def _write(
    organization: Organization,
    subscription: Subscription | None,
    fetched: Json,
    schedule: Json | None,
    now: datetime,
) -> Subscription:
    item = fetched["items"]["data"][0]
    price = (
        Price.objects.filter(stripe_id=identifier(item["price"])).select_related("product", "plan").first()
    )
    if price is None:
        raise UnknownPrice(f"{fetched['id']} is for {identifier(item['price'])}, which is not in the catalog")
    subscription = subscription or Subscription(organization=organization, stripe_id=fetched["id"])
    was_past_due = subscription.past_due_since
    subscription.stripe_item_id = item["id"]
    subscription.product, subscription.plan, subscription.price = price.product, price.plan, price
    subscription.order_item = subscription.order_item or _order_item(organization, fetched)
    subscription.status = fetched["status"]
    subscription.interval = price.interval
    subscription.current_period_start = moment(item["current_period_start"])
    subscription.current_period_end = moment(item["current_period_end"])
    subscription.cancel_at_period_end = bool(fetched["cancel_at_period_end"])
    subscription.cancel_at = moment(fetched.get("cancel_at"))
    details = fetched.get("cancellation_details") or {}
    subscription.cancellation_reason = (details.get("comment") or details.get("reason") or "")[:300]
    subscription.ended_for_nonpayment = details.get("reason") == "payment_failed"
    subscription.is_collection_paused = bool(fetched.get("pause_collection"))
    subscription.canceled_at = moment(fetched.get("canceled_at"))
    subscription.ended_at = moment(fetched.get("ended_at"))
    subscription.trial_end = moment(fetched.get("trial_end"))
    subscription.schedule_id = schedule["id"] if schedule else ""
    subscription.pending_price, subscription.pending_at = _pending(fetched, schedule)
    owes = subscription.status in (Subscription.Status.PAST_DUE, Subscription.Status.UNPAID)
    subscription.past_due_since = (was_past_due or now) if owes else None
    subscription.started_at = moment(fetched["start_date"])
    subscription.last_act = (fetched.get("metadata") or {}).get(ACT, "")
    subscription.synced_at = now
    subscription.save()
    return subscription


def _pending(fetched: Json, schedule: Json | None) -> tuple[Price, datetime] | tuple[None, None]:
    planned = schedules.planned(fetched, schedule)
    if planned is None:
        return None, None
    stripe_id, at = planned
    price = Price.objects.filter(stripe_id=stripe_id).first()
    if price is None:
        log.error("planned_price_unknown", subscription=fetched["id"], price=stripe_id, alarm=True)
        return None, None
    return price, at


def _order_item(organization: Organization, fetched: Json) -> OrderItem | None:
    """Returns the item named by our own checkout or purchase; never another organization's."""
    item_id = (fetched.get("metadata") or {}).get("order_item")
    if not item_id:
        return None
    return OrderItem.objects.filter(organization=organization, pk=item_id, subscription__isnull=True).first()


def _remember_trial(account: BillingAccount, subscription: Subscription) -> None:
    if subscription.trial_end is not None and not account.had_trial:
        account.had_trial = True
        account.save(update_fields=["had_trial"])


def _adopt_card(account: BillingAccount, fetched: Json) -> None:
    """Make the card of the first checkout the customer's default, for later orders and subscriptions."""
    method = identifier(fetched.get("default_payment_method"))
    if method and not account.payment_method_id and account.stripe_customer_id:
        outbox.enqueue(
            topic=ADOPT_CARD,
            payload={"customer": account.stripe_customer_id, "payment_method": method},
            dedupe_key=f"adopt_card:{account.stripe_customer_id}:{method}",
            organization_id=account.organization_id,
        )
