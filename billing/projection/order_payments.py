"""Apply a payment's result to its order: paid, failed, or expired with its checkout session."""

from datetime import datetime

from django.db import transaction

from billing.models import Order, OrderItem
from billing.signals import order_item_paid


def mark_paid(*, item: OrderItem, now: datetime) -> bool:
    """Mark an item paid, and the order when all its items are. Returns True the first time.

    Call it in a transaction; sends `order_item_paid` in it.
    """
    order = Order.objects.select_for_update().get(pk=item.order_id)
    claimed = (
        OrderItem.objects.filter(pk=item.pk)
        .exclude(status=OrderItem.Status.PAID)
        .update(status=OrderItem.Status.PAID, paid_at=now)
    )
    if not claimed:
        return False
    item.refresh_from_db()
    if not order.items.exclude(status=OrderItem.Status.PAID).exists():
        Order.objects.filter(pk=order.pk).update(status=Order.Status.PAID, paid_at=now, failure="")
    order_item_paid.send(sender=OrderItem, item=item, now=now)
    return True


def fail(*, item: OrderItem, reason: str) -> None:
    """Mark the order failed, with the reason."""
    with transaction.atomic():
        Order.objects.select_for_update().get(pk=item.order_id)
        OrderItem.objects.filter(pk=item.pk, status=OrderItem.Status.PENDING).update(
            status=OrderItem.Status.FAILED
        )
        Order.objects.filter(pk=item.order_id, status=Order.Status.PENDING).update(
            status=Order.Status.FAILED, failure=reason[:300]
        )


def expire(order: Order) -> None:
    """Mark the order expired, with its checkout session."""
    Order.objects.filter(pk=order.pk, status=Order.Status.PENDING).update(status=Order.Status.EXPIRED)
