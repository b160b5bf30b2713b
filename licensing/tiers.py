"""Another tier of a license: what it would cost, and the change, which is billing's.

Only of a license that a subscription pays for and that is not held: while staff hold one nothing is charged for it, so
a larger tier would be had for nothing.
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
    """It was issued by staff, without an order."""

    status = HTTPStatus.CONFLICT
    code = "license_without_subscription"
    title = "No subscription pays for this license"


class Held(Refusal):
    status = HTTPStatus.CONFLICT
    code = "license_suspended"
    title = "This license is suspended by our staff"


def price_of(*, license_: License, product: str, interval: str | None) -> Price:
    """The price of a tier on sale; without an `interval`, for the one that is paid now.

    Raises Invalid, which names the tiers there are, and NotPaidFor.
    """
    price = offers.price_of(product, interval or _subscription(license_).interval)
    if price is None:
        names = ", ".join(offer.slug for offer in offers.license_offers())
        detail = f"There is no tier {product!r} for this interval. Choose from: {names}."
        raise Invalid.field("/product", "unknown_product", detail)
    return price


def preview(*, license_: License, price: Price, now: datetime) -> Preview:
    """What `change` will do. Raises NotPaidFor, Held, and as `billing.selling.subscriptions.preview` does."""
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
    """Larger at once, smaller when what is paid ends.

    Raises NotPaidFor, Held, and as `billing.selling.subscriptions.change` does.
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
            "Nothing is charged for it meanwhile, so its tier stays. Write to support to have it lifted."
        )
    return subscription


def _subscription(license_: License) -> Subscription:
    found: Subscription | None = getattr(license_.order_item, "subscription", None)
    if found is None:
        raise NotPaidFor("It was issued without an order. Buy the tier that you want, or write to support.")
    return found
