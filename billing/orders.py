"""Orders: what a customer decided to buy at the prices that it was shown, and how it came to be paid."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any

import structlog
from django.db import transaction

from accounts import audit
from accounts.models import Organization, User
from billing import buyers, customers, debts, gateway
from billing.models import BillingAccount, CheckoutSession, Interval, Order, OrderItem, Price, Product
from billing.signals import order_item_paid
from superagent.foundation import outbox, tenancy
from superagent.foundation.problems import FieldError, Invalid, Refusal

BUY_ITEM = "billing.buy_item"
MAX_ITEMS = 10
STALE_AFTER = timedelta(days=2)

log = structlog.get_logger(__name__)


class PriceChanged(Refusal):
    status = HTTPStatus.CONFLICT
    code = "price_changed"
    title = "The total is higher than the most that you agreed to pay"


class PaymentMethodMissing(Refusal):
    status = HTTPStatus.CONFLICT
    code = "payment_method_missing"
    title = "There is no saved card"


class NotPending(Refusal):
    status = HTTPStatus.CONFLICT
    code = "order_not_pending"
    title = "The order does not wait for a payment any more"


@dataclass(frozen=True, slots=True)
class Wanted:
    """One item of a new order."""

    product: str
    options: dict[str, Any] = field(default_factory=dict)


def place(
    *,
    organization: Organization,
    user: User | None,
    items: Sequence[Wanted],
    max_total: int,
    currency: str,
    payment: str,
    now: datetime,
) -> Order:
    """Write the order; only rows. With `saved_card` the outbox pays it, with `checkout` follow with `open_checkout`.

    `max_total` is the most that the customer agreed to, in minor units of `currency`. Raises PriceChanged above it,
    Invalid for unknown products and options, PaymentMethodMissing, debts.PaymentDue, people.EmailNotVerified,
    gateway.ChargingDisabled.
    """
    gateway.require_charging()
    buyers.require_verified(organization=organization, user=user)
    debts.require_none(organization)
    prices = [_price_of(item, currency, index) for index, item in enumerate(items)]
    _check_shape(items, payment)
    total = sum(price.unit_amount for price in prices)
    if total > max_total:
        raise PriceChanged(
            f"The total is {total} {currency} now. Show it to the buyer, then order again with this max_total.",
            total=total,
            currency=currency,
        )
    account = customers.account_of(organization)
    if payment == Order.Payment.SAVED_CARD and not account.has_card:
        raise PaymentMethodMissing("Pay by checkout once; the card is then saved for the next orders.")
    with transaction.atomic():
        order = Order.objects.create(
            organization=organization,
            payment=payment,
            total=total,
            currency=currency,
            placed_by=user,
            created_at=now,
        )
        for wanted, price in zip(items, prices, strict=True):
            _add_item(order, wanted, price, account)
    return order


def _add_item(order: Order, wanted: Wanted, price: Price, account: BillingAccount) -> None:
    item = OrderItem.objects.create(
        organization_id=order.organization_id,
        order=order,
        product=price.product,
        price=price,
        unit_amount=price.unit_amount,
        currency=price.currency,
        options=wanted.options,
        created_at=order.created_at,
    )
    if order.payment == Order.Payment.SAVED_CARD:
        outbox.enqueue(
            topic=BUY_ITEM,
            # Frozen: a repetition under the same key must ask Stripe for the same.
            payload={
                "item": str(item.pk),
                "customer": account.stripe_customer_id,
                "payment_method": account.payment_method_id,
            },
            dedupe_key=f"order_item:{item.pk}",
            organization_id=order.organization_id,
        )


def _price_of(wanted: Wanted, currency: str, index: int) -> Price:
    product = Product.objects.filter(slug=wanted.product, is_active=True, kind=Product.Kind.LICENSE).first()
    if product is None:
        known = ", ".join(
            Product.objects.filter(is_active=True, kind=Product.Kind.LICENSE).values_list("slug", flat=True)
        )
        raise _invalid(
            f"/items/{index}/product",
            "unknown_product",
            f"{wanted.product!r} cannot be ordered. Choose from: {known}. API plans are bought by "
            "billing/create-checkout-session.",
        )
    interval = wanted.options.get("interval", Interval.MONTH)
    if surplus := sorted(set(wanted.options) - {"interval"}):
        raise _invalid(
            f"/items/{index}/options",
            "unknown_option",
            f"Remove {', '.join(surplus)}: only interval is known.",
        )
    price = (
        product.prices.filter(interval=interval, is_active=True).first()
        if isinstance(interval, str)
        else None
    )
    if price is None:
        offered = ", ".join(product.prices.filter(is_active=True).values_list("interval", flat=True))
        raise _invalid(f"/items/{index}/options/interval", "not_for_sale", f"Choose from: {offered}.")
    if price.currency != currency:
        raise _invalid("/currency", "wrong_currency", f"This is sold in {price.currency}.")
    return price


def _check_shape(items: Sequence[Wanted], payment: str) -> None:
    if not 1 <= len(items) <= MAX_ITEMS:
        raise _invalid("/items", "wrong_number", f"Order 1 to {MAX_ITEMS} items.")
    if payment == Order.Payment.CHECKOUT and len(items) > 1:
        raise _invalid(
            "/items",
            "one_at_a_time",
            "Each license is a subscription of its own: order one by checkout at a time, or pay with saved_card.",
        )


def _invalid(pointer: str, code: str, detail: str) -> Invalid:
    return Invalid(f"{pointer.lstrip('/')}: {detail}", errors=[FieldError(pointer, code, detail)])


def buy_item(payload: dict[str, str], *, sent_before: datetime | None = None) -> None:
    """Subscribe to an item with the card that was saved when it was ordered, once: the key is the item's. Calls Stripe.

    `sent_before`: it was sent then, and Stripe may have forgotten the key: it is looked for first. A refusal, by the
    bank or by Stripe, fails the order and says why. Raises gateway.Unavailable and gateway.ChargingDisabled.
    """
    from billing.projection import subscriptions as projection

    with tenancy.system("buy an order item"):
        item = OrderItem.objects.select_related("order", "price", "organization").get(pk=payload["item"])
        if item.status != OrderItem.Status.PENDING:
            return
        gateway.require_charging()
        try:
            subscription = _bought(item, payload["customer"], sent_before) or gateway.call(
                "subscriptions.create",
                key=f"order_item:{item.pk}",
                params={
                    "customer": payload["customer"],
                    "items": [{"price": item.price.stripe_id}],
                    "default_payment_method": payload["payment_method"],
                    "payment_behavior": "error_if_incomplete",
                    "off_session": True,
                    "metadata": metadata_of(item),
                },
            )
        except gateway.Declined as refusal:
            fail(item=item, reason=refusal.detail)
            return
        except gateway.Rejected as refusal:
            log.error("order_item_refused", item=str(item.pk), error=refusal.detail, alarm=True)
            fail(item=item, reason="The saved card cannot be used any more. Order again by checkout.")
            return
        projection.refresh(subscription["id"])


def _bought(item: OrderItem, customer: str, sent_before: datetime | None) -> dict[str, Any] | None:
    if sent_before is None:
        return None
    made = gateway.listed("subscriptions.list", params={"customer": customer, "status": "all"})
    return next((each for each in made if each["metadata"].get("order_item") == str(item.pk)), None)


def metadata_of(item: OrderItem) -> dict[str, str]:
    """What ties Stripe's subscription to the item, for good."""
    return {
        "organization": str(item.organization_id),
        "order": str(item.order_id),
        "order_item": str(item.pk),
    }


