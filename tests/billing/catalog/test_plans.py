"""Plans on sale, their prices, and the current plan of an organization."""

import pytest

from billing.catalog import plans
from billing.models import Interval, Price
from metering.models import Quota
from superagent.foundation.problems import Invalid
from tests.billing.conftest import Customer


def test_plans_on_sale_are_found_by_slug_and_others_named(customer: Customer) -> None:
    assert [plan.slug for plan in plans.on_sale()] == ["free", "pro", "enterprise"]
    assert plans.get_on_sale("pro").name == "Pro"
    with pytest.raises(Invalid, match="Choose from: free, pro, enterprise"):
        plans.get_on_sale("gold")


def test_an_interval_that_is_not_sold_is_refused(customer: Customer) -> None:
    pro = plans.get_on_sale("pro")
    assert plans.price_of(pro, Interval.YEAR).unit_amount == 29_000
    Price.objects.filter(plan=pro, interval=Interval.YEAR).update(is_active=False)
    with pytest.raises(Invalid, match="Choose from: month"):
        plans.price_of(pro, Interval.YEAR)


def test_the_current_plan_is_the_paid_one_and_its_allowances_hold(customer: Customer) -> None:
    free, pro = plans.get_on_sale("free"), plans.get_on_sale("pro")
    assert (
        plans.current_plan(customer.organization) == free
        and plans.subscription_of(customer.organization) is None
    )
    bought = customer.buy("pro", "month")
    assert plans.current_plan(customer.organization) == pro
    assert plans.subscription_of(customer.organization) == bought
    assert not plans.apply_current_plan(organization=customer.organization, now=customer.now)
    included = Quota.objects.filter(organization=customer.organization).latest("period__start", "meter__slug")
    assert included.meter.slug == "storage_mb_hours" and included.included is None
    assert plans.is_paid(pro) and not plans.is_paid(free)
    assert plans.is_upgrade(current=free, target=pro)
