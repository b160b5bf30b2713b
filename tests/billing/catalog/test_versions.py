"""Versions of a plan: copied as a draft, published in place of the former one, which its subscribers keep."""

from billing.catalog import plans, versions
from billing.models import Plan, Price
from tests.billing.conftest import Customer


def test_a_new_version_is_a_draft_with_the_same_allowances_and_prices(customer: Customer) -> None:
    pro = plans.get_on_sale("pro")
    draft = versions.new_version(pro)
    assert (draft.version, draft.is_published, draft.features) == (pro.version + 1, False, pro.features)
    copied = ["meter__slug", "included", "is_hard", "overage_rate", "currency"]
    assert list(draft.allowances.values_list(*copied)) == list(pro.allowances.values_list(*copied))
    assert set(draft.prices.values_list("interval", "unit_amount", "is_active")) == {
        ("month", 2_900, False),
        ("year", 29_000, False),
    }
    assert plans.get_on_sale("pro") == pro


def test_a_published_version_replaces_the_former_one_for_new_buyers_only(customer: Customer) -> None:
    bought = customer.buy("pro", "month")
    draft = versions.new_version(plans.get_on_sale("pro"))
    versions.publish(draft)
    assert plans.get_on_sale("pro") == draft
    assert Plan.objects.filter(product=draft.product, is_published=True).count() == 1
    assert set(
        Price.objects.filter(product=draft.product, is_active=True).values_list("plan", flat=True)
    ) == {draft.pk}
    customer.settle()
    bought.refresh_from_db()
    assert bought.plan != draft and plans.current_plan(customer.organization) == bought.plan