def mark_paid(*, item: OrderItem, now: datetime) -> bool:
    """The item's first payment arrived; the order is paid when all its items are. True the first time.

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
    """The item could not be paid: the order has failed, and says why."""
    with transaction.atomic():
        Order.objects.select_for_update().get(pk=item.order_id)
        OrderItem.objects.filter(pk=item.pk, status=OrderItem.Status.PENDING).update(
            status=OrderItem.Status.FAILED
        )
        Order.objects.filter(pk=item.order_id, status=Order.Status.PENDING).update(
            status=Order.Status.FAILED, failure=reason[:300]
        )


def cancel(*, order: Order) -> None:
    """The buyer gave it up before it was paid; its payment page is closed already. Idempotent. Raises NotPending."""
    with transaction.atomic():
        if Order.objects.filter(pk=order.pk, status=Order.Status.PENDING).update(
            status=Order.Status.CANCELED
        ):
            audit.record(action="order.canceled", organization=order.organization, target=order)
        elif Order.objects.get(pk=order.pk).status != Order.Status.CANCELED:
            raise NotPending("It was paid, or has failed or expired: look at it again.")


def expire(order: Order) -> None:
    """Its payment page was left until it expired."""
    Order.objects.filter(pk=order.pk, status=Order.Status.PENDING).update(status=Order.Status.EXPIRED)


def expire_stale(*, now: datetime) -> int:
    """Orders by checkout whose page can no longer be paid: answers how many were expired. `now` is real time."""
    with tenancy.system("expire stale orders"):
        return (
            Order.objects.filter(
                status=Order.Status.PENDING, payment=Order.Payment.CHECKOUT, created_at__lt=now - STALE_AFTER
            )
            .exclude(checkout_sessions__status=CheckoutSession.Status.OPEN)
            .update(status=Order.Status.EXPIRED)
        )
