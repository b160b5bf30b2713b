"""Orders: purchases at the prices that the customer was shown, paid by saved card or checkout."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any

from django.db import transaction

from accounts import audit
from accounts.models import Organization, User
from billing.customers import stripe_customers
from billing.models import BillingAccount, CheckoutSession, Interval, Order, OrderItem, Price, Product
from billing.selling import debts, purchase_checks
from billing.stripe import client
from superagent.foundation import outbox, tenancy
from superagent.foundation.problems import Invalid, Refusal

BUY_ITEM = "billing.buy_item"
MAX_ITEMS = 10
STALE_AFTER = timedelta(days=2)


class PriceChanged(Refusal):
    status = HTTPStatus.CONFLICT
    code = "price_changed"
    title = "The total is higher than max_total"


class PaymentMethodMissing(Refusal):
    status = HTTPStatus.CONFLICT
    code = "payment_method_missing"
    title = "There is no saved card"


class NotPending(Refusal):
    status = HTTPStatus.CONFLICT
    code = "order_not_pending"
    title = "The order is no longer pending"


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
    """Create the order, rows only. With `saved_card` the outbox pays it; with `checkout` call `open_checkout` next.

    `max_total` is the most that the customer agreed to, in minor units of `currency`. Raises PriceChanged above it,
    Invalid for unknown products and options, PaymentMethodMissing, debts.PaymentDue, people.EmailNotVerified,
    client.ChargingDisabled.
    """
    client.require_charging()
    purchase_checks.require_verified_email(organization=organization, user=user)
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
    account = stripe_customers.account_of(organization)
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
            # Fixed now: a retry under the same key must send Stripe the same parameters.
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
        raise Invalid.field(
            f"/items/{index}/product",
            "unknown_product",
            f"{wanted.product!r} cannot be ordered. Choose from: {known}. API plans are bought by "
            "billing/create-checkout-session.",
        )
    interval = wanted.options.get("interval", Interval.MONTH)
    if surplus := sorted(set(wanted.options) - {"interval"}):
        raise Invalid.field(
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
        raise Invalid.field(f"/items/{index}/options/interval", "not_for_sale", f"Choose from: {offered}.")
    if price.currency != currency:
        raise Invalid.field("/currency", "wrong_currency", f"This is sold in {price.currency}.")
    return price


def _check_shape(items: Sequence[Wanted], payment: str) -> None:
    if not 1 <= len(items) <= MAX_ITEMS:
        raise Invalid.field("/items", "wrong_number", f"Order 1 to {MAX_ITEMS} items.")
    if payment == Order.Payment.CHECKOUT and len(items) > 1:
        raise Invalid.field(
            "/items",
            "one_at_a_time",
            "Each license is a subscription of its own: order one by checkout at a time, or pay with saved_card.",
        )


def metadata_of(item: OrderItem) -> dict[str, str]:
    """Returns the metadata that links Stripe's subscription to the item."""
    return {
        "organization": str(item.organization_id),
        "order": str(item.order_id),
        "order_item": str(item.pk),
    }


def cancel(*, order: Order) -> None:
    """Cancel an unpaid order whose checkout session is expired already. Idempotent. Raises NotPending."""
    with transaction.atomic():
        if Order.objects.filter(pk=order.pk, status=Order.Status.PENDING).update(
            status=Order.Status.CANCELED
        ):
            audit.record(action="order.canceled", organization=order.organization, target=order)
        elif Order.objects.get(pk=order.pk).status != Order.Status.CANCELED:
            raise NotPending("It was paid, failed or expired. Load it again.")


def expire_stale(*, now: datetime) -> int:
    """Expire orders whose checkout session can no longer be paid. Returns their number. `now` is real time."""
    with tenancy.system("expire stale orders"):
        return (
            Order.objects.filter(
                status=Order.Status.PENDING, payment=Order.Payment.CHECKOUT, created_at__lt=now - STALE_AFTER
            )
            .exclude(checkout_sessions__status=CheckoutSession.Status.OPEN)
            .update(status=Order.Status.EXPIRED)
        )
