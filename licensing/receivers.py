"""Receivers of billing's signals: each makes one idempotent call that only writes rows."""

from datetime import datetime
from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.dispatch import receiver

from billing.models import OrderItem, Payment, Price, Subscription
from billing.signals import order_item_paid, payment_refunded, subscription_changed
from licensing import policies, subscriptions
from superagent.foundation import tenancy


@receiver(order_item_paid)
def issue_license(*, item: OrderItem, now: datetime, **kwargs: Any) -> None:
    subscriptions.issue_when_paid(item=item, now=now)


@receiver(subscription_changed)
def follow_subscription(
    *, subscription: Subscription, previous_status: str | None, now: datetime, **kwargs: Any
) -> None:
    subscriptions.sync(subscription=subscription, previous_status=previous_status, now=now)


@receiver(subscription_changed)
def tell_of_coming_change(
    *, subscription: Subscription, previous_pending_price: Price | None, **kwargs: Any
) -> None:
    subscriptions.tell_of_coming(subscription=subscription, previous=previous_pending_price)


@receiver(payment_refunded)
def revoke_refunded(*, payment: Payment, now: datetime, **kwargs: Any) -> None:
    subscriptions.refunded(payment=payment, now=now)


@receiver(post_migrate)
def seed_policies(*, app_config: AppConfig, **_: Any) -> None:
    """Create the policies of the shipped products."""
    if app_config.label == "licensing":
        with tenancy.system("seed license policies"):
            policies.seed()
