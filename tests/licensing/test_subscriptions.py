"""A license follows the subscription that pays for it: what billing says by signal is what the license becomes."""

from datetime import datetime, timedelta

import pytest

from accounts.models import Organization
from billing.models import OrderItem, Product, Subscription
from billing.signals import order_item_paid, subscription_changed
from licensing.models import License
from tests.licensing.conftest import NOW
from tests.licensing.orders import paid_item, price, product, subscribe

DAY = timedelta(days=1)
pytestmark = pytest.mark.usefixtures("system_scope")


def pay(item: OrderItem, now: datetime = NOW) -> None:
    order_item_paid.send(sender=OrderItem, item=item, now=now)


def change(subscription: Subscription, now: datetime = NOW, **fields) -> License:
    previous, previous_pending = subscription.status, subscription.pending_price
    for name, value in fields.items():
        setattr(subscription, name, value)
    subscription.save()
    subscription_changed.send(
        sender=Subscription, subscription=subscription, previous_status=previous,
        previous_pending_price=previous_pending, now=now,
    )  # fmt: skip
    return License.objects.get()


@pytest.fixture
def item(organization: Organization) -> OrderItem:
    return paid_item(organization, "nextpanel-professional")


@pytest.fixture
def subscription(item: OrderItem) -> Subscription:
    """Active until the 30th day, its license issued."""
    made = subscribe(item)
    pay(item)
    return made


def test_a_paid_item_gives_one_license_however_often_it_is_told(item: OrderItem) -> None:
    pay(item)
    pay(item)
    license_ = License.objects.get()
    assert (license_.order_item, license_.status, license_.policy.product_slug) == (
        item,
        "active",
        "nextpanel-professional",
    )


def test_a_plan_gives_no_license(organization: Organization) -> None:
    item = paid_item(organization, "pro")
    Product.objects.filter(slug="pro").update(kind=Product.Kind.API_PLAN)
    pay(OrderItem.objects.select_related("product").get(pk=item.pk))
    assert not License.objects.exists()


@pytest.mark.parametrize("is_subscription_first", [True, False])
def test_the_two_facts_may_come_in_any_order(item: OrderItem, is_subscription_first: bool) -> None:
    if is_subscription_first:
        change(subscribe(item)) if License.objects.exists() else subscribe(item)
        pay(item)
    else:
        pay(item)
        change(subscribe(item))
    license_ = License.objects.get()
    assert (license_.renews_at, license_.expires_at) == (NOW + 30 * DAY, NOW + 33 * DAY)


def test_a_renewal_moves_the_end(subscription: Subscription) -> None:
    license_ = change(subscription, current_period_end=NOW + 60 * DAY)
    assert (license_.renews_at, license_.expires_at) == (NOW + 60 * DAY, NOW + 63 * DAY)


def test_past_due_suspends_after_a_week_and_paying_reinstates(subscription: Subscription) -> None:
    license_ = change(
        subscription, status="past_due", past_due_since=NOW + 30 * DAY, current_period_end=NOW + 60 * DAY
    )
    assert license_.status_at(NOW + 36 * DAY) == "active"
    assert license_.status_at(NOW + 37 * DAY) == "suspended"
    license_ = change(subscription, status="active", past_due_since=None, now=NOW + 40 * DAY)
    assert license_.status_at(NOW + 40 * DAY) == "active"
    assert license_.suspends_at is None


@pytest.mark.parametrize("status", ["unpaid", "paused"])
def test_given_up_collecting_suspends_at_once(subscription: Subscription, status: str) -> None:
    license_ = change(subscription, status=status)
    assert (license_.status, license_.suspension_reason) == ("suspended", "payment")
    assert change(subscription, status="active").status == "active"


def test_canceling_ends_with_the_period_and_resuming_takes_it_back(subscription: Subscription) -> None:
    license_ = change(subscription, cancel_at_period_end=True)
    assert license_.expires_at == NOW + 30 * DAY
    license_ = change(subscription, cancel_at_period_end=False)
    assert license_.expires_at == NOW + 33 * DAY


def test_a_canceled_one_lasts_as_long_as_was_paid(subscription: Subscription) -> None:
    license_ = change(subscription, now=NOW + DAY, status="canceled", ended_at=NOW + DAY)
    assert license_.status_at(NOW + 29 * DAY) == "active"
    assert license_.status_at(NOW + 30 * DAY) == "expired"


def test_one_canceled_because_nobody_paid_ends_at_once(subscription: Subscription) -> None:
    change(subscription, status="past_due", past_due_since=NOW + 30 * DAY, current_period_end=NOW + 60 * DAY)
    license_ = change(subscription, now=NOW + 50 * DAY, status="canceled", ended_at=NOW + 50 * DAY)
    assert license_.status == "expired"


def test_another_tier_changes_the_limits(subscription: Subscription) -> None:
    business = product("nextpanel-business")
    license_ = change(subscription, product=business, price=price("nextpanel-business"))
    assert license_.features.get(slug="databases").limit == 500


def test_a_stranger_subscription_touches_nothing(
    organization: Organization, subscription: Subscription
) -> None:
    other = subscribe(paid_item(organization, "nextpanel-starter"), order_item=None, stripe_id="sub_other")
    before = License.objects.get().expires_at
    assert change(other, status="unpaid").expires_at == before
    assert License.objects.get().status == "active"
