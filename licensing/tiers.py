"""Changing the tier of a license: preview and change, both made by billing.

Possible only if a subscription pays for the license and staff have not suspended it: nothing is charged for a suspended
license, so a larger tier would be free.
"""

from datetime import datetime
from http import HTTPStatus

from accounts.models import User
from billing.models import Price, Subscription
from billing.selling import subscriptions
from billing.selling.changes import Preview
from licensing import offers
from licensing.models import License
from superagent.foundation.problems import Invalid, Refusal


class NotPaidFor(Refusal):
    """Staff issued the license without an order."""

    status = HTTPStatus.CONFLICT
    code = "license_without_subscription"
    title = "No subscription pays for this license"


class Held(Refusal):
    status = HTTPStatus.CONFLICT
    code = "license_suspended"
    title = "This license is suspended by our staff"


def price_of(*, license_: License, product: str, interval: str | None) -> Price:
    """Returns the price of a tier on sale; without `interval`, for the current one.

    Raises Invalid, which lists the tiers on sale, and NotPaidFor.
    """
    price = offers.price_of(product, interval or _subscription(license_).interval)
    if price is None:
        names = ", ".join(offer.slug for offer in offers.license_offers())
        detail = f"There is no tier {product!r} for this interval. Choose from: {names}."
        raise Invalid.field("/product", "unknown_product", detail)
    return price


def preview(*, license_: License, price: Price, now: datetime) -> Preview:
    """Returns what `change` would do. Raises NotPaidFor, Held, and what `subscriptions.preview` does."""
    return subscriptions.preview(subscription=_changeable(license_), price=price, now=now)


def change(
    *,
    license_: License,
    price: Price,
    user: User | None,
    previewed_at: datetime | None,
    max_amount_due: int | None,
    now: datetime,
) -> Preview:
    """Change the tier: to a larger one immediately, to a smaller one when the paid period ends.

    Raises NotPaidFor, Held, and what `subscriptions.change` does.
    """
    return subscriptions.change(
        subscription=_changeable(license_),
        price=price,
        user=user,
        previewed_at=previewed_at,
        max_amount_due=max_amount_due,
        now=now,
    )


def _changeable(license_: License) -> Subscription:
    subscription = _subscription(license_)
    if license_.is_held_by_staff or subscription.is_collection_paused:
        raise Held(
            "Its tier cannot be changed while it is suspended. Write to support to have the suspension lifted."
        )
    return subscription


def _subscription(license_: License) -> Subscription:
    found: Subscription | None = getattr(license_.order_item, "subscription", None)
    if found is None:
        raise NotPaidFor(
            "It was issued without an order. Buy a license of the tier that you want, or write to support."
        )
    return found
